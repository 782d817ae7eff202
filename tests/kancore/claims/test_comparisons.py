"""Pairs, against loops over runs."""

from math import log

import numpy as np
import pandas as pd
import pytest

from kancore.analysis.statistics import CELL, SCHEME, best_schemes, summarize_runs
from kancore.claims import comparisons
from kancore.claims.comparisons import backprop, kans, measured, paired
from kancore.claims.declared import CLAIMS

DIMENSIONS = pd.Series({"mnist": 750, "cifar10": 9000})
MNIST_KANS = {"dataset": "mnist", "model": "kan", "depth": "3layers"}


def rows_of(table, **values):
    """The rows that have these values, as dictionaries."""
    return table[(table[list(values)] == list(values.values())).all(axis=1)].to_dict("records")


@pytest.fixture(scope="module")
def evidence(runs, follow_ups):
    return measured(runs, follow_ups, DIMENSIONS)


def test_each_seed_chooses_its_best_scheme(make_history, follow_ups):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1)))
    best = measured(runs, follow_ups, DIMENSIONS).best
    assert len(best) == 9 * 2
    for seed, own in best.groupby("seed"):
        scheme = best_schemes(runs[runs["seed"] == seed]).set_index(["model", "depth"])
        for row in own.itertuples():
            assert [getattr(row, name) for name in SCHEME] == [
                scheme.loc[(row.model, row.depth), name] for name in SCHEME
            ]
            same = rows_of(runs, model=row.model, depth=row.depth, seed=seed)
            # Runs that were never evaluated count as right on no example.
            accuracies = np.nan_to_num([run["test_accuracy"] for run in same])
            assert row.median == pytest.approx(np.median(accuracies))
    # What another seed chose, or whether there is one, changes nothing.
    alone = measured(runs[runs["seed"] == 1], follow_ups, DIMENSIONS).best
    pd.testing.assert_frame_equal(
        alone.reset_index(drop=True), best[best["seed"] == 1].reset_index(drop=True)
    )


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


def test_pairs_are_those_of_a_merge_in_the_order_of_what_they_agree_in(evidence):
    by = [*CELL, *SCHEME]
    runs = backprop(evidence.runs)
    kan, mlp = (runs[runs["model"] == model] for model in ("kan", "mlp"))
    merged = kan.merge(mlp, on=by).sort_values(by)
    merged = merged[~(merged["failed_x"].astype(bool) & merged["failed_y"].astype(bool))]
    difference = (merged["test_accuracy_x"] - merged["test_accuracy_y"]).astype(float)
    expected = merged[["dataset", "seed"]].assign(difference=difference).dropna()
    # In another order, as tables of a study that was merged have it.
    pairs = paired(
        runs.sample(frac=1, random_state=1), "model", "kan", "mlp", "test_accuracy", (*by,)
    )
    assert pairs.to_numpy().tolist() == expected.to_numpy().tolist()


def test_a_run_that_is_there_twice_is_told(evidence):
    twice = pd.concat([evidence.runs, evidence.runs.iloc[:1]])
    with pytest.raises(ValueError, match=r"two rows of model .* expected one"):
        paired(twice, "model", "kan", "mlp", "test_accuracy", (*CELL, *SCHEME))


def test_what_is_not_known_is_no_pair():
    rows = pd.DataFrame({"dataset": "mnist", "depth": "2layers", "seed": range(5), "model": "kan"})
    rows = rows.assign(
        value=[1.0, np.nan, np.inf, 4.0, 5.0], failed=[False, False, False, pd.NA, True]
    )
    rows = pd.concat([rows, rows.assign(model="mlp", value=[0.5, 0.5, np.inf, 0.5, 0.5])])
    pairs = paired(rows, "model", "kan", "mlp", "value", CELL)
    assert pairs.to_numpy().tolist() == [["mnist", 0, 0.5], ["mnist", 3, 3.5]]
    sizes = rows.assign(parameters=pd.array([100, None] * 5, dtype="Int64"))
    same = comparisons.of_equal_size(sizes, "kan", "mlp", 1.1)
    assert same.empty  # the first of the MLPs has no size
    same = comparisons.of_equal_size(sizes.assign(parameters=0), "kan", "mlp", 1.1)
    assert same.empty


