"""Pairs, against loops over runs."""

from itertools import product
from math import log

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from kancore.analysis.statistics import SCHEME, best_schemes, summarize_runs
from kancore.claims import comparisons
from kancore.claims.comparisons import CELL, backprop, kans, measured, paired, published

DIMENSIONS = pd.Series({"mnist": 750, "cifar10": 9000})
MNIST_KANS = {"dataset": "mnist", "model": "kan", "depth": "3layers"}


def rows_of(table, **values):
    """The rows that have these values, as dictionaries."""
    return table[(table[list(values)] == list(values.values())).all(axis=1)].to_dict("records")


@pytest.fixture(scope="module")
def evidence(runs, follow_ups):
    return measured(runs, follow_ups, DIMENSIONS)


def test_best_runs_are_those_of_the_best_scheme_in_every_seed(make_history, follow_ups):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1)))
    best = measured(runs, follow_ups, DIMENSIONS).best
    assert len(best) == 9 * 2
    scheme = best_schemes(runs).set_index(["model", "depth"])
    for row in best.itertuples():
        assert [getattr(row, name) for name in SCHEME] == [
            scheme.loc[(row.model, row.depth), name] for name in SCHEME
        ]
        same = rows_of(runs, model=row.model, depth=row.depth, seed=row.seed)
        # Runs that were never evaluated count as right on no example.
        accuracies = np.nan_to_num([run["test_accuracy"] for run in same])
        assert row.median == pytest.approx(np.median(accuracies))


def test_pairs_of_models_agree_in_what_they_are_paired_by(evidence, runs):
    by = (*CELL, *SCHEME)
    pairs = paired(backprop(evidence.runs), "model", "kan", "mlp", "generalization_gap", by)
    key = [*by, "model"]
    by_key = {tuple(run[name] for name in key): run for run in runs.to_dict("records")}
    expected = []
    for run in rows_of(runs, model="kan"):
        other = by_key[(*(run[name] for name in by), "mlp")]
        expected.append(run["generalization_gap"] - other["generalization_gap"])
    expected = [value for value in expected if not np.isnan(value)]
    assert sorted(pairs["difference"]) == pytest.approx(sorted(expected))
    assert len(pairs) < 3 * 3 * 27  # some diverged before they were evaluated
    assert pairs.groupby("dataset").size().nunique() == 1


def test_pairs_need_both_sides(evidence):
    no_mlp = evidence.runs[evidence.runs["model"] != "mlp"]
    assert paired(no_mlp, "model", "kan", "mlp", "test_accuracy", (*CELL, *SCHEME)).empty
    assert paired(evidence.runs, "model", "kan", "mlp", "missing", CELL).empty


def test_one_more_layer_with_the_same_scheme_and_seed(evidence):
    pairs = comparisons.next_depth(kans(evidence.runs), "test_accuracy", (*CELL, *SCHEME))
    expected = []
    for run in rows_of(evidence.runs, model="kan"):
        deeper = f"{int(run['depth'][0]) + 1}layers"
        same = {name: run[name] for name in ("dataset", "seed", *SCHEME)}
        for other in rows_of(evidence.runs, model="kan", depth=deeper, **same):
            if not (other["failed"] and run["failed"]):
                expected.append(other["test_accuracy"] - run["test_accuracy"])
    assert sorted(pairs["difference"]) == pytest.approx(sorted(expected))


def test_efficiency_takes_the_papers_dimensions(evidence):
    dimensions = {"mnist": 750, "fashion_mnist": 0, "cifar10": 9000}
    for dataset, dimension in dimensions.items():
        for run in rows_of(evidence.runs, dataset=dataset, model="kan")[:3]:
            n = run["parameters"] - dimension
            expected = log(run["test_accuracy"] / (run["best_epoch"] * log(1 + n)))
            assert run["log_efficiency"] == pytest.approx(expected)


def test_efficiency_is_null_for_fewer_parameters_than_dimensions(runs, follow_ups):
    small = measured(runs.assign(parameters=700), follow_ups, DIMENSIONS).runs
    assert small.loc[small["dataset"] == "mnist", "log_efficiency"].isna().all()
    assert small.loc[small["dataset"] == "fashion_mnist", "log_efficiency"].notna().all()


