"""How much of a stack and of its data a CPU computes at once, so that a cache has room for it.

By that sums are divided, whose last digits depend on it. It is told here, for those who train and
for those who estimate the memory that this takes; as is what networks of the user's own need.
"""

import platform
from dataclasses import dataclass
from pathlib import Path

from kancore.schemes import Trained

# Examples of a batch in evaluations: few, so that a stack's features stay in a processor's cache.
EVALUATION_BATCH = 256
# Share of a GPU's memory for what a batch of an evaluation computes in a layer.
GPU_SHARE = 1 / 64
# Numbers of activations of one layer that stay in a processor's cache between two passes over them.
CACHED = 1_000_000
# Whether linear layers train by compiled kernels on a CPU, as they do only where vectors are wide.
LINEAR_KERNELS = platform.machine().lower() in ("x86_64", "amd64") and any(
    Path(__file__).parents[1].glob("layers/_products_*")
)
# Numbers of activations of one layer of all networks of a stack that train at once on a CPU.
AT_ONCE = 16_000_000 if LINEAR_KERNELS else CACHED


@dataclass(frozen=True)
class Needs:
    """What one network of the user's own was found to need.

    Attributes
    ----------
    parameters, buffers : int
        Numbers that are trained, and that are not.
    activations : int
        Numbers kept of each example for the gradients.
    together : bool
        Whether a stack of them is one program.
    """

    parameters: int
    buffers: int
    activations: int
    together: bool


def evaluation_batch(sweep: Trained, networks: int, features: int, gpu_bytes: int | None) -> int:
    """Examples of a batch in evaluations.

    On a GPU they are many, since it would otherwise wait for the host. They go by its size and not
    by the memory that is free, so that results are the same each time.

    Parameters
    ----------
    sweep
        What is trained.
    networks
        Of the stack.
    features
        Of the data set.
    gpu_bytes
        Memory of the GPU; ``None`` on a CPU.
    """
    architecture = sweep.architecture
    if gpu_bytes is None or architecture.own:
        return EVALUATION_BATCH
    numbers = networks * max(architecture.hidden_widths)
    functions = 1
    if architecture.grid_size is not None and architecture.degree is not None:
        functions = architecture.grid_size + architecture.degree + 1
    numbers = max(numbers, functions * features)
    examples = max(EVALUATION_BATCH, int(GPU_SHARE * gpu_bytes / (4 * numbers)))
    return 1 << examples.bit_length() - 1


def networks_at_once(sweep: Trained, parameters: int) -> int | None:
    """Networks of a stack of MLPs that train at once on a CPU, where it pays to divide the stack.

    The kernels pass over activations so rarely that only much memory is to be avoided. In PyTorch a
    pass over activations that come from memory takes as long as a product, so parts are to fit the
    cache, although dividing costs a copy of the gradients. Layers of KANs share more than their
    inputs, and kernels of HSIC are larger than activations, so their stacks are left whole.

    Parameters
    ----------
    sweep
        What is trained.
    parameters
        Parameters of one network.

    Returns
    -------
    int or None
        ``None`` for all of them.
    """
    widths = sweep.architecture.hidden_widths
    if (
        sweep.architecture.model == "kan"
        or sweep.architecture.own  # nothing is known of what its layers share
        or sweep.objective == "hsic"
        or sweep.batch_size * sum(widths) < parameters
    ):
        return None
    return max(1, AT_ONCE // (sweep.batch_size * max(widths)))
