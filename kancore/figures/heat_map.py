"""A heat map whose cells say their values: what several figures are made of."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from kancore.figures.style import Look

# How the text of a cell is written.
TEXT: Look = {"fontsize": "small"}


def draw(axes: Axes, values: pd.DataFrame, limits: tuple[float, float], decimals: int = 0) -> None:
    """Draw a table of accuracies, in percent.

    Parameters
    ----------
    axes
        Where to.
    values
        Accuracies; its index labels the rows, its columns the columns. Null cells are white, with
        a dash.
    limits
        Accuracies of the darkest and of the lightest colour.
    decimals
        Decimals of the percentages.
    """
    low, high = limits
    cells(
        axes,
        100 * values.astype(float),
        rows=list(values.index),
        columns=list(values.columns),
        vmin=100 * low,
        vmax=100 * high,
        cmap="cividis",  # even in lightness and the same to all common forms of colour vision
        annot=True,
        fmt=f".{decimals}f",
        annot_kws=TEXT,
    )
    for row, column in np.argwhere(values.isna().to_numpy()):
        axes.text(column + 0.5, row + 0.5, "\N{EN DASH}", ha="center", va="center", **TEXT)


def cells(axes: Axes, values: pd.DataFrame, rows: list, columns: list, **options: Any) -> None:
    """Draw values as cells with labels alone around them, by options of `seaborn.heatmap`."""
    # Which renders the whole figure for each panel, to see whether its labels overlap.
    sns.heatmap(values, ax=axes, cbar=False, xticklabels=False, yticklabels=False, **options)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, va="center")
    axes.set(xlabel=None, ylabel=None)
    axes.grid(False)
    axes.tick_params(length=0, rotation=0)
