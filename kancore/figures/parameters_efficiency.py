"""Efficiency against the number of parameters, for all data sets."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from kancore.analysis.efficiency import best_scheme_efficiency
from kancore.figures import style
from kancore.figures.parameters import parameters_panel
from kancore.intrinsic_dimension.estimates import PAPER


def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture, joined along depth.

    One panel with logarithmic axes; colours are models, marks are data sets. The scheme is the best
    on validation data, the intrinsic dimension the paper's constant; where all runs diverged, or
    there are no more parameters than dimensions, there is no mark.
    """
    best = best_scheme_efficiency(table, PAPER)
    figure = parameters_panel(
        best, style.colours(table["model"]), "efficiency", "Efficiency of the best scheme"
    )
    if best["efficiency"].notna().any():
        axis = figure.axes[0].yaxis
        figure.axes[0].set_yscale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 5, 7)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    return figure