def test_rivals_are_chosen_on_validation_data(evidence):
    claimed = {
        "initialization": lambda column: column == "kaiming_normal",
        "optimizer": lambda column: column == "adam",
        "learning_rate": lambda column: column <= 5e-4,
    }
    pairs = comparisons.best_rival(kans(evidence.runs), "optimizer", claimed)
    assert len(pairs) == 3 * 3
    rows = rows_of(
        evidence.runs, **MNIST_KANS, initialization="kaiming_normal", learning_rate=0.0005
    )
    own = next(row for row in rows if row["optimizer"] == "adam")
    rivals = [row for row in rows if row["optimizer"] != "adam"]
    rival = max(rivals, key=lambda row: row["validation_accuracy"])
    expected = own["test_accuracy"] - rival["test_accuracy"]
    assert np.isclose(pairs["difference"], expected, atol=1e-12).sum() == 1


def test_order_of_architectures_under_two_objectives(make_history, follow_ups):
    runs = summarize_runs(make_history(datasets=("mnist",), objectives=("backprop", "hsic")))
    best = measured(runs, follow_ups, DIMENSIONS).best
    pairs = comparisons.same_order(best)["difference"]
    assert len(pairs) == 9 * 8 / 2
    wide = best.pivot(index=["model", "depth"], columns="objective", values="test_accuracy")
    wide = wide.to_numpy(float)
    agree = [
        np.sign((a[0] - b[0]) * (a[1] - b[1])) for i, a in enumerate(wide) for b in wide[i + 1 :]
    ]
    assert sorted(pairs) == sorted(agree)
    # Kendall's tau is the mean of these signs.
    assert pairs.mean() == pytest.approx(kendalltau(*wide.T).statistic)


def test_activations_are_paired_by_depth_and_seed(evidence, follow_ups):
    pairs = comparisons.activations(evidence, "gelu", "silu")
    assert len(pairs) == 3 * 3 * 2
    key = {"experiment": "activation", "dataset": "mnist", "depth": "3layers", "seed": 1}
    (gelu,) = rows_of(follow_ups, activation="gelu", **key)
    (silu,) = rows_of(follow_ups, activation="silu", **key)
    expected = gelu["test_accuracy"] - silu["test_accuracy"]
    assert np.isclose(pairs["difference"], expected, atol=1e-12).sum() == 1


def width_degree(follow_ups, dataset, seed):
    """Runs of one data set and seed by layers, width and degree."""
    found = {}
    for row in rows_of(follow_ups, experiment="width_degree", dataset=dataset, seed=seed):
        width, *more = row["hidden_widths"].split("x")
        found[1 + len(more), int(width), row["degree"]] = row
    return found


