"""Two layers of attention, trained from scratch on words that come again, until heads find out how.

`vocabulary` has the words, `train` the model and the course of its training.
"""
