"""Test accuracy of the best network of each model on each class."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kancore.figures import style

# Classes of a data set that are drawn.
_MOST = 20


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a row for each class, with a mark and its interval for each model.

    One panel a data set, with its own scale. Of many classes those are drawn that are the hardest
    for any of the models.
    """
    if table.empty:
        return style.nothing("no network is kept")
    colours = style.colours(table["model"])
    by_name = {
        name: _hardest(table[table["dataset"] == name]) for name in style.in_order(table["dataset"])
    }
    rows = max(drawn["label"].nunique() for drawn in by_name.values())
    height = rows * (0.1 + 0.05 * len(colours)) + 0.3
    figure, panels = style.panels(list(by_name), 2, height, labels=1.2)
    for name, axes in panels.items():
        _draw_panel(axes, by_name[name], colours)
    figure.supxlabel("Test accuracy", fontsize="medium")
    handles = style.mark_handles(table.assign(objective="backprop"), colours)
    style.legend_above(figure, [*handles, style.interval_handle("95% interval over examples")])
    style.describe(figure, _describe(table))
    return figure


def _hardest(rows: pd.DataFrame) -> pd.DataFrame:
    lowest = rows.groupby("label")["accuracy"].min().sort_values(kind="stable")
    return rows[rows["label"].isin(lowest.index[:_MOST])]


def _draw_panel(axes: Axes, drawn: pd.DataFrame, colours: dict[str, str]) -> None:
    names = drawn.drop_duplicates("label").set_index("label")["label_name"].sort_index()
    style.prepare_rows(axes, axes.get_title(loc="left"), names)
    step = 0.7 / len(colours)
    models = list(colours)
    for row in drawn.itertuples():
        place = names.index.get_loc(row.label)
        place += (models.index(row.model) - (len(models) - 1) / 2) * step
        axes.hlines(place, row.low, row.high, color=colours[row.model], lw=1.4)
        axes.plot(row.accuracy, place, "o", ms=4, color=colours[row.model])
    axes.xaxis.set_major_formatter(style.percent)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _describe(table: pd.DataFrame) -> str:
    """Name the class of each data set on which a network is at its worst."""
    worst = table.loc[table.groupby("dataset")["accuracy"].idxmin()].set_index("dataset")
    words = [
        f"{style.display_name(name)}: {row.label_name} ({style.display_name(row.model)}, "
        f"{100 * row.accuracy:.1f}% [{100 * row.low:.1f}%, {100 * row.high:.1f}%])"
        for name in style.in_order(worst.index)
        for row in [worst.loc[name]]
    ]
    return f"The hardest class for any of the networks is, on {'; '.join(words)}."