def test_of_no_rows_there_are_none_of_equal_size(evidence):
    none = evidence.runs.iloc[:0]
    same = comparisons.of_equal_size(none, "kan", "mlp", 1.1)
    assert same.empty
    assert [*same] == [*none]


def test_pairs_need_both_sides(evidence):
    no_mlp = evidence.runs[evidence.runs["model"] != "mlp"]
    assert paired(no_mlp, "model", "kan", "mlp", "test_accuracy", (*CELL, *SCHEME)).empty
    assert paired(evidence.runs, "model", "kan", "mlp", "missing", CELL).empty


@pytest.mark.slow
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


def test_an_empty_follow_up_table_gives_no_pairs(runs):
    evidence = measured(runs, runs.iloc[:0], DIMENSIONS)
    assert comparisons.activations(evidence, "gelu", "silu").empty
    assert comparisons.degree_for_width(evidence).empty
    assert comparisons.layer_for_degree(evidence).empty


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
    pairs = comparisons.at_equal_size(evidence.times, "log_seconds")
    # Halfway between 1 and 100 in logarithms is 10; a larger KAN, or another machine, is no pair.
    assert pairs["difference"].tolist() == pytest.approx([log(20 / 10)])
    untimed = measured(runs, runs.iloc[:0], DIMENSIONS).times
    assert comparisons.at_equal_size(untimed, "log_seconds").empty


def test_the_best_degree_in_the_middle_is_chosen_on_validation(evidence, follow_ups):
    rows = follow_ups[follow_ups["experiment"] == "width_degree"]
    expected = {min: [], max: []}
    for _, own in rows.groupby(["dataset", "seed", "hidden_widths"]):
        at = own.set_index("degree")["test_accuracy"]
        for end, differences in expected.items():
            differences.append(at.loc[2] - at.loc[end(1, 3)])
    for end, differences in expected.items():
        pairs = comparisons.middle(evidence, "width_degree", "degree", end)
        assert sorted(pairs["difference"]) == pytest.approx(sorted(differences))


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
    spreads = paired(evidence.best, "model", "kan", "mlp", "spread", CELL)
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


def test_models_of_equal_size_are_those_within_a_factor(evidence):
    """Wide networks of one hidden layer have the parameters of KANs, deeper ones have more."""
    rows = comparisons.of_equal_size(backprop(evidence.best), "kan", "wide_mlp", 1.1)
    rows = rows[rows["dataset"] == "mnist"]
    assert set(rows["depth"]) == {"2layers"}
    assert set(rows["model"]) == {"mlp", "kan", "wide_mlp"}
    assert set(comparisons.of_equal_size(evidence.best, "kan", "wide_mlp", 2)["depth"]) == {
        "2layers",
        "3layers",
        "4layers",
    }
    assert comparisons.of_equal_size(evidence.best, "kan", "another", 2).empty


def widths_and_degrees(rows):
    """Evidence of networks: (hidden widths, degree, parameters, accuracy)."""
    table = pd.DataFrame(rows, columns=["hidden_widths", "degree", "parameters", "test_accuracy"])
    table = table.assign(
        experiment="width_degree",
        dataset="one",
        seed=0,
        failed=False,
        validation_accuracy=table["test_accuracy"],
    )
    return comparisons.Evidence(table, table, table)


def test_a_degree_is_beside_a_width_of_as_many_parameters():
    """Halfway in logarithms between 100 and 10,000 parameters is 1,000: 0.6 by the least degree."""
    known = widths_and_degrees(
        [("8", 1, 100, 0.5), ("32", 1, 10_000, 0.7), ("8", 2, 1000, 0.65), ("32", 2, 20_000, 0.9)]
    )
    pairs = comparisons.degree_for_width(known)
    assert pairs["difference"].tolist() == pytest.approx([0.05])  # the largest is out of reach