def test_half_the_width_takes_its_best_higher_degree(evidence, follow_ups):
    expected = []
    for dataset, seed in product(("mnist", "fashion_mnist", "cifar10"), (0, 1)):
        runs = width_degree(follow_ups, dataset, seed)
        for width, degree in product((16, 32), (1, 2)):
            rivals = [runs[1, width // 2, higher] for higher in range(degree + 1, 4)]
            rival = max(rivals, key=lambda row: row["validation_accuracy"])
            expected.append(rival["test_accuracy"] - runs[1, width, degree]["test_accuracy"])
    pairs = comparisons.narrow_for_wide(evidence)
    assert sorted(pairs["difference"]) == pytest.approx(sorted(expected))
    assert (pairs["difference"] < 0).all()


def test_gains_of_a_layer_and_of_a_degree_are_for_each_parameter(evidence, follow_ups):
    expected = []
    for dataset, seed in product(("mnist", "fashion_mnist", "cifar10"), (0, 1)):
        runs = width_degree(follow_ups, dataset, seed)
        for width, degree in product((8, 16, 32), (1, 2)):
            start = runs[1, width, degree]
            gains = [
                (end["test_accuracy"] - start["test_accuracy"])
                / (end["parameters"] - start["parameters"])
                for end in (runs[2, width, degree], runs[1, width, degree + 1])
            ]
            expected.append(gains[0] - gains[1])
    pairs = comparisons.layer_against_degree(evidence)
    assert sorted(pairs["difference"]) == pytest.approx(sorted(expected))


def test_published_figures_are_evidence_too():
    columns = ["dataset", "objective", "model", "depth", "best", "median", "gap", "source"]
    figures = pd.DataFrame(
        [
            ["mnist", "backprop", "kan", "2layers", 0.95, 0.94, 0.04, "published runs"],
            ["mnist", "backprop", "mlp", "2layers", 0.97, 0.96, 0.03, "published runs"],
            ["mnist", "backprop", "kan", "2layers", 0.5, None, None, "degree study"],
        ],
        columns=columns,
    )
    evidence = published(figures)
    pairs = paired(evidence.best, "model", "kan", "mlp", "test_accuracy", CELL)
    assert pairs["difference"].tolist() == pytest.approx([-0.02])
    assert comparisons.best_rival(evidence.runs, "optimizer", dict.fromkeys(SCHEME)).empty
    for compare in (comparisons.narrow_for_wide, comparisons.layer_against_degree):
        assert compare(evidence).empty


def test_an_empty_follow_up_table_gives_no_pairs(runs):
    evidence = measured(runs, runs.iloc[:0], DIMENSIONS)
    assert comparisons.activations(evidence, "gelu", "silu").empty
    assert comparisons.narrow_for_wide(evidence).empty
    assert comparisons.layer_against_degree(evidence).empty


def times(*rows, device="here"):
    """Sweeps of two epochs of ten schemes: (model, parameters, seconds of one network's epoch)."""
    columns = ["model", "parameters", "seconds"]
    table = pd.DataFrame(rows, columns=columns).assign(dataset="mnist", objective="backprop")
    return table.assign(
        depth=[f"{place}layers" for place in range(len(rows))],
        training_seconds=table["seconds"] * 20,
        epochs=2,
        schemes=10,
        seed=0,
        activation="gelu",
        degree=3,
        grid_size=5,
        device=device,
        threads=1,
    )


def test_time_is_compared_with_that_of_an_mlp_of_as_many_parameters(runs):
    mlps = [("mlp", 100, 1.0), ("wide_mlp", 10_000, 100.0)]
    sweeps = times(*mlps, ("kan", 1000, 20.0), ("kan", 20_000, 7.0))
    kernels = sweeps["model"].map({"kan": ", kernels: avx2"}).fillna("")  # which MLPs do not have
    sweeps["device"] += kernels
    elsewhere = times(("kan", 1000, 9.0), device="there")
    evidence = measured(runs, runs.iloc[:0], DIMENSIONS, pd.concat([sweeps, elsewhere]))
    pairs = comparisons.matched_time(evidence)
    # Halfway between 1 and 100 in logarithms is 10; a larger KAN, or another machine, is no pair.
    assert pairs["difference"].tolist() == pytest.approx([log(20 / 10)])
    assert comparisons.matched_time(measured(runs, runs.iloc[:0], DIMENSIONS)).empty


def test_the_best_degree_in_the_middle_is_chosen_on_validation(evidence, follow_ups):
    rows = follow_ups[follow_ups["experiment"] == "width_degree"]
    expected = {min: [], max: []}
    for _, own in rows.groupby(["dataset", "seed", "hidden_widths"]):
        at = own.set_index("degree")["test_accuracy"]
        for end, differences in expected.items():
            differences.append(at.loc[2] - at.loc[end(1, 3)])
    for end, differences in expected.items():
        pairs = comparisons.middle_degree(evidence, end)
        assert sorted(pairs["difference"]) == pytest.approx(sorted(differences))


def test_the_most_efficient_network_and_the_best_other_one(evidence):
    pairs = comparisons.shallow_and_small(evidence).set_index("dataset")["difference"]
    assert sorted(pairs.index) == ["cifar10", "fashion_mnist", "mnist"]
    rows = [row for row in rows_of(evidence.runs, dataset="mnist") if not row["failed"]]
    sizes = {(row["model"], row["depth"]): row["parameters"] for row in rows}
    middle = np.median(list(sizes.values()))
    best = {}
    for row in rows:
        side = row["depth"] == "2layers" and row["parameters"] <= middle
        score = row["validation_accuracy"] / row["best_epoch"] / log(row["parameters"] - 749)
        if side not in best or score > best[side][0]:
            best[side] = score, row["log_efficiency"]
    assert pairs["mnist"] == pytest.approx(best[True][1] - best[False][1])


def test_sizes_are_compared_where_architectures_are_as_efficient():
    rows = [
        ("simple", "2layers", 100, -3.0),
        ("simple", "3layers", 200, -4.0),
        ("complex", "2layers", 800, -3.95),
        ("complex", "3layers", 900, -7.0),
    ]
    runs = pd.DataFrame(rows, columns=["dataset", "depth", "parameters", "log_efficiency"])
    runs = runs.assign(objective="backprop", model="kan", seed=0, failed=False)
    complexity = pd.Series({"simple": 5.0, "complex": 9.0})
    evidence = comparisons.Evidence(runs, runs, runs.iloc[:0], complexity=complexity)
    pairs = comparisons.size_for_efficiency(evidence, within=0.1)
    assert pairs["dataset"].tolist() == ["complex"]
    assert pairs["difference"].tolist() == pytest.approx([log(800 / 200)])


def test_an_objective_takes_the_place_of_backpropagation(make_history, follow_ups):
    runs = summarize_runs(make_history(datasets=("mnist",), objectives=("backprop", "hsic")))
    evidence = measured(runs, follow_ups, DIMENSIONS)
    own = comparisons.under(evidence, "hsic")
    assert set(own.runs["objective"]) == {"backprop"}
    assert sorted(own.runs["test_accuracy"]) == sorted(
        row["test_accuracy"] for row in rows_of(evidence.runs, objective="hsic")
    )
    assert own.follow_ups.empty


@pytest.fixture(scope="module")
def unstable(make_history):
    """KANs that diverge by half their schemes, after one evaluation or before any."""
    runs = summarize_runs(make_history(datasets=("mnist",)))
    runs = runs[~runs["diverged"]]
    lost = (runs["model"] == "kan") & (runs["initialization"] != "orthogonal")
    lost &= runs["optimizer"] == "adam"
    at_once = lost & (runs["initialization"] == "kaiming_normal")
    values = ["validation_accuracy", "test_accuracy", "best_test_accuracy", "generalization_gap"]
    runs = runs.assign(diverged=lost, best_epoch=runs["best_epoch"].mask(lost, 2))
    runs[values] = runs[values].mask(lost, 0.3 * runs[values]).mask(at_once)
    runs[["epochs", "best_epoch"]] = runs[["epochs", "best_epoch"]].mask(at_once)
    return runs


def summaries_of(runs, follow_ups):
    """What KANs have to show against MLPs: spread, efficiency and epochs."""
    evidence = measured(runs, follow_ups.iloc[:0], DIMENSIONS)
    spreads = paired(comparisons.spread(evidence.best), "model", "kan", "mlp", "spread", CELL)
    by = (*CELL, *SCHEME)
    others = (
        paired(evidence.runs, "model", "kan", "mlp", value, by)["difference"].mean()
        for value in ("log_efficiency", "log_best_epoch", "test_accuracy")
    )
    return [spreads["difference"].mean(), *others]


def test_losing_runs_that_diverged_would_flatter_so_they_count(unstable, follow_ups):
    counting = summaries_of(unstable, follow_ups)
    dropping = summaries_of(unstable[~unstable["diverged"]], follow_ups)
    evaluated = summaries_of(unstable[unstable["test_accuracy"].notna()], follow_ups)
    unmarked = unstable.assign(diverged=False).dropna(subset="test_accuracy")
    stable = summaries_of(unmarked, follow_ups)
    spread, efficiency, epochs, accuracy = range(4)
    assert counting[spread] > dropping[spread]
    assert counting[efficiency] < dropping[efficiency]
    assert counting[efficiency] < stable[efficiency]  # an early end would pass for speed
    assert counting[epochs] > stable[epochs]
    assert counting[accuracy] < min(dropping[accuracy], evaluated[accuracy])


def test_two_runs_that_failed_are_no_pair(unstable, follow_ups):
    at_once = unstable[unstable["test_accuracy"].isna()]
    both = pd.concat([at_once, at_once.assign(model="mlp")])
    evidence = measured(both, follow_ups.iloc[:0], DIMENSIONS)
    assert paired(evidence.runs, "model", "kan", "mlp", "test_accuracy", (*CELL, *SCHEME)).empty


def test_an_architecture_whose_schemes_all_diverged_still_has_a_best_one(unstable, follow_ups):
    lost = unstable.assign(diverged=unstable["diverged"] | (unstable["model"] == "kan"))
    best = measured(lost, follow_ups.iloc[:0], DIMENSIONS).best
    assert len(best) == 9
    rows = [row for row in rows_of(lost, **MNIST_KANS) if row["validation_accuracy"] > 0]
    expected = max(rows, key=lambda row: row["validation_accuracy"])["test_accuracy"]
    assert rows_of(best, **MNIST_KANS)[0]["test_accuracy"] == expected
