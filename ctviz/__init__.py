"""Find a language model's circuit, tune only that circuit, and watch it change."""

__version__ = "0.1.0"
