from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, ttest_1samp

from kancore.analysis.efficiency import efficiency, efficiency_by_source, rank_correlations
from kancore.analysis.tables import EFFICIENCY, EFFICIENCY_RANKS, INTRINSIC_DIMENSIONS
from kancore.intrinsic_dimension.estimates import (
    dimensions_for_efficiency,
    estimate_landscapes,
    published_curves,
    published_estimates,
)
from kancore.intrinsic_dimension.search import crossing
from kancore.intrinsic_dimension.subspaces import REFERENCE
from kancore.tables import LANDSCAPES, read_table, write_table

PUBLISHED = Path(__file__).parents[3] / "published" / "intrinsic_dimension.csv"
LARGEST = 199_210
CURVE = {100: 0.6, 400: 0.8, 1600: 0.95}


def landscapes(direct=(0.98,), curve=CURVE, network=REFERENCE.name):
    """Rows of one network and a seed for each accuracy of the direct network."""
    rows = [
        {
            "study": "made_up",
            "dataset": "mnist",
            "network": network,
            "projection": "fastfood",
            "seed": seed,
            "dimension": dimension,
            "direct": dimension == LARGEST,
            "parameters": LARGEST,
            "test_accuracy": accuracy,
            "diverged": bool(np.isnan(accuracy)),
            "source": "measured",
        }
        for seed, reached in enumerate(direct)
        for dimension, accuracy in {**curve, LARGEST: reached}.items()
    ]
    return pd.DataFrame(rows).reindex(columns=LANDSCAPES.names)


@pytest.fixture
def published():
    return pd.read_csv(PUBLISHED)


def test_one_seed_is_its_crossing_without_an_interval():
    absolute, relative = estimate_landscapes(landscapes()).itertuples()
    assert absolute.estimator == "landscape_absolute"
    assert absolute.dimension == pytest.approx(400 * 4 ** (2 / 3))
    assert relative.dimension == pytest.approx(crossing(CURVE, 0.9 * 0.98))
    assert np.isnan([absolute.low, absolute.high]).all()
    assert absolute.observations == 1


def test_seeds_are_averaged_in_the_logarithm_with_students_interval():
    direct = (0.9, 0.95, 1.0)
    _, relative = estimate_landscapes(landscapes(direct)).itertuples()
    each = [crossing(CURVE, 0.9 * accuracy) for accuracy in direct]
    assert relative.dimension == pytest.approx(np.exp(np.mean(np.log(each))))
    oracle = ttest_1samp(np.log(each), 0).confidence_interval(0.95)
    assert (relative.low, relative.high) == pytest.approx((np.exp(oracle.low), np.exp(oracle.high)))
    assert relative.observations == 3
    _, two = estimate_landscapes(landscapes(direct[:2])).itertuples()
    assert np.isnan([two.low, two.high]).all()


def test_a_threshold_that_a_seed_does_not_reach_has_no_estimate():
    hard = {100: 0.3, 1600: 0.5}
    absolute, relative = estimate_landscapes(landscapes((0.55, 0.95), hard)).itertuples()
    assert np.isnan(relative.dimension) == np.isnan(crossing({**hard, LARGEST: 0.55}, 0.495))
    assert np.isnan(absolute.dimension)
    assert np.isnan(absolute.low)
    lost = estimate_landscapes(landscapes((np.nan,), hard))
    assert lost["dimension"].isna().all()


def test_published_figures_fit_the_tables(published, tmp_path):
    curves, estimates = published_curves(published), published_estimates(published)
    write_table(tmp_path / "a.parquet", curves, LANDSCAPES)
    write_table(tmp_path / "b.parquet", estimates, INTRINSIC_DIMENSIONS)
    curve = read_table(tmp_path / "a.parquet", LANDSCAPES).set_index("dimension")["test_accuracy"]
    assert curve.loc[[100, 750, 10_000]].tolist() == [0.61, 0.902, 0.957]
    assert crossing(curve.to_dict(), 0.9) < 750
    found = read_table(tmp_path / "b.parquet", INTRINSIC_DIMENSIONS)
    mle = found[(found["dataset"] == "cifar10") & (found["estimator"] == "mle")]
    assert dict(zip(mle["neighbors"], mle["dimension"], strict=True)) == {
        3: 13,
        5: 21,
        10: 25,
        20: 26,
    }
    landscape = found[found["network"] == REFERENCE.name]
    assert landscape.set_index("dataset")["dimension"].to_dict() == {"mnist": 750, "cifar10": 9000}
    assert landscape.set_index("dataset")["parameters"].to_dict() == {
        "mnist": LARGEST,
        "cifar10": 656_810,
    }


