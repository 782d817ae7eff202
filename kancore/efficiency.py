"""Efficiency of a run: accuracy for the epochs and parameters spent (paper, section 6.1)."""

import numpy as np
from numpy.typing import ArrayLike


def efficiency(
    accuracy: ArrayLike,
    epochs: ArrayLike,
    parameters: ArrayLike,
    intrinsic_dimension: ArrayLike,
) -> np.ndarray:
    """Efficiency ``a / (e ln(1 + n - d))`` of runs.

    The formula is in section 6.1 of the paper, in the form that reproduces the published runs.

    Parameters
    ----------
    accuracy
        Best test accuracy, a fraction in [0, 1]; NaN for a run that diverged.
    epochs
        Epochs to reach it, counted from 1; may be NaN for a run that diverged.
    parameters
        Number of trainable parameters of the network.
    intrinsic_dimension
        Intrinsic dimension of the data set, less than `parameters`; NaN where it is unknown.

    Returns
    -------
    ndarray
        float64, in 1 / epochs, of the shape that the arguments broadcast to; NaN where any of
        them is NaN.

    Raises
    ------
    ValueError
        If an accuracy is outside [0, 1], an epoch is before 1, or there are no more parameters
        than intrinsic dimensions.
    """
    a, e, n, d = np.broadcast_arrays(
        *(
            np.asarray(values, dtype=np.float64)
            for values in (accuracy, epochs, parameters, intrinsic_dimension)
        )
    )
    # Each comparison is false for NaN, which so passes through.
    _refuse((a < 0) | (a > 1), "accuracy in [0, 1]", accuracy=a)
    _refuse(e < 1, "epochs >= 1", epochs=e)
    _refuse(n <= d, "parameters > intrinsic dimension", parameters=n, intrinsic_dimension=d)
    return a / (e * np.log1p(n - d))


def _refuse(bad: np.ndarray, expected: str, **values: np.ndarray) -> None:
    """Raise ValueError with the distinct `values` where `bad`, at most five of them."""
    if bad.any():
        found = np.unique(np.stack([value[bad] for value in values.values()], axis=-1), axis=0)
        rows = [
            ", ".join(f"{name} {value:.15g}" for name, value in zip(values, row, strict=True))
            for row in found[:5]
        ]
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise ValueError(f"expected {expected}, found {'; '.join(rows)}{more}")
