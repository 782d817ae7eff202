"""Numbers far from zero, and what activations are there by definition, in float64."""

import math

import torch

SMALL = (-3.5, -1.0, 0.2, 2.6)
LARGE = (-1e30, -1e4, 1e4, 1e30)
INFINITE = (-math.inf, math.inf)


def _normal(x):
    """Distribution and density of the normal distribution."""
    return math.erfc(-x / math.sqrt(2)) / 2, math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _logistic(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


# A value and a slope at a finite number, and at minus and plus infinity.
_DEFINITIONS = {
    "gelu": (
        lambda x: (x * _normal(x)[0], _normal(x)[0] + x * _normal(x)[1]),
        ((0.0, 0.0), (math.inf, 1.0)),
    ),
    "silu": (
        lambda x: (x * _logistic(x), _logistic(x) * (1 + x * (1 - _logistic(x)))),
        ((0.0, 0.0), (math.inf, 1.0)),
    ),
    "elu": (
        lambda x: (x, 1.0) if x > 0 else (math.expm1(x), math.exp(x)),
        ((-1.0, 0.0), (math.inf, 1.0)),
    ),
    "relu": (
        lambda x: (x, 1.0) if x > 0 else (0.0, 0.0),
        ((0.0, 0.0), (math.inf, 1.0)),
    ),
    "cosine": (lambda x: (math.cos(x), -math.sin(x)), ((math.nan, math.nan),) * 2),
}


def values(activation):
    """Float32 numbers, with the activation and its slope there in float64."""
    finite, limits = _DEFINITIONS[activation]
    # How exact the cosine of a large number is differs from device to device.
    numbers = torch.tensor(SMALL if activation == "cosine" else SMALL + LARGE)
    found = [*(finite(x) for x in numbers.double().tolist()), *limits]
    y, slope = torch.tensor(found, dtype=torch.float64).T
    return torch.cat((numbers, torch.tensor(INFINITE))), y, slope
