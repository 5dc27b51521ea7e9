"""Series of weights of one architecture: somebody's checkpoints, adapters of one base, models."""
