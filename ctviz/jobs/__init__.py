"""Whole operations that write into the run store: discovery, tuning, studies."""
