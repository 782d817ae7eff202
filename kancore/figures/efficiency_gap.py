"""Efficiency and generalization gap of the best scheme, by data set and architecture."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from kancore.analysis.efficiency import best_scheme_efficiency, rank_correlations
from kancore.figures import style
from kancore.intrinsic_dimension.estimates import PAPER


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a pair of panels for each data set, with a mark for each architecture.

    Left the efficiency with the paper's constant for the intrinsic dimension, right the
    generalization gap; lines through marks reach from the lowest seed to the highest.
    """
    colours = style.colours(table["model"])
    best = best_scheme_efficiency(table, PAPER)
    names, objectives = style.in_order(best["dataset"]), style.in_order(best["objective"])
    pairs = style.architectures(best)
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 1.8 * len(names) + 0.6), layout="constrained")
    grid = figure.subplots(len(names), 2, sharex=True, squeeze=False)
    for name, (left, right) in zip(names, grid, strict=True):
        left.set_title(style.display_name(name), loc="left", fontweight="bold")
        left.set_ylabel("Efficiency")
        right.set_ylabel("Gap, points")
        right.axhline(0, color=style.GREY, lw=0.8)
        right.yaxis.set_major_formatter(style.points)
        for axes in (left, right):
            axes.set_xticks(range(len(pairs)), [depth.removesuffix("layers") for _, depth in pairs])
            axes.tick_params(axis="x", length=0, labelbottom=True)
            axes.margins(y=0.12)  # as much as a mark needs
    step = 0.86 / len(objectives)
    for row in best.itertuples():
        shift = (objectives.index(row.objective) - (len(objectives) - 1) / 2) * step
        place = pairs.index((row.model, row.depth)) + shift
        colour = colours[row.model]
        left, right = grid[names.index(row.dataset)]
        style.draw_interval(left, place, row.efficiency_low, row.efficiency_high, colour)
        left.plot(place, row.efficiency, **style.mark(colour, row.objective))
        style.draw_interval(right, place, row.gap_low, row.gap_high, colour)
        right.plot(place, row.generalization_gap, **style.mark(colour, row.objective))
    for left, _ in grid:
        left.set_ylim(bottom=0)
    figure.supxlabel("Layers", fontsize="medium")
    seeds = style.seed_handles((best["seeds"] > 1).any())
    style.legend_above(figure, [*style.mark_handles(best, colours), *seeds])
    style.describe(figure, _describe(table))
    return figure


def _describe(table: pd.DataFrame) -> str:
    """Say whether another source of the intrinsic dimension would rank the runs otherwise."""
    ranks = rank_correlations(table)
    ranks = ranks[(ranks["other"] == PAPER) & (ranks["source"] != PAPER)]
    known = ranks.dropna(subset="spearman")
    if known.empty:
        return "There is no other intrinsic dimension to compare with the paper's constant."
    least = known.loc[known["spearman"].idxmin()]
    text = (
        "Other estimates of the intrinsic dimension rank the runs of a data set as the paper's "
        if least["spearman"] > 0.99
        else "Other estimates of the intrinsic dimension change how runs rank beside the paper's "
    )
    text += (
        f"constant does: Spearman's correlation is {least['spearman']:.4f} or more (the least for "
        f"{style.display_name(least['dataset'])}, {style.display_name(least['source'])})."
    )
    lost = known[known["undefined"] > 0]
    if len(lost):
        undefined = "; ".join(
            f"{row.undefined} of {row.runs} for {style.display_name(row.dataset)}, "
            f"{style.display_name(row.source)}"
            for row in lost.itertuples()
        )
        text += f" Runs with no more parameters than dimensions have none: {undefined}."
    return text
