"""Best test accuracy against the number of parameters, for all data sets."""

import pandas as pd
from matplotlib.figure import Figure

from kancore.analysis.statistics import best_schemes, main_grid
from kancore.figures import style
from kancore.figures.parameters import parameters_panel


def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture, joined along depth.

    One panel with a logarithmic axis of parameters; colours are models, marks are data sets. The
    best scheme is chosen on validation data; where all diverged there is no mark.
    """
    best = best_schemes(main_grid(table))
    figure = parameters_panel(
        best, style.colours(table["model"]), "test_accuracy", "Test accuracy of the best scheme"
    )
    figure.axes[0].yaxis.set_major_formatter(style.percent)
    return figure
