"""The process that holds a model for Inspect, and its client."""
