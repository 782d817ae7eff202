"""How much more accurate the best scheme is than the median one, with intervals."""

import pandas as pd
from matplotlib.figure import Figure

from kancore.analysis.statistics import best_schemes, main_grid
from kancore.figures import style


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw the accuracy of the best scheme minus that of the median scheme, in points.

    One panel a data set; lines are 95% bootstrap intervals over schemes. An architecture all of
    whose schemes diverged has no mark.
    """
    colours = style.colours(table["model"])
    best = best_schemes(main_grid(table))
    best = best.assign(spread=best["test_accuracy"] - best["median"])
    figure, places = style.architecture_panels(best, 2.4)
    for row in best.dropna(subset="spread").itertuples():
        axes, place, _ = places(row.dataset, row.model, row.depth, row.objective)
        ends = row.test_accuracy - row.median_high, row.test_accuracy - row.median_low
        style.draw_interval(axes, place, *ends, colours[row.model])
        axes.plot(place, row.spread, **style.mark(colours[row.model], row.objective))
    for axes in figure.axes:
        axes.axhline(0, color=style.GREY, lw=0.8)
        axes.yaxis.set_major_formatter(style.points)
    figure.supylabel("Best minus median scheme, points", fontsize="medium")
    interval = style.interval_handle("95% bootstrap interval over schemes")
    style.legend_above(figure, [*style.mark_handles(best, colours), interval])
    style.describe(figure, _describe(best))
    return figure


def _describe(best: pd.DataFrame) -> str:
    """Compare KANs with the MLPs of their depth."""
    keys = ["dataset", "depth", "objective"]
    wide = best.pivot(index=keys, columns="model", values="spread")
    if not {"kan", "mlp"} <= set(wide):
        return ""
    points = 100 * (wide["kan"] - wide["mlp"]).dropna()
    if points.empty:
        return ""
    return (
        f"In {(points > 0).sum()} of {len(points)} pairs a KAN gains more by tuning than the MLP "
        f"of the same depth and objective; the median difference is {points.median():+.1f} points."
    )