def test_the_nearest_widths_are_beside_a_degree():
    """That which has as many parameters, or two a unit apart, whatever others there are."""
    known = widths_and_degrees(
        [("8", 1, 640, 0.1), ("10", 1, 800, 0.6), ("64", 1, 5120, 0.2), ("8", 3, 800, 0.65)]
    )
    assert comparisons.degree_for_width(known)["difference"].tolist() == pytest.approx([0.05])
    known = widths_and_degrees(
        [("8", 1, 640, 0.1), ("9", 1, 720, 0.5), ("10", 1, 800, 0.6), ("8", 2, 760, 0.65)]
    )
    between = 0.5 + 0.1 * log(760 / 720) / log(800 / 720)
    pairs = comparisons.degree_for_width(known)
    assert pairs["difference"].tolist() == pytest.approx([0.65 - between])


def test_a_layer_is_beside_the_degrees_that_take_as_many_parameters():
    known = widths_and_degrees(
        [("8", 1, 100, 0.5), ("8", 2, 10_000, 0.7), ("8x8", 1, 1000, 0.58), ("8x8", 2, 1e6, 0.9)]
    )
    pairs = comparisons.layer_for_degree(known)
    assert pairs["difference"].tolist() == pytest.approx([-0.02])


def best_of(rows):
    """Evidence of best schemes: (model, depth, parameters, accuracy)."""
    table = pd.DataFrame(rows, columns=["model", "depth", "parameters", "test_accuracy"])
    table = table.assign(dataset="one", seed=0, objective="backprop", failed=False)
    return comparisons.Evidence(table, table, table.iloc[:0])


def test_the_smallest_competitive_networks_are_compared():
    known = best_of(
        [
            ("mlp", "2layers", 100, 0.80),
            ("wide_mlp", "2layers", 1000, 0.90),
            ("kan", "2layers", 500, 0.885),
            ("kan", "3layers", 2000, 0.70),
        ]
    )
    pairs = comparisons.smallest_competitive(known, within=0.02)
    assert pairs["difference"].tolist() == pytest.approx([log(500 / 1000)])
    # No KAN comes so near: its largest one stands for those that might.
    pairs = comparisons.smallest_competitive(known, within=0.01)
    assert pairs["difference"].tolist() == pytest.approx([log(2000 / 1000)])


def test_depth_gains_are_those_of_kans_less_those_of_mlps():
    known = best_of(
        [
            ("mlp", "2layers", 1, 0.80),
            ("mlp", "3layers", 1, 0.99),
            ("mlp", "4layers", 1, 0.85),
            ("kan", "2layers", 1, 0.82),
            ("kan", "3layers", 1, 0.10),
            ("kan", "4layers", 1, 0.83),
        ]
    )
    pairs = comparisons.depth_gains(known)
    assert pairs["difference"].tolist() == pytest.approx([0.01 - 0.05])


def test_sizes_are_those_on_the_simpler_data():
    """Four times the units are as efficient there; its inputs alone would make it eight times."""
    rows = [
        ("simple", "2layers", 100, -3.0),
        ("simple", "3layers", 400, -4.0),
        ("complex", "3layers", 3200, -3.05),
    ]
    runs = pd.DataFrame(rows, columns=["dataset", "depth", "parameters", "log_efficiency"])
    runs = runs.assign(objective="backprop", model="kan", seed=0, failed=False)
    complexity = pd.Series({"simple": 5.0, "complex": 9.0})
    known = comparisons.Evidence(runs, runs, runs.iloc[:0], complexity=complexity)
    pairs = comparisons.size_for_efficiency(known, within=0.1)
    assert pairs["dataset"].tolist() == ["complex"]
    assert pairs["difference"].tolist() == pytest.approx([log(400 / 100)])
    gross = comparisons.size_for_efficiency(known, within=0.1, gross=True)
    assert gross["difference"].tolist() == pytest.approx([log(3200 / 100)])


