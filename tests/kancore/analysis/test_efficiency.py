import math

import numpy as np
import pandas as pd
import pytest

from kancore.analysis.efficiency import efficiency


def test_published_examples():
    values = efficiency([0.5020752, 0.4918213], [1, 12], 7_890_452, 9000)
    np.testing.assert_allclose(values, [0.0316168, 0.00258092], rtol=2.5e-6)


@pytest.mark.parametrize(
    ("accuracy", "epochs", "parameters", "dimension"),
    [(0.9679, 41, 25_514, 750), (0.8631, 3, 35_284, 0), (0.0, 1, 11, 10), (1.0, 100, 2, 0.5)],
)
def test_is_the_formula(accuracy, epochs, parameters, dimension):
    expected = accuracy / (epochs * math.log(1 + parameters - dimension))
    value = efficiency(accuracy, epochs, parameters, dimension)
    assert value.shape == ()
    assert float(value) == pytest.approx(expected, rel=1e-14)


def test_broadcasts_runs_against_dimensions():
    runs = efficiency([0.9, 0.8], [5, 7], [1000, 2000], [[0], [750]])
    assert runs.shape == (2, 2)
    assert runs[1, 0] == efficiency(0.9, 5, 1000, 750)


def test_a_large_network_keeps_its_digits():
    assert float(efficiency(1, 1, 1e-9, 0)) == pytest.approx(1e9, rel=1e-8)


def test_diverged_runs_stay_null():
    accuracy = pd.Series([0.5, None], dtype="float64")
    epochs = pd.Series([2, None], dtype="Int64")
    assert np.isnan(efficiency(accuracy, epochs, 1000, 10)).tolist() == [False, True]
    assert np.isnan(efficiency(0.5, 1, 1000, np.nan))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 96.7], 1, 100, 0), r"accuracy in \[0, 1\], found accuracy 96.7$"),
        ((-0.1, 1, 100, 0), "found accuracy -0.1"),
        ((0.5, [1, 0], 100, 0), "epochs >= 1, found epochs 0"),
        ((0.5, 1, [800, 750], 750), "found parameters 750, intrinsic_dimension 750$"),
        ((0.5, 1, np.arange(3, 10), 9), "intrinsic_dimension 9; .* and 2 more"),
    ],
)
def test_refuses_values_outside_the_domain(arguments, message):
    with pytest.raises(ValueError, match=message):
        efficiency(*arguments)
