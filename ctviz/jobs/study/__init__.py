"""A study: the same task tuned by several methods and seeds, and one report on what was found."""
