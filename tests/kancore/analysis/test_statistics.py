from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, trim_mean, ttest_1samp, ttest_ind

from kancore.analysis.statistics import (
    SCHEME,
    SETTING,
    average_seeds,
    best_kan_scheme,
    best_schemes,
    choice_of_scheme,
    fewest_seeds,
    interquartile_mean,
    interval_over_seeds,
    main_grid,
    median_interval,
    over_seeds,
    probability_of_improvement,
    resampled,
    summarize_runs,
)
from kancore.analysis.tables import RUNS
from kancore.schemes import INITIALIZATIONS, OPTIMIZERS
from kancore.tables import KEY_NAMES, read_table, write_table


def one_run(train, validation, test, diverged=False):
    """The history of one run, evaluated every second epoch."""
    key = {
        **dict.fromkeys(KEY_NAMES, "x"),
        **{"degree": None, "grid_size": None, "learning_rate": 0.1, "seed": 0},
    }
    rows = [
        {**key, "epoch": 2 * (i + 1), "train_accuracy": a, "validation_accuracy": b}
        | {"test_accuracy": c, "diverged": False, "parameters": 7, "code": "c"}
        for i, (a, b, c) in enumerate(zip(train, validation, test, strict=True))
    ]
    if diverged:
        nothing = dict.fromkeys(["train_accuracy", "validation_accuracy", "test_accuracy"])
        last = {**key, **nothing, "epoch": 2 * (len(rows) + 1), "diverged": True}
        rows.append({**last, "parameters": 7, "code": "c"})
    return pd.DataFrame(rows)


def naive_summary(evaluations):
    """One run in plain Python; `evaluations` are dictionaries in order of epochs."""
    values = [row for row in evaluations if not row["diverged"]]
    if not values:
        return {"best_epoch": None, "test_accuracy": None, "generalization_gap": None}
    has_validation = not np.isnan(values[0]["validation_accuracy"])
    score = "validation_accuracy" if has_validation else "test_accuracy"
    best = max(values, key=lambda row: row[score])  # max keeps the first of equals
    on_test = max(values, key=lambda row: row["test_accuracy"])
    gaps = [row["train_accuracy"] - row["test_accuracy"] for row in values]
    on_test_set = [row["test_accuracy"] for row in values]
    falls = [max(0.0, before - after) for before, after in pairwise(on_test_set)]
    return {
        "epochs": values[-1]["epoch"],
        "best_epoch": best["epoch"],
        "train_accuracy": best["train_accuracy"],
        "validation_accuracy": best["validation_accuracy"] if has_validation else None,
        "test_accuracy": best["test_accuracy"],
        "best_test_epoch": on_test["epoch"],
        "best_test_accuracy": on_test["test_accuracy"],
        "generalization_gap": sum(gaps) / len(gaps),
        "last_test_accuracy": values[-1]["test_accuracy"],
        "mean_fall": sum(falls) / len(falls) if falls else None,
    }


@pytest.mark.parametrize("validation", [True, False])
def test_summary_is_that_of_a_loop_over_runs(make_history, validation):
    history = make_history(datasets=("mnist",), validation=validation)
    runs = summarize_runs(history.sample(frac=1, random_state=0))
    assert list(runs) == RUNS.names
    assert len(runs) == 9 * 27
    expected = {}
    for row in history.to_dict("records"):
        expected.setdefault(tuple(str(row[name]) for name in KEY_NAMES), []).append(row)
    for run in runs.to_dict("records"):
        evaluations = expected.pop(tuple(str(run[name]) for name in KEY_NAMES))
        assert run["diverged"] == evaluations[-1]["diverged"]
        for name, value in naive_summary(evaluations).items():
            if value is None:
                assert pd.isna(run[name])
            else:
                assert run[name] == pytest.approx(value, abs=1e-12)
    assert not expected


def test_best_epoch_is_the_first_of_equals_and_ignores_the_test_set():
    history = one_run([0.5, 0.6, 0.7], [0.4, 0.8, 0.8], [0.3, 0.5, 0.9])
    run = summarize_runs(history).iloc[0]
    assert (run["best_epoch"], run["test_accuracy"], run["train_accuracy"]) == (4, 0.5, 0.6)
    assert (run["best_test_epoch"], run["best_test_accuracy"]) == (6, 0.9)
    assert run["generalization_gap"] == pytest.approx((0.2 + 0.1 - 0.2) / 3)


