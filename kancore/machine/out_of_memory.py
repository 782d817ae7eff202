"""How a device says that it has too little memory, of which there are many ways."""

import torch

# What CUDA and Triton say, and what libraries say of work space and of handles that do not fit.
_WORDS = (
    "out of memory",
    "_STATUS_ALLOC_FAILED",
    "_STATUS_INSUFFICIENT_RESOURCES",
    "_STATUS_NOT_INITIALIZED",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether too little memory is the error, or what led to it.

    Where memory runs out while a CUDA graph is made, the end of that fails as well, by another
    error.
    """
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or any(w in str(error) for w in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
