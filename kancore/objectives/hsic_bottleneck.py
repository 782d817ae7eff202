"""The HSIC bottleneck: every layer trains alone, on its own inputs, without backpropagation.

Ma, Lewis & Kleijn 2020 (arXiv:1908.01580); the paper's section 3. One sum of the layers' losses
serves all of them: inputs of a layer are detached, so its gradient comes from its own loss.

The output layer learns by cross-entropy ('format training' of Ma et al.), or it is trained by HSIC
too and read by `readout` ('unformatted').
"""

from collections.abc import Iterable
from itertools import pairwise
from math import exp

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kancore.networks.network import Network
from kancore.objectives.backprop import cross_entropy
from kancore.objectives.hsic import (
    gaussian_kernel_minus_one,
    label_factor,
    nhsic_with,
    nhsic_with_factor,
    normalized,
)
from kancore.schemes import HsicBottleneck, Sweep

# Added to variances of output units, as in batch normalization.
_VARIANCE_EPSILON = 1e-5


def losses(network: Network, x: Tensor, y: Tensor, sweep: Sweep) -> Tensor:
    """Sum of the losses of all layers, ``[S]``; as `kancore.objectives` says."""
    settings = _settings(sweep)
    layers, outputs = _layers(network, x, settings)
    labels = _label_factor(y, outputs.shape[-1], settings)
    if settings.output == "cross_entropy":
        total = cross_entropy(outputs, y, sweep.label_smoothing)
    else:
        total = outputs.new_zeros(len(outputs))
    if settings.term == "n":
        for layer in layers:
            kernel = _kernel(layer, settings)
            total = total - settings.weight * nhsic_with_factor(kernel, labels)
        return total
    # Both terms are traces with the layer's normalized kernel, and so is their sum.
    of_labels = settings.weight * (labels @ labels.mT).to(x)
    both = None
    for before, layer in pairwise([x, *layers]):
        if both is None or settings.term == "h":
            both = _normalized(before, settings) - of_labels
        total = total + nhsic_with(_kernel(layer, settings), both)
    return total


@torch.no_grad()
def layer_nhsic(network: Network, x: Tensor, y: Tensor, sweep: Sweep) -> Tensor:
    """Measure normalized HSIC with the labels of each layer that it trains, ``[S, layers]``."""
    settings = _settings(sweep)
    layers, outputs = _layers(network, x, settings)
    labels = _label_factor(y, outputs.shape[-1], settings)
    values = [nhsic_with_factor(_kernel(layer, settings), labels) for layer in layers]
    return torch.stack(values, dim=1)


class Readout(nn.Module):
    """Reads classes from outputs of a stack of networks that `readout` is of.

    Parameters
    ----------
    mean, std
        Of the units on training data, float64 ``[S, 1, units]``.
    units
        That which stands for each class, ``[S, 1, classes]``, as many as there are units.
    """

    mean: Tensor
    std: Tensor
    units: Tensor

    def __init__(self, mean: Tensor, std: Tensor, units: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("units", units)

    def forward(self, outputs: Tensor) -> Tensor:
        """Turn outputs ``[S, batch, units]`` into logits: standardized units, by classes."""
        standardized = ((outputs - self.mean) / self.std).to(outputs)
        return standardized.gather(-1, self.units.expand_as(outputs))


@torch.no_grad()
def readout(batches: Iterable[tuple[Tensor, Tensor]], sweep: Sweep) -> Readout | None:
    """Find how to read classes from the outputs of networks.

    Units that HSIC has trained stand for classes in an order of their own. Each class gets one
    unit, so that the sum over classes of the unit's mean on its class is highest, after units are
    standardized. Ma et al.'s implementation gives each class in turn the unit left with the highest
    mean, on the data that it then measures the accuracy on; here these are training data.

    Parameters
    ----------
    batches
        Outputs ``[S, batch, classes]`` and labels ``[batch]``, over the training data.
    sweep
        The sweep that the networks are of.

    Returns
    -------
    Readout or None
        ``None`` where cross-entropy has trained the outputs, which are logits then.
    """
    if _settings(sweep).output == "cross_entropy":
        return None
    sums = squares = members = torch.zeros(())
    for outputs, y in batches:
        one_hot = F.one_hot(y, outputs.shape[-1]).double()
        sums = sums + one_hot.T @ outputs.double()  # [S, classes, units]
        squares = squares + outputs.double().square().sum(1, keepdim=True)
        members = members + one_hot.sum(0)
    mean = sums.sum(1, keepdim=True) / members.sum()  # [S, 1, units]
    variance = (squares / members.sum() - mean.square()).clamp(min=0)
    std = (variance + _VARIANCE_EPSILON).sqrt()
    members = members.unsqueeze(-1)
    by_class = (sums / members.clamp(min=1) - mean) / std * (members > 0)
    return Readout(mean, std, _assign(by_class).unsqueeze(1))


def _settings(sweep: Sweep) -> HsicBottleneck:
    assert sweep.hsic is not None  # as of all sweeps of this objective
    return sweep.hsic


def _assign(scores: Tensor) -> Tensor:
    """Assign each class its own unit, ``[S, classes]``, by scores ``[S, classes, units]``."""
    # Loaded where it is needed only: it takes half a second, which other sweeps need not wait for.
    from scipy.optimize import linear_sum_assignment

    scores = scores.nan_to_num()  # of networks that have diverged
    assigned = [linear_sum_assignment(each, maximize=True)[1] for each in scores.cpu().numpy()]
    return torch.as_tensor(np.stack(assigned), device=scores.device)


def _layers(network: Network, x: Tensor, settings: HsicBottleneck) -> tuple[list[Tensor], Tensor]:
    """Layers that HSIC trains, and the outputs of the last layer."""
    *layers, outputs = network.layerwise(x)
    if settings.output == "hsic":
        layers.append(_units(outputs))
    return layers, outputs


def _units(outputs: Tensor) -> Tensor:
    """Normalize outputs ``[S, batch, units]`` over the batch, and take their softmax.

    HSIC sees distances only, and a rotation of linear outputs keeps them. On a simplex classes are
    farthest apart at its corners, so each is driven to a unit of its own. The code of Ma et al.
    normalizes too, and rectifies: as good on MNIST, but with few classes often stuck where two of
    them share a corner.
    """
    return F.instance_norm(outputs.mT, eps=_VARIANCE_EPSILON).mT.softmax(-1)


def _kernel(z: Tensor, settings: HsicBottleneck) -> Tensor:
    return gaussian_kernel_minus_one(z, settings.sigma, settings.scale_by_dimension)


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