def test_a_run_that_diverges_keeps_what_it_reached():
    run = summarize_runs(one_run([0.5], [0.4], [0.3], diverged=True)).iloc[0]
    assert run["diverged"]
    assert (run["epochs"], run["best_epoch"], run["test_accuracy"]) == (2, 2, 0.3)


def test_a_run_that_diverges_at_once_has_null_values():
    run = summarize_runs(one_run([], [], [], diverged=True)).iloc[0]
    assert run["diverged"]
    assert run[["epochs", "best_epoch", "test_accuracy", "generalization_gap"]].isna().all()
    assert run["parameters"] == 7


def test_summary_is_sorted_and_fits_the_schema(runs, history, tmp_path):
    keys = runs[list(KEY_NAMES)]
    pd.testing.assert_frame_equal(keys, keys.sort_values(list(KEY_NAMES), ignore_index=True))
    write_table(tmp_path / "runs.parquet", summarize_runs(history), RUNS)
    pd.testing.assert_frame_equal(read_table(tmp_path / "runs.parquet", RUNS), runs)


def test_average_over_seeds(make_history):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1, 2)))
    schemes = average_seeds(runs)
    assert len(schemes) == 9 * 27
    row = schemes[(schemes["model"] == "kan") & (schemes["optimizer"] == "adam")].iloc[0]
    same = runs
    for name in (*SETTING, *SCHEME):
        same = same[same[name] == row[name]]
    accuracies = same["test_accuracy"].tolist()
    assert (row["seeds"], row["diverged"], len(accuracies)) == (3, 0, 3)
    assert row["test_accuracy"] == pytest.approx(sum(accuracies) / 3)
    assert (row["lowest"], row["highest"]) == (min(accuracies), max(accuracies))


def test_best_scheme_is_chosen_on_validation_among_those_that_never_diverged(runs):
    best = best_schemes(runs)
    assert len(best) == 3 * 9
    for row in best.itertuples():
        rows = runs[(runs["dataset"] == row.dataset) & (runs["model"] == row.model)]
        rows = rows[rows["depth"] == row.depth]
        stable = rows[~rows["diverged"]]
        chosen = stable.loc[stable["validation_accuracy"].idxmax()]
        assert row.test_accuracy == chosen["test_accuracy"]
        assert [getattr(row, name) for name in SCHEME] == chosen[list(SCHEME)].tolist()
        assert row.median == pytest.approx(np.median(rows["test_accuracy"].fillna(0)))
        assert (row.schemes, row.diverged_schemes) == (27, 3)
        assert row.parameters == chosen["parameters"]


def test_a_scheme_of_which_one_seed_diverged_is_not_best(make_history):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1)))
    winner = best_schemes(runs).iloc[0]
    names = [*SETTING, *SCHEME]
    same = (runs[names].fillna(0) == winner[names].fillna(0)).all(axis=1)
    assert same.sum() == 2
    runs.loc[same & (runs["seed"] == 1), "diverged"] = True
    loser = best_schemes(runs).iloc[0]
    assert loser["validation_accuracy"] < winner["validation_accuracy"]
    assert loser["diverged_schemes"] == winner["diverged_schemes"] + 1


def test_where_all_schemes_diverged_there_is_no_best(runs):
    best = best_schemes(runs.assign(diverged=runs["diverged"] | (runs["model"] == "kan")))
    kan = best["model"] == "kan"
    assert best.loc[kan, ["optimizer", "test_accuracy"]].isna().all(axis=None)
    assert best.loc[kan, "median"].notna().all()
    assert (best.loc[kan, "diverged_schemes"] == 27).all()
    assert best.loc[~kan, "test_accuracy"].notna().all()


def test_best_scheme_without_validation_is_chosen_on_test(make_history):
    runs = summarize_runs(make_history(datasets=("mnist",), validation=False))
    best = best_schemes(runs)
    stable = runs[~runs["diverged"]]
    highest = stable.groupby(["model", "depth"])["test_accuracy"].max()
    found = best.set_index(["model", "depth"])["test_accuracy"]
    pd.testing.assert_series_equal(found.sort_index(), highest.sort_index())


