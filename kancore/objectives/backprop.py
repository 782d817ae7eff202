"""Cross-entropy of the logits, minimized through all layers by backpropagation."""

import torch.nn.functional as F
from torch import Tensor, nn

from kancore.schemes import Sweep


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of each network, ``[S]`` in nats.

    Parameters
    ----------
    logits
        ``[S, batch, classes]``.
    y
        Labels shared by all networks, ``[batch]``.
    """
    stack, batch, classes = logits.shape
    flat = logits.reshape(stack * batch, classes)
    return F.cross_entropy(flat, y.repeat(stack), reduction="none").view(stack, batch).mean(1)


def losses(network: nn.Module, x: Tensor, y: Tensor, sweep: Sweep) -> Tensor:
    """Losses ``[S]`` of a stack of networks on inputs ``[batch, in]`` and labels ``[batch]``."""
    return cross_entropy(network(x), y)
