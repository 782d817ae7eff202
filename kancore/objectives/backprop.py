"""Cross-entropy of the logits, minimized through all layers by backpropagation."""

import torch.nn.functional as F
from torch import Tensor, nn

from kancore.schemes import Trained


def cross_entropy(logits: Tensor, y: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of each network, ``[S]`` in nats.

    Parameters
    ----------
    logits
        ``[S, batch, classes]``.
    y
        Labels shared by all networks, ``[batch]``.
    label_smoothing
        Share of a target that is spread over all classes (Szegedy et al. 2016, section 7).
    """
    stack, batch, classes = logits.shape
    flat = logits.reshape(stack * batch, classes)
    found = F.cross_entropy(
        flat, y.repeat(stack), reduction="none", label_smoothing=label_smoothing
    )
    return found.view(stack, batch).mean(1)


def losses(network: nn.Module, x: Tensor, y: Tensor, sweep: Trained) -> Tensor:
    """Losses ``[S]`` of a stack of networks on inputs ``[batch, in]`` and labels ``[batch]``."""
    return cross_entropy(network(x), y, sweep.label_smoothing)
