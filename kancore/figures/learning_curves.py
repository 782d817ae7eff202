"""Accuracy against epochs for the best scheme of each architecture."""

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kancore.analysis.statistics import SCHEME, SETTING, best_schemes, main_grid, summarize_runs
from kancore.figures import style
from kancore.figures.style import Look

_SPLITS: dict[str, Look] = {
    "test_accuracy": {"lw": 1.7, "label": "test"},
    "train_accuracy": {"lw": 0.8, "alpha": 0.6, "label": "training"},
}


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw test accuracy as a strong line, training accuracy as a faint one.

    A row of panels for each data set, a column for each depth; lines are means over seeds, bands
    reach from the lowest seed to the highest.
    """
    colours = style.colours(table["model"])
    table = main_grid(table)
    best = best_schemes(summarize_runs(table))
    # A setting all of whose schemes diverged has no best scheme, and so no curve.
    curves = table.merge(best.dropna(subset="test_accuracy")[[*SETTING, *SCHEME]])
    names, depths = style.in_order(best["dataset"]), style.in_order(best["depth"])
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 1.9 * len(names) + 0.6), layout="constrained")
    grid = figure.subplots(len(names), len(depths), sharex="row", sharey="row", squeeze=False)
    for depth, axes in zip(depths, grid[0], strict=True):
        axes.set_title(style.display_name(depth), fontweight="bold")
    for name, row in zip(names, grid, strict=True):
        for depth, axes in zip(depths, row, strict=True):
            lost = _cell(best, name, depth)
            if lost.empty:  # this data set's networks have other depths
                axes.set_axis_off()
                continue
            _draw_panel(axes, _cell(curves, name, depth), colours)
            lost = style.in_order(lost.loc[lost["test_accuracy"].isna(), "model"])
            style.note(axes, (f"{style.display_name(model)}: all diverged" for model in lost))
        row[0].set_ylabel(style.fold(style.display_name(name), 1.5), fontweight="bold")
    figure.supxlabel("Epochs", fontsize="medium")
    figure.supylabel("Accuracy", fontsize="medium")
    handles: list[Artist] = [Line2D([], [], color=style.GREY, **look) for look in _SPLITS.values()]
    if curves["seed"].nunique() > 1:
        handles.append(
            Patch(color=style.GREY, label="test, lowest to highest seed", **style.RANGE["err_kws"])
        )
    style.legend_above(figure, [*style.line_handles(best, colours), *handles])
    style.describe(figure, _describe(curves))
    return figure


def _describe(curves: pd.DataFrame) -> str:
    """Say how far training accuracy is above test accuracy at the end."""
    last = curves.sort_values("epoch").drop_duplicates([*SETTING, "seed"], keep="last")
    ahead = (100 * (last["train_accuracy"] - last["test_accuracy"])).groupby(last["model"]).median()
    points = [
        f"{style.display_name(model)} {ahead[model]:.1f}" for model in style.in_order(ahead.index)
    ]
    if not points:
        return "All runs diverged."
    return f"Points from test up to training accuracy at the end, median: {', '.join(points)}."


def _cell(table: pd.DataFrame, dataset: str, depth: str) -> pd.DataFrame:
    return table[(table["dataset"] == dataset) & (table["depth"] == depth)]


def _draw_panel(axes: Axes, curves: pd.DataFrame, colours: dict[str, str]) -> None:
    models = {"hue": "model", "palette": colours, "legend": False}
    for objective, runs in curves.groupby("objective"):
        for split, look in _SPLITS.items():
            drawn = {"ls": style.LINES.get(objective, ":"), **look}
            if runs["epoch"].nunique() == 1:  # a line through one point would not be seen
                drawn |= {"marker": "o", "ms": 4 * look["lw"]}
            spread = style.RANGE if split == "test_accuracy" else {"errorbar": None}
            sns.lineplot(runs, x="epoch", y=split, ax=axes, **models, **spread, **drawn)
    axes.set(xlabel=None, ylabel=None)
    axes.yaxis.set_major_formatter(style.percent)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