def test_main_grid_keeps_the_most_common_values(runs):
    some = runs[runs["initialization"] == INITIALIZATIONS[0]]
    kans = some[(some["model"] == "kan") & (some["optimizer"] == OPTIMIZERS[0])]
    mixed = pd.concat([runs, some.assign(activation="elu"), kans.assign(degree=5)])
    pd.testing.assert_frame_equal(main_grid(mixed), runs)


def test_main_grid_prefers_the_values_of_the_paper(runs):
    other = runs.assign(activation="elu")
    assert set(main_grid(pd.concat([other, runs]))["activation"]) == {"gelu"}
    kans = runs[runs["model"] == "kan"]
    both = pd.concat([kans.assign(degree=2), kans])
    assert set(main_grid(both)["degree"]) == {3}


def test_main_grid_lets_models_and_data_sets_have_values_of_their_own(runs):
    """As KANs and MLPs have under the published protocol, and KANs of MNIST and of the rest."""
    models = {"mlp": "relu", "kan": "silu", "wide_mlp": "relu"}
    own = runs.assign(activation=runs["model"].map(models))
    there = pd.concat([own, runs.assign(dataset="elsewhere")])
    pd.testing.assert_frame_equal(main_grid(there), there)


def test_median_interval_is_the_percentile_bootstrap():
    values = np.random.default_rng(3).normal(0.9, 0.02, 27)
    oracle = bootstrap(
        (values,), np.median, method="percentile", n_resamples=20_000, rng=np.random.default_rng(4)
    ).confidence_interval
    low, high = median_interval([*values, np.nan], resamples=20_000)
    assert low == pytest.approx(oracle.low, abs=1e-3)
    assert high == pytest.approx(oracle.high, abs=1e-3)
    assert median_interval(values) == median_interval(values)


@pytest.mark.parametrize("values", [[], [np.nan], [0.5], [0.5] * 27])
def test_a_median_that_cannot_vary_has_no_interval(values):
    assert np.isnan(median_interval(values)).all()


def test_best_kan_scheme_has_the_best_mean_validation_accuracy_over_depths(make_history):
    runs = summarize_runs(make_history(datasets=("mnist", "cifar10"), seeds=(0, 1)))
    kans = runs[(runs["model"] == "kan") & (runs["dataset"] == "cifar10") & ~runs["diverged"]]
    means = kans.groupby(list(SCHEME))["validation_accuracy"].mean()
    scheme = best_kan_scheme(runs, "cifar10")
    assert tuple(vars(scheme).values()) == means.idxmax()


def test_a_scheme_that_diverged_once_comes_after_those_that_never_did(runs):
    first = best_kan_scheme(runs, "mnist")
    mine = (runs[list(SCHEME)] == list(vars(first).values())).all(axis=1)
    lost = runs.assign(diverged=runs["diverged"] | (mine & (runs["depth"] == "3layers")))
    second = best_kan_scheme(lost, "mnist")
    assert second != first
    everywhere = lost.assign(diverged=True)
    assert best_kan_scheme(everywhere, "mnist") == first


def test_where_every_kan_diverged_at_once_the_first_scheme_stands(runs):
    lost = dict.fromkeys(("validation_accuracy", "test_accuracy"), float("nan"))
    at_once = runs.assign(diverged=True, **lost)
    first = min(tuple(scheme) for scheme in at_once[list(SCHEME)].to_numpy())
    assert tuple(vars(best_kan_scheme(at_once, "mnist")).values()) == first


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40))
def test_interquartile_mean_is_scipys_trimmed_mean(values):
    assert interquartile_mean(np.array(values)) == pytest.approx(trim_mean(values, 0.25))


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5]), min_size=1, max_size=40))
def test_probability_of_improvement_counts_pairs(values):
    naive = sum(1.0 if value > 0 else 0.5 if value == 0 else 0.0 for value in values) / len(values)
    assert probability_of_improvement(np.array(values)) == pytest.approx(naive)


