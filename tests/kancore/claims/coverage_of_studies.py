"""How often intervals of simulated studies hold what all of these studies together give.

Usage: ``python -m tests.kancore.claims.coverage_of_studies --tables docs/reference/tables``, in the
project's folder; ``--seeds 5`` and ``--claims C16 C2`` for others. The studies are like the one
whose tables these are: the means of its schemes are true, and around them the examples, the seed,
the network and the single run each have an effect.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kancore.analysis.statistics import SCHEME, SETTING, fewest_seeds
from kancore.analysis.tables import INTRINSIC_DIMENSIONS, RUNS
from kancore.claims.comparisons import measured
from kancore.claims.declared import CLAIMS, CONFIDENCE, FEWEST_PAIRS, SUMMARIES
from kancore.claims.verdicts import estimate
from kancore.intrinsic_dimension.estimates import measured_complexity
from kancore.machine.program import program
from kancore.tables import TIMINGS

# Standard deviations of accuracies, in the unit of accuracies: of what all models share in a seed's
# examples, of what a model makes of them (1.1 points on Fashion-MNIST), of a seed of one network
# (0.8 points), and of a run. Logarithms of epochs and times vary by `_RATIO` times as much.
_EXAMPLES, _MODEL, _NETWORK, _RUN = 0.010, 0.011, 0.006, 0.005
_RATIO = 10
_DIMENSIONS = pd.Series({"mnist": 750, "cifar10": 9000})
_FOLLOW_UP = ["experiment", "depth", "hidden_widths", "activation", "degree", "grid_size"]


def simulate(
    means: pd.DataFrame, random: np.random.Generator, network: Sequence[str], seeds: int = 3
) -> pd.DataFrame:
    """Draw the runs of a study around the means of its schemes.

    Parameters
    ----------
    means
        One row a scheme, with the columns of `kancore.analysis.tables.RUNS`.
    random
        Where effects come from.
    network
        Columns that tell networks apart whose schemes share an effect.
    seeds
        How many seeds a study has.
    """
    runs = means.merge(pd.DataFrame({"seed": range(seeds)}), how="cross")

    def effect(*by: str) -> np.ndarray:
        groups = runs.groupby([*by], dropna=False).ngroup().to_numpy()
        return random.normal(size=groups.max(initial=-1) + 1)[groups]

    def varied() -> np.ndarray:
        share = _EXAMPLES * effect("dataset", "seed")
        own = _MODEL * effect("dataset", "seed", "model", "objective")
        own = own + _NETWORK * effect("dataset", "seed", *network)
        return share + own + _RUN * random.normal(size=len(runs))

    test, gap = varied(), varied()
    budget = runs["epochs"].to_numpy(float)
    step = runs["evaluate_every"].to_numpy(float)
    epoch = runs["best_epoch"].to_numpy(float) * np.exp(_RATIO * varied())
    accuracy = (runs["test_accuracy"] + test).clip(0, 1)
    return runs.assign(
        test_accuracy=accuracy,
        best_test_accuracy=accuracy,
        validation_accuracy=(
            runs["validation_accuracy"] + test + _RUN * random.normal(size=len(runs))
        ).clip(0, 1),
        train_accuracy=(accuracy + gap).clip(0, 1),
        generalization_gap=runs["generalization_gap"] + gap,
        last_test_accuracy=accuracy - np.abs(varied()) * (epoch < budget),
        mean_fall=np.abs(varied()),
        best_epoch=(np.round(epoch / step) * step).clip(step, budget),
    ).astype({"best_epoch": "Int64"})


def _means(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the runs of a real study over its seeds; wide networks have every depth."""
    key = [*SETTING, *SCHEME]
    grouped = runs.groupby(key, dropna=False)
    values = ["test_accuracy", "validation_accuracy", "generalization_gap", "best_epoch"]
    rest = ["parameters", "epochs", "code", "diverged"]
    means = grouped[values].mean().join(grouped[rest].first()).reset_index().dropna(subset=values)
    step = runs.groupby(["dataset", "objective"], as_index=False)["best_epoch"].min()
    means = means.merge(step.rename(columns={"best_epoch": "evaluate_every"}))
    return means.assign(diverged=False)


def _with_deep_wide_networks(means: pd.DataFrame) -> pd.DataFrame:
    """Give each KAN a wide network of its depth and size, like the one of one hidden layer."""
    wide = means[(means["model"] == "wide_mlp") & (means["depth"] == "2layers")]
    kans = means[means["model"] == "kan"][["dataset", "objective", "depth", "parameters"]]
    sizes = kans.drop_duplicates(["dataset", "objective", "depth"])
    wide = wide.drop(columns=["depth", "parameters"]).merge(sizes, on=["dataset", "objective"])
    return pd.concat([means[means["model"] != "wide_mlp"], wide], ignore_index=True)


