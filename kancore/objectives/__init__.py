"""Training objectives, each a module with the same two functions of a stack of networks.

``losses(network, x, y, sweep)`` gives one loss a network, ``[S]``; ``layer_nhsic``, of the same
arguments, a measure of each hidden layer, ``[S, hidden layers]``, or ``None``.
"""

MODULES = {
    "backprop": "kancore.objectives.backprop",
    "hsic": "kancore.objectives.hsic_bottleneck",
}
