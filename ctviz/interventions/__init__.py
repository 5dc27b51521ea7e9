"""Running a model with parts of it corrupted, and what is said of a circuit that way."""
