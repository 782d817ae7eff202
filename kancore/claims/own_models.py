"""Models of the user's own beside those of the paper: the same pairs as the claims', no verdict."""

from typing import Any

from kancore.analysis.statistics import CELL, SCHEME
from kancore.claims.comparisons import Evidence, backprop, paired
from kancore.claims.verdicts import measure
from kancore.schemes import MODELS


def compare(evidence: Evidence) -> list[dict[str, Any]]:
    """Compare each model of the user's own with each of the paper's at the same depths.

    Parameters
    ----------
    evidence
        What the study has measured.

    Returns
    -------
    list of dict
        For each two models ``model``, ``rival``, and the differences of the model minus its rival
        in ``best_accuracy``, the test accuracy of the best scheme of each, and in ``gap``, the
        generalization gap with the same scheme: what `kancore.claims.verdicts.measure` gives, with
        ``unit`` and ``summary`` as tests of claims have them. Plain values, for JSON.
    """
    best, runs = backprop(evidence.best), backprop(evidence.runs)
    models = sorted(set(runs["model"]))
    found = []
    for model in (name for name in models if ":" in name):
        for rival in (name for name in MODELS if name in models):
            accuracies = paired(best, "model", model, rival, "test_accuracy", CELL)
            gaps = paired(runs, "model", model, rival, "generalization_gap", (*CELL, *SCHEME))
            found.append(
                {
                    "model": model,
                    "rival": rival,
                    "best_accuracy": {
                        **{"unit": "accuracy", "summary": "effect"},
                        **measure(accuracies),
                    },
                    "gap": {"unit": "gap", "summary": "effect", **measure(gaps)},
                }
            )
    return found
