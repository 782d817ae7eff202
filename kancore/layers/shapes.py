"""What layers of a stack take: one batch for all of its networks, or one for each."""

from operator import index

from torch import Tensor


def whole(**numbers: int) -> list[int]:
    """Give numbers of a layer, such as its widths, as Python's.

    Raises
    ------
    ValueError
        Unless they are whole and not negative.
    """
    for name, number in numbers.items():
        if not (hasattr(number, "__index__") and number >= 0):
            raise ValueError(f"{name} is {number!r}, expected a whole number that is not negative")
    return [index(number) for number in numbers.values()]


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
