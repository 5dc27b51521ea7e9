"""Loading models, and where each family keeps what the graph needs."""
