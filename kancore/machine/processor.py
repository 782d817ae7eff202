"""How a process that trains uses the processor."""

import torch

from kancore.machine.memory import keep_freed_memory


def prepare_process(threads: int) -> None:
    """Compute with so many threads, take subnormal numbers for zero, and keep freed memory.

    Numbers nearer to zero than 1.2e-38, of float32, cost a processor a hundred times as much as
    others, and where activations saturate gradients are full of them. Threads have this setting
    from the one that starts them, hence it is to be called before there are any, and tensors.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # PyTorch's name for it; does nothing where a processor cannot
    keep_freed_memory()
