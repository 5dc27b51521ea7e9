"""Tuning what a circuit owns: the loop, its methods, and what it keeps."""
