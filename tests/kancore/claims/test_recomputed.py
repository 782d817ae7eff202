"""Five verdicts on the reference study, by pandas and SciPy alone: nothing here is of kancore.

What kancore says of the same table is in one fixture, `judged`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, trim_mean

TABLES = Path(__file__).parents[3] / "docs" / "reference" / "tables"
SCHEME = ["initialization", "optimizer", "learning_rate"]
PLACE = ["dataset", "depth", "seed"]


@pytest.fixture(scope="module")
def table():
    return pd.read_parquet(TABLES / "runs.parquet")


@pytest.fixture(scope="module")
def judged(table):
    """Tests of five claims, as kancore makes them, by claim."""
    from kancore.claims.comparisons import measured
    from kancore.claims.declared import CLAIMS
    from kancore.claims.verdicts import judge

    evidence = measured(table, table.iloc[:0], pd.Series(dtype=float))
    own = [claim for claim in CLAIMS if claim.name in ("C1", "C3", "C5", "C12", "C24")]
    found = judge(evidence, claims=own)
    return {claim["name"]: claim["parts"] for claim in found}


@pytest.fixture(scope="module")
def runs(table):
    """Runs under backpropagation, with plain types; none of them diverged."""
    assert not table["diverged"].any()
    assert not table.duplicated(["objective", "model", *PLACE, *SCHEME]).any()
    plain = dict.fromkeys(table.select_dtypes("number"), float)
    return table[table["objective"] == "backprop"].astype(plain)


def less(rows, by, value, rival="mlp"):
    """What a KAN has more than its rival, by place, and scheme where it is in `by`."""
    wide = rows.pivot(index=by, columns="model", values=value)
    return (wide["kan"] - wide[rival]).dropna().rename("d").reset_index()


def best(runs):
    """Runs of the scheme that validates best by each seed; of ties the earlier, better trained."""
    order = ["validation_accuracy", "best_epoch", "train_accuracy"]
    rows = runs.assign(validation_accuracy=runs["validation_accuracy"].round(9))
    rows = rows.sort_values(order, ascending=[False, True, False])
    return rows.drop_duplicates([*PLACE, "model"])


def over_seeds(pairs, statistic):
    """Value and 95% interval: leave out one seed of a data set, and weigh its others up.

    A trimmed mean has as many fewer degrees of freedom as it keeps no pair of a seed.
    """
    ranks, cut = pairs["d"].rank(method="first"), len(pairs) // 4
    kept = pairs[(ranks > cut) & (ranks <= len(pairs) - cut)] if statistic is middle else pairs
    kept = kept.groupby("dataset")["seed"].nunique()
    groups = {
        name: [seed["d"].to_numpy() for _, seed in rows.groupby("seed")]
        for name, rows in pairs.groupby("dataset")
    }
    spread = {}
    for name, seeds in groups.items():
        count = len(seeds)
        values = []
        for out in range(count):
            sample = [one for other, own in groups.items() if other != name for one in own]
            sample = sample * (count - 1) + (seeds[:out] + seeds[out + 1 :]) * count
            values.append(statistic(np.concatenate(sample)))
        spread[name] = (count - 1) / count * sum((np.array(values) - np.mean(values)) ** 2)
    variance = sum(spread.values())
    freedom = variance**2 / sum(v**2 / (len(groups[n]) - 1) for n, v in spread.items())
    freedom *= (kept.sum() - 1) / (sum(map(len, groups.values())) - 1)
    value = statistic(pairs["d"].to_numpy())
    return value, t.interval(0.95, freedom, loc=value, scale=variance**0.5)


def middle(values):
    """Mean of the middle half."""
    return trim_mean(values, 0.25)


def share(values):
    """Share above zero, of those at zero a half."""
    return np.mean(values > 0) + np.mean(values == 0) / 2


def same(part, pairs, value, interval):
    """Whether a test of kancore has these pairs, this value and this interval."""
    name = part["summary"]
    found = [part[name], part[f"{name}_low"], part[f"{name}_high"]]
    return part["pairs"] == len(pairs) and found == pytest.approx([value, *interval], rel=1e-9)


def test_best_schemes_are_comparable(runs, judged):
    """C1: within two points."""
    pairs = less(best(runs), PLACE, "test_accuracy")
    value, (low, high) = over_seeds(pairs, middle)
    (part,) = judged["C1"]
    assert same(part, pairs, value, (low, high))
    assert part["verdict"] == "supported"
    assert -0.02 < low < high < 0.02


def test_the_share_of_kans_that_overfit_more(runs, judged):
    """C3: nine pairs of ten are wanted."""
    pairs = less(runs, [*PLACE, *SCHEME], "generalization_gap")
    value, (low, high) = over_seeds(pairs, share)
    part = judged["C3"][1]
    assert same(part, pairs, value, (low, high))
    assert part["verdict"] == "contradicted"
    assert high < 0.9


def test_the_spread_over_schemes(runs, judged):
    """C5: best minus median scheme."""
    medians = runs.groupby([*PLACE, "model"], as_index=False)["test_accuracy"].median()
    both = best(runs).merge(medians, on=[*PLACE, "model"], suffixes=("", "_median"))
    both["spread"] = both["test_accuracy"] - both["test_accuracy_median"]
    pairs = less(both, PLACE, "spread")
    value, (low, high) = over_seeds(pairs, middle)
    (part,) = judged["C5"]
    assert same(part, pairs, value, (low, high))
    assert part["verdict"] == "supported"
    assert low > 0


def test_the_gap_at_equal_parameters(runs, judged):
    """C24: of depths at which the numbers of parameters differ by a tenth at most."""
    sizes = runs.groupby(["dataset", "depth", "model"])["parameters"].first().unstack()
    ratio = sizes["kan"] / sizes["wide_mlp"]
    equal = sizes.index[(ratio <= 1.1) & (1 / ratio <= 1.1)]
    at = pd.MultiIndex.from_frame(runs[["dataset", "depth"]]).isin(equal)
    pairs = less(runs[at], [*PLACE, *SCHEME], "generalization_gap", rival="wide_mlp")
    value, (low, high) = over_seeds(pairs, middle)
    (part,) = judged["C24"]
    assert 0 < len(equal) < len(sizes.dropna())
    assert same(part, pairs, value, (low, high))
    assert part["verdict"] == "contradicted"
    assert high < 0


def test_best_epochs(runs, judged):
    """C12: ratios of epochs, of two that were not both best at the end."""
    last = runs.groupby("dataset")["epochs"].transform("max")
    rows = runs.assign(log_epoch=np.log(runs["best_epoch"]), at_end=runs["best_epoch"] >= last)
    pairs = less(rows, [*PLACE, *SCHEME], "log_epoch")
    ends = rows.pivot(index=[*PLACE, *SCHEME], columns="model", values="at_end")
    both = ends["kan"].eq(True) & ends["mlp"].eq(True)  # null where one is missing
    pairs = pairs[~both.loc[pd.MultiIndex.from_frame(pairs[[*PLACE, *SCHEME]])].to_numpy()]
    value, (low, high) = over_seeds(pairs, middle)
    part = judged["C12"][0]
    assert both.sum() > 0
    assert same(part, pairs, value, (low, high))
    assert part["verdict"] == "inconclusive"
    assert low < 0 < high
