"""One node of a model on one prompt: what it looks at, writes and does, at a step of a run."""
