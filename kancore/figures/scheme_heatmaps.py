"""Test accuracy by optimizer and learning rate, for each architecture."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kancore.analysis.statistics import counted, main_grid
from kancore.figures import heat_map, style


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a heat map of optimizer and learning rate for each architecture.

    A row of panels for each data set and objective, with one scale of colours, and a column for
    each model; in a panel, depths lie side by side. Cells are means over initializations and seeds;
    runs that diverged count with what they had reached, 0 if that was nothing. Cells all of whose
    runs reached nothing are white.
    """
    runs = counted(main_grid(table))
    models = style.in_order(runs["model"])
    pairs = [
        (name, objective)
        for name in style.in_order(runs["dataset"])
        for objective in style.in_order(runs["objective"])
    ]
    width, _ = mpl.rcParams["figure.figsize"]
    optimizers = runs["optimizer"].nunique()
    row_height = 0.26 * optimizers + 0.6
    height = len(pairs) * row_height + 0.8
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(pairs), len(models), squeeze=False, sharey=True)
    several = runs["objective"].nunique() > 1
    for number, ((name, objective), row) in enumerate(zip(pairs, grid, strict=True), start=1):
        cells = runs[(runs["dataset"] == name) & (runs["objective"] == objective)]
        keys = ["model", "optimizer", "depth", "learning_rate"]
        grouped = cells.groupby(keys)
        means = grouped["test_accuracy"].mean().mask(grouped["failed"].all())
        for model, axes in zip(models, row, strict=True):
            if model not in means.index.unique("model"):
                axes.set_axis_off()
                continue
            axes.set_title(style.display_name(model), loc="left", fontweight="bold", pad=15)
            _draw_panel(axes, means.loc[model], (means.min(), means.max()))
            axes.tick_params(labelbottom=number == len(pairs))
        label = style.fold(style.display_name(name), row_height)
        label += f"\n{style.display_name(objective)}" if several else ""
        row[0].set_ylabel(label, fontweight="bold")
    figure.supxlabel("Learning rate", fontsize="medium")
    style.describe(figure, _describe(runs))
    return figure


def _describe(runs: pd.DataFrame) -> str:
    """Name the cell of each model that is best most often."""
    keys = ["dataset", "objective", "depth", "model", "optimizer", "learning_rate"]
    cells = runs.groupby(keys)["test_accuracy"].mean()
    best = cells.loc[cells.groupby(keys[:4]).idxmax()].reset_index()
    words = []
    for model in style.in_order(best["model"]):
        counts = best[best["model"] == model].value_counts(["optimizer", "learning_rate"])
        optimizer, rate = counts.index[0]
        cell = f"{style.display_name(optimizer)}, {rate:g}"
        words.append(f"{style.display_name(model)}: {cell} ({counts.iloc[0]} of {counts.sum()})")
    return f"The cell that is most often the best of its block is, for {'; '.join(words)}."


def _draw_panel(axes: Axes, means: pd.Series, limits: tuple[float, float]) -> None:
    """Draw one model: rows are optimizers, columns are learning rates within depths."""
    values = means.unstack(["depth", "learning_rate"])
    depths, rates = style.in_order(means.index.unique("depth")), sorted(means.index.unique(2))
    values = values.reindex(
        index=style.in_order(values.index),
        columns=pd.MultiIndex.from_product([depths, rates]),
    )
    heat_map.draw(axes, values, limits)
    axes.set_yticks(axes.get_yticks(), [style.display_name(name) for name in values.index])
    axes.set_xticks(axes.get_xticks(), [f"{rate:g}" for _, rate in values.columns], rotation=90)
    for place, depth in enumerate(depths):
        left = place * len(rates)
        axes.axvline(left, color="white", lw=3)
        axes.annotate(
            style.display_name(depth),
            (left + len(rates) / 2, 1.03),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize="small",
            color=style.GREY,
        )