@pytest.mark.slow
def test_stratified_interval_is_that_of_a_loop_over_strata():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 1, 30), random.normal(5, 0.1, 10)])
    strata = np.array(["a"] * 30 + ["b"] * 10)
    drawn = [
        trim_mean(
            [*random.choice(values[:30], 30).tolist(), *random.choice(values[30:], 10).tolist()],
            0.25,
        )
        for _ in range(5000)
    ]
    low, high = resampled(values, strata, interquartile_mean, 20_000).interval(0.95)
    assert [low, high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.05)
    whole = resampled(values, np.zeros(40), interquartile_mean, 20_000).interval(0.95)
    assert whole[1] - whole[0] > 1.3 * (high - low)  # resampling across strata varies their sizes


def test_stratified_interval_of_one_stratum_is_scipys_bootstrap():
    values = np.random.default_rng(3).normal(0.9, 0.02, 27)
    oracle = bootstrap(
        (values,),
        lambda x, axis: trim_mean(x, 0.25, axis=axis),
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(4),
    ).confidence_interval
    found = resampled(values, np.zeros(27), interquartile_mean, 20_000).interval(0.95)
    assert found == pytest.approx((oracle.low, oracle.high), abs=1e-3)


def test_strata_of_one_value_do_not_vary_and_have_no_interval():
    found = resampled(np.array([1.0, 2.0]), np.array(["a", "b"]), interquartile_mean)
    assert (found.values == 1.5).all()
    assert np.isnan(found.interval(0.95)).all()


def test_an_interval_over_seeds_of_one_stratum_is_students():
    random = np.random.default_rng(0)
    means = random.normal(0.1, 1, 5)
    values = (means[:, None] + np.linspace(-1, 1, 27)).flatten()
    found = interval_over_seeds(values, np.zeros(135), np.repeat(range(5), 27), np.mean)
    oracle = ttest_1samp(means, 0).confidence_interval(0.95)
    assert found == pytest.approx((oracle.low, oracle.high))


def test_an_interval_over_seeds_of_two_strata_is_welchs():
    """The mean of two strata is half the difference of one and the negative of the other."""
    first, second = np.random.default_rng(1).normal([[0.1], [0.3]], [[1], [3]], (2, 4))
    found = interval_over_seeds(
        np.concatenate([first, second]), np.repeat([0, 1], 4), np.tile(range(4), 2), mean_of_last
    )
    oracle = ttest_ind(first, -second, equal_var=False).confidence_interval(0.95)
    assert found == pytest.approx((oracle.low / 2, oracle.high / 2))


def mean_of_last(values):
    return values.mean(axis=-1)


def coverage(interval, studies=200):
    """Share of intervals that hold the truth: three data sets, three seeds, 27 schemes.

    A seed moves all schemes of a data set; schemes have effects of their own, as data sets have.
    """
    random, held = np.random.default_rng(0), 0
    schemes, datasets = random.normal(0, 1, 27), np.array([-0.5, 0.0, 0.5])
    strata, seeds = np.repeat(range(3), 81), np.tile(np.repeat(range(3), 27), 3)
    fixed = (datasets[:, None, None] + schemes).repeat(3, axis=1).flatten()
    truth = interquartile_mean(
        (fixed[:, None] + norm.ppf(np.linspace(0.0005, 0.9995, 1000), scale=2**0.5)).flatten()
    )
    for _ in range(studies):
        effects = random.normal(0, 1, (3, 3)).repeat(27) + random.normal(0, 1, 243)
        low, high = interval(fixed + effects, strata, seeds)
        held += low <= truth <= high
    return held / studies


def test_intervals_over_seeds_hold_the_truth_at_their_rate():
    def over_seeds(values, strata, seeds):
        return interval_over_seeds(values, strata, seeds, interquartile_mean)

    def over_pairs(values, strata, seeds):
        return resampled(values, strata, interquartile_mean, 200).interval(0.95)

    assert 0.93 <= coverage(over_seeds, studies=1000) <= 0.97
    assert coverage(over_pairs) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "pairs", "noise"),
    [(3, 3, 0.5), (5, 1, 0.0), (5, 3, 0.1), (8, 1, 0.0), (10, 1, 0.0), (10, 3, 0.5)],
)
def test_intervals_hold_the_truth_whatever_seeds_and_pairs_there_are(count, pairs, noise):
    """Of five seeds with a pair each the middle three count, as few as two degrees of freedom."""
    random, held = np.random.default_rng(0), 0
    seeds = np.repeat(range(count), pairs)
    for _ in range(2000):
        values = random.normal(size=count)[seeds] + noise * random.normal(size=len(seeds))
        low, high = interval_over_seeds(values, np.zeros(len(seeds)), seeds, interquartile_mean)
        held += low <= 0 <= high
    assert 0.93 <= held / 2000 <= 0.97


