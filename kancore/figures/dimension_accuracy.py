"""Accuracy against the dimension of the random subspace that a network trains in."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.figures import style
from kancore.figures.style import Look
from kancore.intrinsic_dimension.estimates import MEASURED, estimate_landscapes
from kancore.intrinsic_dimension.search import FRACTION
from kancore.intrinsic_dimension.subspaces import REFERENCE

_REFERENCE = style.PALETTE[5]
_THRESHOLDS = {"landscape_absolute": ":", "landscape_relative": "--"}
_PUBLISHED: Look = {
    "ls": "",
    "marker": "D",
    "ms": 5,
    "mfc": "white",
    "mec": style.GREY,
    "zorder": 4,
}
_CROSSING: Look = {"ls": "", "marker": "v", "ms": 6, "mec": "white", "mew": 0.6, "zorder": 5}


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a curve for each network and seed, the thresholds, and where they are crossed.

    One panel a data set. A square is the network that trained in all its parameters. Dotted is 90%
    accuracy, dashed 90% of the reference network's accuracy (of the first network's where there is
    no reference), a mean over seeds; triangles are the estimates.
    """
    measured = table[(table["source"] == MEASURED) & table["test_accuracy"].notna()]
    names = style.in_order(table.loc[table["source"] == MEASURED, "dataset"])
    figure, by_name = style.panels(names, 3, 2.5, sharey=True)
    networks = list(dict.fromkeys(table.loc[table["source"] == MEASURED, "network"]))
    looks = _looks(networks)
    estimates = estimate_landscapes(measured)
    for name, axes in by_name.items():
        rows = measured[measured["dataset"] == name]
        for (network, _), curve in rows.groupby(["network", "seed"], sort=False):
            _draw_curve(axes, curve.sort_values("dimension"), looks[network])
        _draw_thresholds(axes, rows, estimates[estimates["dataset"] == name], looks)
        published = table[(table["source"] != MEASURED) & (table["dataset"] == name)]
        axes.plot(published["dimension"].to_numpy(float), published["test_accuracy"], **_PUBLISHED)
        axes.set_xscale("log")
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(style.percent)
    figure.supxlabel("Dimension of the subspace", fontsize="medium")
    figure.supylabel("Test accuracy", fontsize="medium")
    style.legend_above(figure, _handles(looks, set(table["source"])))
    return figure


def _looks(networks: list[str]) -> dict[str, dict]:
    """Colour of each network's model, thinner lines for deeper ones; the reference has its own."""
    colours = style.colours([network.split("-")[0] for network in networks])
    looks = {}
    for network in networks:
        model, widths = network.split("-")[:2]
        looks[network] = {
            "color": colours[model],
            "lw": 1.6 / (1 + widths.count("x")) ** 0.7,
            "label": f"{style.display_name(model)} {widths}",
        }
    if REFERENCE.name in looks:
        looks[REFERENCE.name] = {"color": _REFERENCE, "lw": 1.2, "label": "Reference, 200x200"}
    return looks


def _draw_curve(axes: Axes, curve: pd.DataFrame, look: dict) -> None:
    subspaces, direct = curve[~curve["direct"]], curve[curve["direct"]]
    for rows, drawn in ((subspaces, {"marker": "."}), (direct, {"marker": "s", "ls": ""})):
        x, y = rows["dimension"].to_numpy(float), rows["test_accuracy"]
        axes.plot(x, y, ms=4, alpha=0.8, **{**look, **drawn})


def _draw_thresholds(
    axes: Axes, rows: pd.DataFrame, estimates: pd.DataFrame, looks: dict[str, dict]
) -> None:
    """Draw both thresholds of the first network, and every network's estimates on its own."""
    direct = rows[rows["direct"]].groupby("network", sort=False)["test_accuracy"].mean()
    if len(direct):
        axes.axhline(FRACTION * direct.iloc[0], color=style.GREY, ls="--", lw=0.8)
    axes.axhline(FRACTION, color=style.GREY, ls=":", lw=0.8)
    for row in estimates.dropna(subset="dimension").itertuples():
        relative = row.estimator == "landscape_relative"
        height = FRACTION * (direct[row.network] if relative else 1)
        axes.plot(row.dimension, height, color=looks[row.network]["color"], **_CROSSING)


def _handles(looks: dict[str, dict], sources: set[str]) -> list[Line2D]:
    networks = [Line2D([], [], **look) for look in looks.values()]
    thresholds = [
        Line2D([], [], color=style.GREY, lw=0.8, ls=line, label=style.display_name(name))
        for name, line in _THRESHOLDS.items()
    ]
    published = [
        Line2D([], [], **_PUBLISHED, label=source) for source in sorted(sources - {MEASURED})
    ]
    crossing = Line2D([], [], color=style.GREY, **_CROSSING, label="Estimate")
    return [*networks, *thresholds, crossing, *published]
