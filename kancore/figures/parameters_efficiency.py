"""Efficiency against the number of parameters, for all data sets."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from kancore.efficiency import best_scheme_efficiency
from kancore.figures.parameters import parameters_panel
from kancore.intrinsic_dimension.estimates import PAPER

TABLE = "efficiency"


def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture, joined along depth.

    Parameters
    ----------
    table
        With the columns of `kancore.tables.EFFICIENCY`.

    Returns
    -------
    Figure
        One panel with logarithmic axes; colours are models, marks are data sets. The scheme is
        the best on validation data, the intrinsic dimension the paper's constant; where all runs
        diverged, or there are no more parameters than dimensions, there is no mark.
    """
    best = best_scheme_efficiency(table, PAPER)
    figure = parameters_panel(best, "efficiency", "Efficiency of the best scheme")
    if best["efficiency"].notna().any():
        (axes,) = figure.axes
        axes.set_yscale("log")
        for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            which(LogFormatter(minor_thresholds=(1.5, 0.5)))
    return figure
