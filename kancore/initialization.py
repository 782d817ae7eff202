"""Initializations of weight matrices, drawn for one network of a stack at a time."""

from torch import Generator, Tensor, nn

_FILL = {
    "kaiming_normal": nn.init.kaiming_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "orthogonal": nn.init.orthogonal_,
}


def fill(weight: Tensor, initialization: str, generator: Generator) -> Tensor:
    """Fill `weight` in place.

    Parameters
    ----------
    weight
        Shape ``[out, in]``; on the CPU, so that every device starts from the same numbers.
    initialization
        ``kaiming_normal`` or ``kaiming_uniform`` (He et al. 2015, gain of the rectifier, fan in),
        or ``orthogonal`` (Saxe et al. 2014, gain 1).
    generator
        The source of randomness.

    Returns
    -------
    Tensor
        `weight`.
    """
    kwargs = {} if initialization == "orthogonal" else {"nonlinearity": "relu"}
    return _FILL[initialization](weight, generator=generator, **kwargs)
