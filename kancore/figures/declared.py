"""The figures of a study, in the order of its report.

A figure is a line here, a module of this name with ``draw``, and a caption ``report/NAME.rst``.
"""

from typing import NamedTuple


class Declared(NamedTuple):
    """What is said of a figure before it is drawn."""

    # What it is drawn from: one of kancore.analysis.tables.SCHEMAS.
    table: str
    # Where Snakemake's report has it, and what it is called there.
    category: str
    label: str
    # The experiment that it shows, and what else a study must have for it.
    experiment: str = "grid"
    needs: str = "grid"


FIGURES = {
    "verdicts": Declared("verdicts", "Claims", "verdicts on the claims"),
    "best_accuracy": Declared("runs", "Accuracy", "best scheme of each architecture"),
    "scheme_boxplots": Declared("runs", "Accuracy", "spread over schemes"),
    "sensitivity": Declared("runs", "Accuracy", "what tuning gains"),
    "scheme_heatmaps": Declared("runs", "Accuracy", "optimizer and learning rate"),
    "learning_curves": Declared("history", "Training", "learning curves"),
    "best_epochs": Declared("runs", "Training", "best epochs"),
    "parameters_accuracy": Declared("runs", "Accuracy", "parameters against accuracy"),
    "time_parameters": Declared("timings", "Training", "time and parameters"),
    "confusion": Declared(
        "confusion", "Networks", "which classes are taken for which", needs="networks"
    ),
    "class_accuracy": Declared(
        "class_accuracy", "Networks", "accuracy on each class", needs="networks"
    ),
    "edge_functions": Declared("edges", "Networks", "learned splines", needs="networks"),
    "first_layers": Declared("first_layers", "Networks", "first-layer weights", needs="networks"),
    "dimension_accuracy": Declared(
        "landscapes", "Intrinsic dimension", "accuracy in random subspaces", needs="landscapes"
    ),
    "dimension_estimates": Declared("intrinsic_dimension", "Intrinsic dimension", "estimates"),
    "efficiency_gap": Declared("efficiency", "Efficiency", "efficiency and generalization gap"),
    "parameters_efficiency": Declared("efficiency", "Efficiency", "parameters against efficiency"),
    "activation_accuracy": Declared("follow_ups", "Follow-ups", "base activation", "activation"),
    "width_degree": Declared("follow_ups", "Follow-ups", "width and degree", "width_degree"),
    "degree_depth": Declared("follow_ups", "Follow-ups", "degree against depth", "width_degree"),
    "grid_size": Declared("follow_ups", "Follow-ups", "grid size", "grid_size"),
    "departures": Declared("audit", "Audit", "what each departure changes", "audit"),
    "stability_effects": Declared(
        "stability", "Stability", "what each factor changes", "stability"
    ),
    "firmness": Declared("firmness", "Claims", "how firm each verdict is"),
}
