"""Networks of the study, built from an `Architecture`.

Each model's module is imported by name, so that a job's code holds its own model's layers only.
"""

from importlib import import_module

from kancore.schemes import Architecture

MODULES = {
    "mlp": "kancore.networks.mlp",
    "wide_mlp": "kancore.networks.mlp",
    "kan": "kancore.networks.kan",
}


def build(architecture: Architecture, inputs: int, outputs: int, stack: int):
    """Build a stack of uninitialized networks of one architecture.

    Parameters
    ----------
    architecture
        The shape of the networks.
    inputs, outputs
        Number of features and of classes.
    stack
        Number of networks, S.

    Returns
    -------
    kancore.networks.network.Network
        Maps ``[batch, inputs]`` to ``[S, batch, outputs]``.
    """
    module = import_module(MODULES[architecture.model])
    return module.from_architecture(architecture, architecture.widths(inputs, outputs), stack)
