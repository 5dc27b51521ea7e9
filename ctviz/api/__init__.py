"""The public face: the words of `import ctviz`, thin names over what the layers do."""
