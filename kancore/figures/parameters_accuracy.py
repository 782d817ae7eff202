"""Best test accuracy against the number of parameters."""

import pandas as pd
from matplotlib.figure import Figure

from kancore.analysis.statistics import best_schemes, main_grid
from kancore.figures import style
from kancore.figures.parameters import parameters_panels

# Networks that come so near the most accurate one, as a fraction, compete with it.
_NEAR = 0.02


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture, joined along depth.

    One panel a data set; lines through marks reach from the lowest seed to the highest. The best
    scheme is chosen on validation data; where all diverged there is no mark.
    """
    best = best_schemes(main_grid(table)).rename(columns={"lowest": "low", "highest": "high"})
    colours = style.colours(table["model"])
    seeds = "lowest to highest seed"
    figure = parameters_panels(best, colours, "test_accuracy", "Accuracy of the best scheme", seeds)
    for axes in figure.axes:
        axes.yaxis.set_major_formatter(style.percent)
    style.describe(figure, _describe(best.dropna(subset="test_accuracy")))
    return figure


def _describe(best: pd.DataFrame) -> str:
    """Name the smallest network that competes, of each data set."""
    best = best[best["objective"] == "backprop"]
    highest = best.groupby("dataset")["test_accuracy"].transform("max")
    near = best[best["test_accuracy"] >= highest - _NEAR]
    if near.empty:
        return "No runs were evaluated."
    smallest = near.loc[near.groupby("dataset")["parameters"].idxmin()]
    names = style.network_names(smallest, lambda row: f"{row.parameters:,} parameters")
    points = f"{100 * _NEAR:g} points"
    return f"The smallest networks within {points} of the most accurate one are {names}."
