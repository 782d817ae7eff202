import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kancore.intrinsic_dimension.search import crossing, refine, thresholds
from kancore.intrinsic_dimension.subspaces import geometric_grid

LARGEST = 200_000


def accuracy(d, crossing_at=700):
    """A curve that reaches 0.9 at `crossing_at`, linear in the logarithm of d."""
    return float(np.clip(0.9 + 0.1 * math.log(d / crossing_at), 0.1, 0.99))


def search(curve_of, dimensions, rounds, aims):
    curve = {d: curve_of(d) for d in (*dimensions, LARGEST)}
    for _ in range(rounds):
        curve |= {d: curve_of(d) for d in refine(curve, aims)}
    return curve


def test_interpolates_in_the_logarithm_by_hand():
    # Half of the way from 0.85 to 0.95, so the geometric mean of 100 and 400.
    assert crossing({100: 0.85, 400: 0.95, 1600: 0.97}, 0.9) == pytest.approx(200)
    # 0.87 -> 0.902: 15/16 of the way from 500 to 750, the curve of Li et al.
    published = {100: 0.61, 200: 0.77, 500: 0.87, 750: 0.902, 1000: 0.918}
    assert crossing(published, 0.9) == pytest.approx(500 * 1.5 ** (0.03 / 0.032))
    assert crossing(published, 0.902) == pytest.approx(750)


def test_the_first_dimension_that_reaches_counts():
    assert crossing({10: 0.8, 20: 0.9, 40: 0.85, 80: 0.95}, 0.9) == pytest.approx(20)


def test_lowest_and_unreached():
    assert crossing({10: 0.95, 20: 0.99}, 0.9) == 10
    assert math.isnan(crossing({10: 0.5, 20: 0.6}, 0.9))
    assert math.isnan(crossing({}, 0.9))


def test_bisection_halves_the_bracket_in_the_logarithm():
    assert refine({100: 0.8, 400: 0.95}, [0.9]) == (200,)
    assert refine({100: 0.8, 400: 0.95}, [0.9, 0.79]) == (25, 200)
    assert refine({100: 0.95}, [0.9]) == (25,)
    assert refine({100: 0.8}, [0.9]) == ()
    assert refine({2: 0.8, 3: 0.95}, [0.9]) == ()
    assert refine({1: 0.95}, [0.9]) == ()


@given(st.integers(10, 20_480), st.integers(0, 12))
def test_brackets_shrink_onto_the_crossing(where, rounds):
    def curve_of(d):
        return accuracy(d, where)

    dimensions = geometric_grid(10, 20_480, 12)
    curve = search(curve_of, dimensions, rounds, [0.9])
    assert crossing(curve, 0.9) == pytest.approx(where)
    assert len(curve) <= len(dimensions) + 1 + rounds


def test_refinement_finds_a_step():
    curve = search(lambda d: 0.95 if d >= 777 else 0.1, (10, 100, 1000, 10_000), 12, [0.9])
    assert {776, 777} <= set(curve)


def test_grid_is_geometric():
    assert geometric_grid(10, 80, 4) == (10, 20, 40, 80)
    assert geometric_grid(1, 3, 6) == (1, 2, 3)
    assert geometric_grid(7, 7, 3) == (7,)


def test_thresholds_are_90_percent_absolute_and_relative():
    assert thresholds(0.6) == {
        "landscape_absolute": 0.9,
        "landscape_relative": pytest.approx(0.54),
    }
    assert thresholds(None) == {"landscape_absolute": 0.9}
