"""The HSIC bottleneck: every layer trains alone, on its own inputs, without backpropagation.

Ma, Lewis & Kleijn 2020 (arXiv:1908.01580); the paper's section 3. One sum of the layers' losses
serves all of them: inputs of a layer are detached, so its gradient comes from its own loss.
"""

from itertools import pairwise
from math import exp

import torch
from torch import Tensor

from kancore.hsic import (
    gaussian_kernel,
    label_factor,
    nhsic_with,
    nhsic_with_factor,
    normalized,
)
from kancore.networks.network import Network
from kancore.objectives.backprop import cross_entropy
from kancore.schemes import HsicBottleneck, Sweep


def losses(network: Network, x: Tensor, y: Tensor, sweep: Sweep) -> Tensor:
    """Sum of the losses of all layers, ``[S]``; as `kancore.objectives` says."""
    settings = sweep.hsic
    *hidden, outputs = network.layerwise(x)
    labels = _label_factor(y, outputs.shape[-1], settings)
    total = cross_entropy(outputs, y)
    about_x = _normalized(x, settings) if settings.term == "x" else None
    for before, layer in pairwise([x, *hidden]):
        kernel = _kernel(layer, settings)
        total = total - settings.weight * nhsic_with_factor(kernel, labels)
        if settings.term == "h":
            about_x = _normalized(before, settings)
        if about_x is not None:
            total = total + nhsic_with(kernel, about_x)
    return total


@torch.no_grad()
def layer_nhsic(network: Network, x: Tensor, y: Tensor, sweep: Sweep) -> Tensor:
    """Measure normalized HSIC of each hidden layer with the labels, ``[S, hidden layers]``."""
    *hidden, outputs = network.layerwise(x)
    labels = _label_factor(y, outputs.shape[-1], sweep.hsic)
    values = [nhsic_with_factor(_kernel(layer, sweep.hsic), labels) for layer in hidden]
    return torch.stack(values, dim=1)


def _kernel(z: Tensor, settings: HsicBottleneck) -> Tensor:
    return gaussian_kernel(z, settings.sigma, settings.scale_by_dimension)


def _normalized(z: Tensor, settings: HsicBottleneck) -> Tensor:
    return normalized(_kernel(z.detach(), settings))


def _label_factor(y: Tensor, classes: int, settings: HsicBottleneck) -> Tensor:
    """Factor the labels' kernel, once for all layers; two labels are a squared distance of 2."""
    scale = classes if settings.scale_by_dimension else 1
    if settings.label_kernel == "gaussian":
        similarity = exp(-2 / (2 * settings.sigma**2 * scale))
    else:
        similarity = settings.sigma / (settings.sigma + 2 / classes)
    return label_factor(y, classes, similarity)
