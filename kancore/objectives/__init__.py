"""Training objectives, each a module of functions of a stack of networks.

``losses(network, x, y, sweep)`` gives one loss a network, ``[S]``. An objective whose layers have
losses of their own also has ``layer_nhsic``, of the same arguments: ``[S, layers]``. One whose
outputs may be no logits has ``readout(batches, sweep)``, which finds the module that turns them
into logits, or ``None`` where they are.
"""

MODULES = {
    "backprop": "kancore.objectives.backprop",
    "hsic": "kancore.objectives.hsic_bottleneck",
}
