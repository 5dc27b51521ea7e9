"""From a model and a batch to the scores of every edge."""
