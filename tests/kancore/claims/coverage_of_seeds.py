"""How often intervals from few seeds hold what many seeds give: a check on real runs.

Usage: ``python -m tests.kancore.claims.coverage_of_seeds --study results/quick``, in the project's
folder, of a study with ten seeds, say
``snakemake --cores 2 --config study=quick 'seeds=[0,1,2,3,4,5,6,7,8,9]' 'audit={departures: []}'``.
"""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from kancore.analysis.statistics import fewest_seeds, resampled
from kancore.analysis.tables import INTRINSIC_DIMENSIONS, RUNS
from kancore.claims.comparisons import Evidence, measured
from kancore.claims.declared import CLAIMS, CONFIDENCE, FEWEST_PAIRS, SUMMARIES, Claim
from kancore.claims.verdicts import estimate
from kancore.intrinsic_dimension.estimates import measured_complexity, paper_dimensions
from kancore.machine.program import program
from kancore.tables import TIMINGS, read_table

_PUBLISHED = Path(__file__).resolve().parents[3] / "published" / "intrinsic_dimension.csv"


def coverage(
    runs: pd.DataFrame,
    dimensions: pd.Series,
    size: int = 3,
    claims: Iterable[Claim] = CLAIMS,
    timings: pd.DataFrame | None = None,
    complexity: pd.Series | None = None,
) -> pd.DataFrame:
    """Count how often intervals from a few of the seeds hold what all of them give.

    Parameters
    ----------
    runs
        Runs of a grid with many seeds, with the columns of `kancore.analysis.tables.RUNS`.
    dimensions, timings, complexity
        As for `kancore.claims.comparisons.measured`.
    size
        How many seeds an interval has. Every set of so many is tried, and chooses its own schemes.
    claims
        The claims.

    Returns
    -------
    DataFrame
        One row a test that can be made: ``claim``, ``part``, ``value`` (of all seeds), ``sets``,
        and the share of the sets whose interval holds it: ``over_pairs`` (resampled pairs, which
        take the schemes of one seed for independent) and ``over_seeds`` (Student's). As the sets
        are parts of the whole, a right interval holds it more often than at its confidence:
        ``expected``, of Student's interval where one data set, or many alike, decide.
    """
    claims = list(claims)
    seeds = sorted(int(seed) for seed in set(runs["seed"]))
    whole = _pairs(measured(runs, runs.iloc[:0], dimensions, timings, complexity), claims)
    found: dict[tuple[str, int], list[tuple[bool, ...]]] = {}
    for chosen in combinations(seeds, size):
        some = runs[runs["seed"].isin(chosen)]
        times = None if timings is None else timings[timings["seed"].isin(chosen)]
        evidence = measured(some, runs.iloc[:0], dimensions, times, complexity)
        for key, (summary, pairs) in _pairs(evidence, claims).items():
            columns = [pairs[name].to_numpy() for name in ("difference", "dataset", "seed")]
            if key in whole and fewest_seeds(*columns[1:]) >= size:
                truth, statistic = _point(*whole[key]), SUMMARIES[summary]
                ends = (
                    estimated.interval(CONFIDENCE)
                    for estimated in (
                        resampled(*columns[:2], statistic),
                        estimate(pairs, summary),
                    )
                )
                found.setdefault(key, []).append(tuple(low <= truth <= high for low, high in ends))
    rows = [
        {
            "claim": claim,
            "part": part,
            "value": _point(*whole[claim, part]),
            "sets": len(held),
            **dict(zip(("over_pairs", "over_seeds"), np.mean(held, axis=0), strict=True)),
            "expected": _expected(size, len(seeds)),
        }
        for (claim, part), held in found.items()
    ]
    columns = ["claim", "part", "value", "sets", "over_pairs", "over_seeds", "expected"]
    return pd.DataFrame(rows, columns=columns)


def _pairs(
    evidence: Evidence, claims: list[Claim]
) -> dict[tuple[str, int], tuple[str, pd.DataFrame]]:
    """Summary and pairs of each test that has enough of them."""
    compared = {
        (claim.name, number): (part.summary, evidence.pairs(part.compare))
        for claim in claims
        for number, part in enumerate(claim.parts, start=1)
    }
    return {key: found for key, found in compared.items() if len(found[1]) >= FEWEST_PAIRS}


def _point(summary: str, pairs: pd.DataFrame) -> float:
    return float(SUMMARIES[summary](pairs["difference"].to_numpy()))


def _expected(size: int, seeds: int) -> float:
    """Rate at which Student's interval of a part of a normal sample holds the mean of the whole.

    The mean of the whole is nearer to that of the part than the truth is: the variance of their
    difference lacks the factor 1 - size / seeds.
    """
    freedom = size - 1
    end = stdtrit(freedom, (1 + CONFIDENCE) / 2) / (1 - size / seeds) ** 0.5
    return float(1 - 2 * stdtr(freedom, -end))


def main(study: Path, size: int = 3) -> None:
    """Check the intervals of one study.

    Parameters
    ----------
    study
        Folder of its results.
    size
        Seeds of an interval.
    """
    tables = study / "tables"
    found = coverage(
        read_table(tables / "grid" / "runs.parquet", RUNS),
        paper_dimensions(pd.read_csv(_PUBLISHED)),
        size=size,
        timings=read_table(tables / "grid" / "timings.parquet", TIMINGS),
        complexity=measured_complexity(
            read_table(tables / "intrinsic_dimension.parquet", INTRINSIC_DIMENSIONS)
        ),
    )
    print(found.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    program(main, planned=False)
