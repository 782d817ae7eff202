"""Training objectives, each a module of functions of a stack of networks.

``losses(network, x, y, sweep)`` gives one loss a network, ``[S]``. `WHOLE_STACK` says whether what
it computes for all networks is worth a step of the whole stack at once; else `x` may also be what
``network.prepare`` gives. An objective whose layers have
losses of their own also has ``layer_nhsic``, of the same arguments: ``[S, hidden layers]``.
"""

MODULES = {
    "backprop": "kancore.objectives.backprop",
    "hsic": "kancore.objectives.hsic_bottleneck",
}
