"""Efficiency against the number of parameters."""

import pandas as pd
from matplotlib.figure import Figure

from kancore.analysis.efficiency import best_scheme_efficiency
from kancore.figures import style
from kancore.figures.parameters import logarithmic, parameters_panels
from kancore.intrinsic_dimension.estimates import PAPER


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture, joined along depth.

    One panel a data set, with logarithmic axes; lines through marks reach from the lowest seed to
    the highest. The scheme is the best on validation data, the intrinsic dimension the paper's
    constant; where all runs diverged, or there are no more parameters than dimensions, there is no
    mark.
    """
    best = best_scheme_efficiency(table, PAPER)
    best = best.rename(columns={"efficiency_low": "low", "efficiency_high": "high"})
    colours, seeds = style.colours(table["model"]), "lowest to highest seed"
    figure = parameters_panels(best, colours, "efficiency", "Efficiency of the best scheme", seeds)
    logarithmic(figure)
    return figure
