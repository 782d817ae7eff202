"""What layers of a stack take: one batch for all of its networks, or one for each."""

from torch import Tensor


def check_inputs(x: Tensor, stack: int, inputs: int) -> None:
    """Check the shape of a layer's inputs.

    Raises
    ------
    ValueError
        Unless it is ``[batch, inputs]`` or ``[stack, batch, inputs]``.
    """
    if x.shape[-1:] != (inputs,) or not (x.dim() == 2 or (x.dim() == 3 and x.shape[0] == stack)):
        raise ValueError(
            f"inputs have shape {tuple(x.shape)}, expected [batch, {inputs}] or "
            f"[{stack}, batch, {inputs}]"
        )
