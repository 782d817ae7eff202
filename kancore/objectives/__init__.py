"""Training objectives; each module's `losses(network, x, y)` gives one loss a network."""

MODULES = {"backprop": "kancore.objectives.backprop"}
