"""A heat map whose cells say their values: what several figures are made of."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes


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
    sns.heatmap(
        100 * values.astype(float),
        ax=axes,
        vmin=100 * low,
        vmax=100 * high,
        cmap="cividis",  # even in lightness and the same to all common forms of colour vision
        cbar=False,
        annot=True,
        fmt=f".{decimals}f",
        annot_kws={"fontsize": "small"},
        xticklabels=list(values.columns),
        yticklabels=list(values.index),
    )
    for row, column in np.argwhere(values.isna().to_numpy()):
        axes.text(column + 0.5, row + 0.5, "\N{EN DASH}", ha="center", va="center")
    axes.set(xlabel=None, ylabel=None)
    axes.grid(False)
    axes.tick_params(length=0, rotation=0)