def _times(timings: pd.DataFrame, runs: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Draw the times of sweeps around those of a real study."""
    by = ["dataset", "objective", "model", "depth"]
    known = timings[timings["objective"] == "backprop"].drop_duplicates(by)
    known = known[known["model"] != "wide_mlp"]
    sizes = runs.drop_duplicates([*by, "seed"])[[*by, "seed", "parameters"]]
    kans = known[known["model"] == "kan"].assign(model="wide_mlp", degree=None, grid_size=None)
    known = pd.concat([known, kans]).drop(columns=["seed", "parameters"])
    times = known.merge(sizes, on=by)
    factor = np.exp(_RATIO * _NETWORK * random.normal(size=len(times)))
    return times.assign(
        machine="one",
        degree=times["degree"].astype("Int64"),
        grid_size=times["grid_size"].astype("Int64"),
        training_seconds=times["training_seconds"] * factor,
    ).reindex(columns=TIMINGS.names)


# Of one study: the differences and the interval of each test, by its claim and number.
Results = dict[tuple[str, int], tuple[np.ndarray, tuple[float, float]]]


def results(
    tables: Sequence[pd.DataFrame],
    complexity: pd.Series,
    studies: int,
    seeds: int = 3,
    claims: Collection[str] = (),
) -> Iterator[Results]:
    """Simulate studies, each of which chooses its own schemes, and test claims on them.

    Parameters
    ----------
    tables
        Runs, those of follow-ups, and timings of the study that the others are like.
    complexity
        Measured intrinsic dimension by data set.
    studies, seeds
        How many are simulated, and the seeds of each.
    claims
        Names of the claims; none: all.
    """
    runs, follow_ups, timings = tables
    grid, others = _with_deep_wide_networks(_means(runs)), _means(follow_ups)
    tested = [claim for claim in CLAIMS if not claims or claim.name in claims]
    random = np.random.default_rng(0)
    for _ in range(studies):
        own = simulate(grid, random, ["model", "objective", "depth"], seeds)
        own = own.reindex(columns=RUNS.names)
        more = simulate(others, random, _FOLLOW_UP, seeds).reindex(columns=RUNS.names)
        evidence = measured(own, more, _DIMENSIONS, _times(timings, own, random), complexity)
        found: Results = {}
        for claim in tested:
            for number, part in enumerate(claim.parts, start=1):
                pairs = evidence.pairs(part.compare)
                places = (pairs[name].to_numpy() for name in ("dataset", "seed"))
                if len(pairs) >= FEWEST_PAIRS and fewest_seeds(*places) == seeds:
                    interval = estimate(pairs, part.summary).interval(CONFIDENCE)
                    found[claim.name, number] = pairs["difference"].to_numpy(), interval
        yield found


def coverage(studies: Sequence[Results]) -> pd.DataFrame:
    """Count how often the interval of a study holds what all studies together give.

    Returns
    -------
    DataFrame
        One row a test that can be made: ``claim``, ``part``, ``summary``, ``value`` (of all pairs
        of all studies), ``mean`` (of the studies' own values, from which that of all differs where
        a few networks are far apart and the middle half of few pairs has others), ``studies`` with
        an interval, and the shares of these that hold the value and the mean.
    """
    rows = []
    for claim in CLAIMS:
        for number, part in enumerate(claim.parts, start=1):
            own = [study[claim.name, number] for study in studies if (claim.name, number) in study]
            if own:
                summary = SUMMARIES[part.summary]
                value = float(summary(np.concatenate([differences for differences, _ in own])))
                mean = float(np.mean([summary(differences) for differences, _ in own]))
                low, high = np.array([interval for _, interval in own]).T
                known = ~np.isnan(low)
                held = [((low <= at) & (at <= high))[known].mean() for at in (value, mean)]
                rows.append(
                    (claim.name, number, part.summary, value, mean, int(known.sum()), *held)
                )
    columns = ["claim", "part", "summary", "value", "mean", "studies", "held", "held_mean"]
    return pd.DataFrame(rows, columns=columns)


def main(tables: Path, studies: int = 200, seeds: int = 3, claims: list[str] | None = None) -> None:
    """Check the intervals of studies like one that was made.

    Parameters
    ----------
    tables
        Folder with its tables.
    studies, seeds
        How many are simulated, and the seeds of each.
    claims
        Names of the claims; without it all.
    """
    names = ("runs", "follow_up_runs", "timings")
    own = [pd.read_parquet(tables / f"{name}.parquet") for name in names]
    estimates = pd.read_csv(tables / "intrinsic_dimension.csv")
    estimates = estimates.reindex(columns=INTRINSIC_DIMENSIONS.names)
    found = results(own, measured_complexity(estimates), studies, seeds, claims or ())
    print(coverage([*found]).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    program(main, planned=False)
