"""Applications of frameworks, written for PyMongo: each runs as it is, and with its imports changed."""
