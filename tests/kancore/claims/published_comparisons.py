"""What the claims' comparisons say of the runs that the paper's author published.

Usage: ``python -m tests.kancore.claims.published_comparisons --runs FILE --out
published/comparisons.csv``, in the project's folder, after a comparison has changed. FILE is the
table of runs of github.com/ShairozS/HSIC_Bottleneck-Pytorch at 677a60a, which is not kept here.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from kancore.analysis.statistics import SCHEME
from kancore.analysis.tables import RUNS
from kancore.claims.comparisons import Evidence, measured
from kancore.claims.declared import CLAIMS
from kancore.claims.verdicts import PUBLISHED, measure
from kancore.intrinsic_dimension.estimates import paper_dimensions
from kancore.machine.program import program
from kancore.tables import TIMINGS, write_csv

_FOLDER = Path(__file__).resolve().parents[3] / "published"
_DATASETS = {
    "MNIST": "mnist",
    "Fashion": "fashion_mnist",
    "CIFAR": "cifar10",
    "IMDB": "imdb",
    "higgs": "higgs",
}
_MODELS = {"mlp": "mlp", "kan": "kan", "mlpWide": "wide_mlp"}
_OPTIMIZERS = {"SGD": "sgd", "SGDM": "sgd_momentum", "Adam": "adam", "LBFGS": "lbfgs"}
# The last epoch, counted from 0, of whole runs: others are trials of a few epochs.
_LAST, _LAST_OF_HIGGS = 98, 4
# What evaluations alone would tell.
_UNKNOWN = ("last_test_accuracy", "mean_fall")
_ARCHITECTURE = ["dataset", "objective", "model", "depth", "parameters"]


def runs_of(table: pd.DataFrame, figures: pd.DataFrame) -> pd.DataFrame:
    """Name the published runs as a study's runs are named.

    Parameters
    ----------
    table
        The runs as published.
    figures
        Those of their architectures that the published figures are of, ``source`` "published runs".

    Returns
    -------
    DataFrame
        With the columns of `kancore.analysis.tables.RUNS`, ``seconds`` (of an epoch) and
        ``published_efficiency``. Only whole runs are kept, of these architectures, whose accuracy
        is a fraction; of 12 the optimizer is not known. Epochs are evaluations, counted from 1, as
        in the published efficiencies: there was one every second epoch.
    """
    dataset = table["Dataset"].map(_DATASETS)
    unknown = "unknown " + table.index.astype(str).to_series(table.index)
    runs = pd.DataFrame(
        {
            "dataset": dataset,
            "objective": table["Backprop"].str.lower(),
            "model": table["Model"].map(_MODELS),
            "depth": table["Num_layers"],
            "parameters": table["Num_parameters"],
            "initialization": table["Initialization"].str.rstrip("_"),
            "optimizer": table["Optimizer"].map(_OPTIMIZERS).fillna(unknown),
            "learning_rate": table["LearningRate"],
            "epochs": table["TotalEpochs"] // 2 + 1,
            "best_epoch": table["Best_test_at"] + 1,
            "best_test_epoch": table["Best_test_at"] + 1,
            "test_accuracy": table["Best_test"],
            "best_test_accuracy": table["Best_test"],
            "generalization_gap": table["AvgGenError"],
            "seconds": table["Avg_time"],
            "published_efficiency": table["Efficiency"],
        }
    )
    last = np.where(dataset == "higgs", _LAST_OF_HIGGS, _LAST)
    whole = table["TotalEpochs"] == last
    runs = runs[whole & (table["Best_test"] <= 1)]
    own = figures.loc[figures["source"] == "published runs", _ARCHITECTURE]
    runs = runs.merge(own, on=_ARCHITECTURE)
    return runs.assign(
        **dict.fromkeys(("study", "protocol"), "published"),
        experiment="grid",
        seed=0,
        hidden_widths="",
        activation="relu",
        degree=3,
        grid_size=5,
        diverged=False,
        code="",
        train_accuracy=float("nan"),
        validation_accuracy=float("nan"),
    )


def evidence_of(runs: pd.DataFrame) -> Evidence:
    """Evidence of the published runs, as that of a study.

    Of runs of one scheme the best counts, as in the published figures. Times are medians over the
    runs of an architecture.
    """
    ranked = runs.sort_values("test_accuracy", ascending=False, kind="stable")
    once = ranked.drop_duplicates([*_ARCHITECTURE, *SCHEME])
    times = runs.groupby(_ARCHITECTURE, as_index=False).first()
    seconds = runs.groupby(_ARCHITECTURE)["seconds"].median().to_numpy()
    times = times.assign(training_seconds=seconds, epochs=1, schemes=1, threads=1)
    times = times.assign(device="as published", machine="as published")
    return measured(
        once.reindex(columns=[name for name in RUNS.names if name not in _UNKNOWN]),
        pd.DataFrame(columns=RUNS.names),
        paper_dimensions(pd.read_csv(_FOLDER / "intrinsic_dimension.csv")),
        times.reindex(columns=TIMINGS.names),
    )


def compare(evidence: Evidence) -> pd.DataFrame:
    """Give what each test of the claims compares in the published runs, where it finds pairs.

    Returns
    -------
    DataFrame
        With the columns of `kancore.claims.verdicts.PUBLISHED`.
    """
    found = [
        {"claim": claim.name, "question": part.question, **measure(evidence.pairs(part.compare))}
        for claim in CLAIMS
        for part in claim.parts
    ]
    table = pd.DataFrame(found, columns=list(PUBLISHED))
    return table[table["pairs"] > 0].astype({"effect": float, "share": float}).round(6)


def main(runs: Path, out: Path) -> None:
    """Read the published runs, write what comparisons say of them."""
    figures = pd.read_csv(_FOLDER / "accuracies.csv")
    write_csv(out, compare(evidence_of(runs_of(pd.read_csv(runs), figures))))


if __name__ == "__main__":
    program(main, planned=False)
