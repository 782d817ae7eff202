import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from kancore.data.single_precision import to_float32, to_float64

RANDOM = np.random.default_rng(0)
SPREAD = RANDOM.normal(size=200)


@pytest.mark.parametrize(
    "feature",
    [
        1.7e9 + 10 * SPREAD,  # seconds since 1970
        2_460_000.5 + SPREAD / 24,  # Julian dates, hours apart
        5_932_123 + SPREAD,  # metres from the equator
        1e39 + 1e37 * SPREAD,
        -1e6 + 1e-2 * SPREAD,
        1e-20 * SPREAD,
    ],
)
def test_standardized_as_in_double_precision(feature):
    train, test = feature[:150, None], feature[150:, None]
    scaler = StandardScaler().fit(train)
    expected = scaler.transform(train), scaler.transform(test)
    *stored, offset, warnings = to_float32(train.copy(), test.copy(), ["f"])
    assert warnings == []
    np.testing.assert_array_equal(stored[0], (train - offset).astype(np.float32))
    again = StandardScaler().fit(stored[0].astype(float))
    for found, value in zip(stored, expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(again.transform(found.astype(float)), value, atol=1e-6)


def test_numbers_that_float32_holds_stay_as_they_are():
    x = RANDOM.normal(size=(50, 3)).astype(np.float32)
    x[:, 1] = np.arange(50)
    x[:, 2] = 0.1
    train, test, _, warnings = to_float32(x[:40].astype(float), x[40:].astype(float), list("abc"))
    assert np.array_equal(train, x[:40])
    assert np.array_equal(test, x[40:])
    assert warnings == []


@pytest.mark.parametrize("start", [2**62, -(2**63), 0])
def test_large_whole_numbers_differ_by_what_they_differ_by(start):
    ids = np.array([[start + 3], [start + 1], [start + 2**20]])
    (x,), _ = to_float64(ids)
    assert (x - x[1]).ravel().tolist() == [2.0, 0.0, 2.0**20 - 1]
    *_, warnings = to_float32(x, x[:1].copy(), ["id"])
    assert warnings == []


def test_unsigned_and_signed_parts_are_counted_from_one_number():
    (low, high), _ = to_float64(np.array([[2**63]], np.uint64), np.array([[2**63 - 1]]))
    assert (low - high).item() == 1


@pytest.mark.parametrize(
    ("feature", "kept"),
    [
        (np.where(np.arange(200) < 100, 0, 1.7e9) + np.arange(200.0), 102),
        (1e-46 * np.arange(200.0), 1),
    ],
)
def test_lost_values_are_told(feature, kept):
    *_, warnings = to_float32(feature[:, None].copy(), feature[:1, None].copy(), ["column f"])
    before = len(np.unique(feature))
    after = len(np.unique(feature.astype(np.float32)))
    assert f"float32 keeps {after} of the {before} distinct values of column f" in warnings
    assert f"float32 keeps {after} of the {before} distinct training examples" in warnings


def test_ordinary_numbers_are_no_reason_to_warn():
    x = np.random.default_rng(0).normal(size=(200_000, 1))
    assert len(np.unique(x.astype(np.float32))) < len(x)
    assert to_float32(x, x[:1].copy(), ["f"])[3] == []


def test_examples_that_were_equal_before_are_not_told():
    x = np.tile(RANDOM.normal(size=(20, 2)), (2, 1))
    assert to_float32(x, x[:1].copy(), list("ab"))[3] == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "x_test has 1 values that are NaN, missing or infinite, the first in b"),
        (-np.inf, "x_test has 1 values that are NaN, missing or infinite, the first in b"),
        (1e39, "x_test has 1 values that are beyond 3.4e38, more than float32 holds, the first"),
        (1.7e308, "x_test has 1 values that are beyond 3.4e38, more than float32 holds, the first"),
    ],
)
def test_values_that_float32_does_not_hold(value, message):
    x = RANDOM.normal(size=(20, 2))
    test = x[:3].copy()
    test[1, 1] = value
    with pytest.raises(ValueError, match=message):
        to_float32(x, test, list("ab"))
