"""The bundled model: a four-layer GPT-2 trained from scratch on text that ctviz generates.

`corpus` makes the text, `vocabulary` the tokenizer, `train` the model, and `card` measures it on
combinations of words that it has never seen.
"""
