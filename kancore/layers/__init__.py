"""Layers over a stack of networks: parameters have a leading axis S, one entry a network."""
