"""Situations that people really have on disk, as small folders and files built on the spot."""
