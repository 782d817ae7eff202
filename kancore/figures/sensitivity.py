"""How much of the best scheme's accuracy a typical scheme lacks, with intervals."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.analysis.statistics import best_schemes, main_grid
from kancore.figures import style


def draw(table: pd.DataFrame) -> Figure:
    """Draw the accuracy of the best scheme less that of the median scheme.

    One panel a data set; lines are 95% bootstrap intervals over schemes. An architecture all of
    whose schemes diverged has no mark.
    """
    colours = style.colours(table["model"])
    best = best_schemes(main_grid(table))
    figure, places = style.architecture_panels(best, 2.4)
    for row in best.dropna(subset="test_accuracy").itertuples():
        axes, place, _ = places(row.dataset, row.model, row.depth, row.objective)
        colour = colours[row.model]
        ends = row.test_accuracy - row.median_high, row.test_accuracy - row.median_low
        axes.vlines(place, *ends, color=colour, lw=2)
        axes.plot(place, row.test_accuracy - row.median, **style.mark(colour, row.objective))
        axes.axhline(0, color="black", lw=0.8)
    figure.supylabel("Best less median scheme", fontsize="medium")
    interval = Line2D([], [], color=style.GREY, lw=2, label="95% bootstrap interval")
    style.legend_above(figure, [*style.mark_handles(best, colours), interval])
    return figure
