"""Networks of the study, built from an `Architecture`.

Each model's module is imported by name, so that a job's code holds its own model's layers only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from kancore.schemes import Architecture

if TYPE_CHECKING:  # plans are made without PyTorch
    from kancore.networks.network import Stack
    from kancore.networks.parts import Needs

MODULES = {
    "mlp": "kancore.networks.mlp",
    "wide_mlp": "kancore.networks.mlp",
    "kan": "kancore.networks.kan",
}

OWN = "kancore.networks.own"


def modules(model: str) -> tuple[str, ...]:
    """Modules that a model's networks need, for `kancore.machine.provenance.code_digest`."""
    return (OWN, model) if ":" in model else (MODULES[model],)


def build(architecture: Architecture, inputs: int, outputs: int, stack: int) -> "Stack":
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
    kancore.networks.network.Stack
        Maps ``[batch, inputs]`` to ``[S, batch, outputs]``.
    """
    module = import_module(modules(architecture.model)[0])
    network = module.from_architecture(architecture, architecture.widths(inputs, outputs), stack)
    if architecture.bfloat16:
        for layer in network.modules():
            if hasattr(layer, "products_in_bfloat16"):
                layer.products_in_bfloat16 = True
    return network


def needs(architecture: Architecture, inputs: int, outputs: int) -> "Needs | None":
    """Try a network of the user's own, and tell what it needs; ``None`` for others.

    Raises
    ------
    ValueError
        As `kancore.networks.own.measure`.
    """
    if not architecture.own:
        return None
    widths = architecture.widths(inputs, outputs)
    return import_module(OWN).measure(architecture.model, widths)
