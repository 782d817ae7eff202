"""The activations of the study: pointwise functions, and base activations of KANs."""

import torch
import torch.nn.functional as F

FUNCTIONS = {
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "relu": F.relu,
    "cosine": torch.cos,
}