def test_degrees_of_freedom_are_those_of_a_trimmed_mean():
    """Against SciPy's trimmed t test: its second sample, a constant, has no say."""
    values = np.random.default_rng(3).normal(size=12)
    found = over_seeds(values, np.zeros(12), np.arange(12), interquartile_mean)
    oracle = ttest_ind(values, np.zeros(12), equal_var=False, trim=0.25)
    assert found.middle == pytest.approx(trim_mean(values, 0.25))
    assert found.freedom == pytest.approx(oracle.df)
    # The jackknife's error is the winsorized one but for a few percent.
    assert found.middle / found.error == pytest.approx(oracle.statistic, rel=0.1)


@pytest.mark.parametrize(
    ("values", "seeds"),
    [
        (np.full(6, 1e-6), np.arange(6) % 3),
        (np.array([0.91 - 0.9, 0.81 - 0.8, 0.71 - 0.7]), np.arange(3)),  # equal but for rounding
        (np.array([0.01]), np.zeros(1)),
        (np.linspace(-1, 1, 10), np.arange(10) % 2),
    ],
)
def test_seeds_that_are_few_or_agree_give_neither_an_interval_nor_a_p_value(values, seeds):
    found = over_seeds(values, np.zeros(len(values)), seeds, interquartile_mean)
    assert found.middle == interquartile_mean(values)
    nothing = [*found.interval(0.95), found.p_above(0), found.p_below(0)]
    assert np.isnan(nothing).all()


def test_fewest_seeds_are_of_one_stratum():
    strata, seeds = np.array(["a", "a", "a", "b", "b"]), np.array([0, 1, 1, 0, 3])
    assert fewest_seeds(strata, seeds) == 2
    assert fewest_seeds(strata[:0], seeds[:0]) == 0
    # One of them is enough to leave the interval out.
    mixed = np.repeat(["a", "b"], [5, 2]), np.array([0, 1, 2, 3, 4, 0, 1])
    assert np.isnan(interval_over_seeds(np.arange(7.0), *mixed, interquartile_mean)).all()


def test_the_choice_of_a_scheme_of_ones_own_holds_its_code(runs):
    named = choice_of_scheme(runs, "mnist")
    assert named == asdict(best_kan_scheme(runs, "mnist"))
    lion = {**named, "optimizer": "mine:Lion"}
    own = runs.assign(optimizer=runs["optimizer"].replace(named["optimizer"], "mine:Lion"))
    codes = own.loc[(own["model"] == "kan") & (own["dataset"] == "mnist"), "code"]
    assert choice_of_scheme(own, "mnist") == {**lion, "code": sorted(set(codes))}
    edited = own.assign(code="0123456789abcdef")
    assert choice_of_scheme(edited, "mnist") == {**lion, "code": ["0123456789abcdef"]}


def test_of_equally_good_schemes_the_earlier_is_chosen_and_ties_are_told(runs):
    """Whatever they are called: all schemes of an architecture validate alike."""
    own = runs[(runs["model"] == "mlp") & (runs["dataset"] == "mnist") & ~runs["diverged"]]
    tied = own.assign(validation_accuracy=0.9, best_epoch=8)
    first = (tied["optimizer"] == "sgd") & (tied["initialization"] == "orthogonal")
    first &= tied["learning_rate"] == 0.005
    tied.loc[first, "best_epoch"] = 4
    found = best_schemes(tied)
    assert set(found["optimizer"]) == {"sgd"}
    assert set(found["initialization"]) == {"orthogonal"}
    assert (found["tied"] == tied.groupby("depth").size().to_numpy()).all()
    on_test = tied.groupby("depth")["test_accuracy"]
    assert (found["tied_low"] == on_test.min().to_numpy()).all()
    assert (found["tied_high"] == on_test.max().to_numpy()).all()
    trained = tied.assign(best_epoch=8, train_accuracy=first.astype(float))
    assert set(best_schemes(trained)["initialization"]) == {"orthogonal"}
