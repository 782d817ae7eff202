"""Numbers of a table as float32, and what of them float32 cannot tell apart."""

import hashlib
from collections.abc import Sequence

import numpy as np

# A spread below this share of the mean costs float32 too many of its 24 binary digits; below the
# other one, it is what rounding leaves of a constant in float64.
_NARROW, _NOISE = 2.0**-10, 2.0**-44
# Whole numbers up to here have a float64 of their own.
EXACT = 2**53
# Of a million ordinary numbers some always meet in one float32, which harms nobody.
_KEPT = 0.99
_LISTED = 5


def to_float64(*parts: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Real numbers ``[examples, features]`` of any type as float64.

    Whole numbers beyond 2**53 are counted from the lowest of their feature in all `parts`, as
    float64 would round them.

    Returns
    -------
    parts : list of ndarray
        The same in float64.
    counted : ndarray
        Whether each feature is counted from its lowest.
    """
    wide = [part.astype(np.float64) for part in parts]
    counted = np.zeros(wide[0].shape[1], bool)
    if all(part.dtype.kind in "iu" for part in parts):
        counted = np.any([np.abs(x).max(0) > EXACT for x in wide], axis=0)
        for feature in np.flatnonzero(counted):
            columns = [part[:, feature].astype(object) for part in parts]
            lowest = min(column.min() for column in columns)
            for x, column in zip(wide, columns, strict=True):
                x[:, feature] = column - lowest
    return wide, counted


def to_float32(
    x_train: np.ndarray, x_test: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Store a table in single precision.

    Features that vary little around a number far from 0, such as dates and coordinates, are
    counted from their training mean: standardization takes it away anyway.

    Parameters
    ----------
    x_train, x_test
        float64 ``[examples, features]``; may be changed.
    names
        How messages call each feature.

    Returns
    -------
    x_train, x_test : ndarray
        float32 ``[examples, features]``.
    offset : ndarray
        float64 ``[features]``, what was taken from each feature.
    warnings : list of str
        What float32 cannot tell apart.

    Raises
    ------
    ValueError
        If a value is missing, infinite or beyond what float32 holds, naming the first such feature.
    """
    parts = {"x_train": x_train, "x_test": x_test}
    for part, x in parts.items():
        _refuse(part, ~np.isfinite(x), "NaN, missing or infinite", names)
    with np.errstate(over="ignore", invalid="ignore"):  # of values that are refused below
        mean, std = x_train.mean(0), x_train.std(0)
        narrow = (std < _NARROW * np.abs(mean)) & (std > _NOISE * np.abs(mean))
        far = narrow | (np.abs(mean) > np.finfo(np.float32).max)
        offset = np.where(far, mean, 0.0)
        for part, x in parts.items():
            x[:, far] -= offset[far]
            large = np.abs(x) > np.finfo(np.float32).max
            _refuse(part, large, "beyond 3.4e38, more than float32 holds", names)
    train, test = (x.astype(np.float32) for x in parts.values())
    return (
        train,
        test,
        offset,
        [*_merged_values(x_train, train, names), *_merged_rows(x_train, train)],
    )


def _refuse(part: str, bad: np.ndarray, how: str, names: Sequence[str]) -> None:
    if count := int(bad.sum()):
        first = names[int(np.argmax(bad.any(0)))]
        raise ValueError(f"{part} has {count:,} values that are {how}, the first in {first}")


def _merged_values(x: np.ndarray, stored: np.ndarray, names: Sequence[str]) -> list[str]:
    """Warn of features that lose many of their distinct values."""
    found = []
    for feature in np.flatnonzero((stored != x).any(0)).tolist():
        ascending = np.sort(x[:, feature])
        before, after = (_distinct(each) for each in (ascending, ascending.astype(np.float32)))
        if after < _KEPT * before:
            found.append(f"{after:,} of the {before:,} distinct values of {names[feature]}")
    if not found:
        return []
    more = f" and fewer of {len(found) - _LISTED:,} more features" if len(found) > _LISTED else ""
    return [f"float32 keeps {', '.join(found[:_LISTED])}{more}"]


def _distinct(ascending: np.ndarray) -> int:
    return 1 + int(np.count_nonzero(np.diff(ascending)))


def _merged_rows(x: np.ndarray, stored: np.ndarray) -> list[str]:
    """Warn of examples that become equal, which estimates of intrinsic dimension count once."""
    if np.array_equal(x, stored):
        return []
    before, after = _distinct_rows(x), _distinct_rows(stored)
    if after >= _KEPT * before:
        return []
    return [f"float32 keeps {after:,} of the {before:,} distinct training examples"]


def _distinct_rows(x: np.ndarray) -> int:
    rows = np.ascontiguousarray(x + 0.0)  # the zero that has a sign is the same zero
    return len({hashlib.blake2b(row, digest_size=16).digest() for row in rows})
