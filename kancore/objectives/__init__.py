"""Training objectives, each a module of functions of a stack of networks.

``losses(network, x, y, sweep)`` gives one loss a network, ``[S]``. An objective whose layers have
losses of their own also has ``layer_nhsic``, of the same arguments: ``[S, hidden layers]``.
"""

MODULES = {
    "backprop": "kancore.objectives.backprop",
    "hsic": "kancore.objectives.hsic_bottleneck",
}
