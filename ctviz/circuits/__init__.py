"""The graph of a model, scores of its edges, circuits, and what nodes can do without."""