@pytest.fixture
def estimates(published):
    manifold = pd.DataFrame(
        [
            {"dataset": "mnist", "estimator": "two_nn", "neighbors": 2, "dimension": 14.9},
            {"dataset": "mnist", "estimator": "mle", "neighbors": 3, "dimension": 7.3},
            {"dataset": "mnist", "estimator": "mle", "neighbors": 20, "dimension": 12.7},
        ]
    ).assign(source="measured")
    others = estimate_landscapes(landscapes(network="kan-32"))
    parts = [manifold, estimate_landscapes(landscapes()), others, published_estimates(published)]
    return pd.concat(parts, ignore_index=True)


def test_sources_of_the_dimension(estimates, published):
    found = dimensions_for_efficiency(estimates, published, ["mnist", "digits"])
    mnist = found[found["dataset"] == "mnist"].set_index("source")["intrinsic_dimension"]
    assert sorted(mnist.index) == sorted(
        ["paper", "two_nn", "mle", "landscape_absolute", "landscape_relative"]
    )
    assert mnist["paper"] == 750
    assert mnist["mle"] == 12.7
    assert mnist["landscape_absolute"] == pytest.approx(400 * 4 ** (2 / 3))
    digits = found[found["dataset"] == "digits"]
    assert digits[["source", "intrinsic_dimension"]].to_numpy().tolist() == [["paper", 0]]
    constants = dimensions_for_efficiency(
        estimates, published, ["mnist", "fashion_mnist", "cifar10", "imdb", "higgs"]
    )
    constants = constants[constants["source"] == "paper"]["intrinsic_dimension"]
    assert constants.tolist() == [750, 0, 9000, 0, 0]


def test_every_run_has_an_efficiency_under_every_source(runs, tmp_path):
    dimensions = pd.DataFrame(
        {
            "dataset": ["mnist"] * 3,
            "source": ["paper", "two_nn", "landscape_absolute"],
            "intrinsic_dimension": [750, 14.9, 30_000],
        }
    )
    table = efficiency_by_source(runs, dimensions)
    mnist = runs[runs["dataset"] == "mnist"]
    assert len(table) == 3 * len(mnist)
    write_table(tmp_path / "a.parquet", table, EFFICIENCY)
    table = read_table(tmp_path / "a.parquet", EFFICIENCY)
    for row in (
        table[~table["undefined"]]
        .dropna(subset="test_accuracy")
        .sample(50, random_state=0)
        .itertuples()
    ):
        d = row.intrinsic_dimension
        # Of all epochs, 12 in these runs, where a run has diverged.
        epochs = 12 if row.diverged else row.best_epoch
        expected = efficiency(row.test_accuracy, epochs, row.parameters, d)
        assert row.efficiency == pytest.approx(float(expected))
        expected = efficiency(row.best_test_accuracy, row.best_test_epoch, row.parameters, d)
        assert row.efficiency_on_test == pytest.approx(float(expected))
    small = table["parameters"] <= table["intrinsic_dimension"]
    assert (table["undefined"] == small).all()
    assert small.sum() == (mnist["parameters"] <= 30_000).sum() > 0
    assert table.loc[small, ["efficiency", "efficiency_on_test"]].isna().all(axis=None)


def test_rank_correlations_count_what_they_compare(runs, tmp_path):
    dimensions = pd.DataFrame(
        {
            "dataset": ["mnist"] * 3,
            "source": ["paper", "two_nn", "landscape_absolute"],
            "intrinsic_dimension": [750, np.nan, 30_000],
        }
    )
    table = efficiency_by_source(runs, dimensions)
    ranks = rank_correlations(table)
    write_table(tmp_path / "a.parquet", ranks, EFFICIENCY_RANKS)
    ranks = ranks.set_index(["source", "other"])
    assert len(ranks) == 9
    assert ranks.loc[("paper", "paper"), "spearman"] == pytest.approx(1)
    assert np.isnan(ranks.loc[("two_nn", "paper"), "spearman"])
    row = ranks.loc[("landscape_absolute", "paper")]
    paper, landscape = (
        table[table["source"] == source]["efficiency"].reset_index(drop=True)
        for source in ("paper", "landscape_absolute")
    )
    both = paper.notna() & landscape.notna()
    assert row["spearman"] == pytest.approx(spearmanr(paper[both], landscape[both]).statistic)
    assert row["compared"] == both.sum()
    mnist = runs[runs["dataset"] == "mnist"]
    assert row["undefined"] == (mnist["parameters"] <= 30_000).sum()
    assert row["runs"] == (runs["dataset"] == "mnist").sum()