def test_orders_are_beside_those_that_two_seeds_share():
    """Seeds agree in one of two orders; HSIC in both with one seed, in none with the other."""
    accuracies = {
        ("backprop", 0): {"kan": 0.5, "mlp": 0.4, "wide_mlp": 0.6},
        ("backprop", 1): {"kan": 0.5, "mlp": 0.4, "wide_mlp": 0.3},
        ("hsic", 0): {"kan": 0.5, "mlp": 0.1, "wide_mlp": 0.9},
        ("hsic", 1): {"kan": 0.1, "mlp": 0.4, "wide_mlp": 0.3},
    }
    best = pd.DataFrame(
        [
            {"objective": objective, "seed": seed, "model": model, "test_accuracy": accuracy}
            for (objective, seed), own in accuracies.items()
            for model, accuracy in own.items()
        ]
    ).assign(dataset="one", depth="2layers")
    known = comparisons.Evidence(best, best, best.iloc[:0])
    pairs = comparisons.same_orders(known).sort_values("seed")
    assert pairs["difference"].tolist() == pytest.approx([1 - 0.5, 0 - 0.5])


def test_values_of_seeds_have_the_mean_and_the_jackknife_of_all_pairs_of_seeds():
    """Against leaving out each seed in turn, by a loop over pairs."""
    own = dict(enumerate(np.random.default_rng(0).normal(size=5)))
    found = comparisons.between_seeds(own, lambda a, b: abs(a - b))

    def mean(seeds):
        return np.mean([abs(own[a] - own[b]) for a in seeds for b in seeds if a < b])

    left = np.array([mean([other for other in own if other != seed]) for seed in own])
    values = np.array([*found.values()])
    assert values.mean() == pytest.approx(mean(own))
    assert values.var(ddof=1) / 5 == pytest.approx(4 / 5 * ((left - left.mean()) ** 2).sum())
    assert comparisons.between_seeds({0: 1.0}, lambda a, b: 0.0) == {}
    assert comparisons.between_seeds({0: 1.0, 1: 2.0}, lambda a, b: 0.3) == {0: 0.3, 1: 0.3}


def test_deviations_are_from_the_other_seeds_of_a_scheme(make_history):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1, 2)))
    found = comparisons.seed_deviations(runs, "train_accuracy")
    key = ["model", "depth", *SCHEME]
    for _, own in found.head(200).groupby(key):
        own = found.merge(own[key].drop_duplicates())
        values = own["train_accuracy"].to_numpy(float)
        for place, deviation in enumerate(own["deviation"]):
            others = np.delete(values, place)
            if not np.isnan(values).any():
                assert deviation == pytest.approx(abs(values[place] - others.mean()))


def test_two_that_are_best_at_the_end_are_no_pair_and_one_is(evidence):
    (part, *_) = next(claim.parts for claim in CLAIMS if claim.name == "C12")
    pairs = part.compare(evidence)
    by = (*CELL, *SCHEME)
    wide = backprop(evidence.runs).set_index([*by, "model"])[["best_epoch", "best_at_end"]]
    wide = wide.unstack("model")
    both = wide["best_at_end"]["kan"].astype(bool) & wide["best_at_end"]["mlp"].astype(bool)
    left = wide[~both]["best_epoch"].astype(float)
    assert 0 < both.sum() < len(wide)
    assert sorted(pairs["difference"]) == pytest.approx(sorted(np.log(left["kan"] / left["mlp"])))


def test_factors_of_the_efficiency_make_it_up(evidence):
    runs = evidence.runs[~evidence.runs["failed"]]
    parts = runs[["log_accuracy", "log_speed", "log_compactness"]].sum(axis=1, skipna=False)
    assert parts.to_numpy() == pytest.approx(runs["log_efficiency"].to_numpy(), nan_ok=True)


def test_contrasts_are_direct(evidence):
    """Each value against each other, none of them chosen."""
    claim = next(claim for claim in CLAIMS if claim.name == "C28")
    pairs = claim.parts[1].compare(evidence)  # Adam less SGD with momentum
    expected = []
    for row in rows_of(
        evidence.runs,
        model="kan",
        optimizer="adam",
        initialization="kaiming_normal",
        learning_rate=0.0005,
    ):
        place = {name: row[name] for name in (*CELL, "model", "initialization", "learning_rate")}
        (other,) = rows_of(evidence.runs, optimizer="sgd_momentum", **place)
        expected.append(row["test_accuracy"] - other["test_accuracy"])
    assert len(pairs) == 3 * 3
    assert sorted(pairs["difference"]) == pytest.approx(sorted(expected))
