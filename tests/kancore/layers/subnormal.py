"""Numbers of float32 below 1.2e-38, nearer to zero than the smallest normal one."""

import torch

# Factors of which one at least is normal, and whose product is not.
TINY, SMALL = 1e-41, 1e-24


def threads_keep_them():
    """Whether this thread computes with them, and all that PyTorch has beside it."""
    return bool((torch.full((2**18,), 1e-30) * 1e-10).all())
