"""What a stored run looks like: pure functions from arrays to payloads, figures and exports."""
