"""Wall-clock time and number of parameters of each architecture, beside each other."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.figures import style

_MARKERS = "osD^vPXp<>"


def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture and data set, in two panels that share their rows.

    Parameters at the left, seconds that an epoch of one network takes at the right, both on
    logarithmic axes: time of training and evaluation, divided by epochs and networks.
    """
    colours = style.colours(table["model"])
    networks = table["epochs"] * table["schemes"]
    table = table.assign(networks=networks)
    keys = ["dataset", "objective", "model", "depth"]
    sums = table.groupby(keys, as_index=False).agg(
        parameters=("parameters", "first"), seconds=("seconds", "sum"), networks=("networks", "sum")
    )
    pairs = style.architectures(sums)
    names = style.in_order(sums["dataset"])
    markers = {name: _MARKERS[place % len(_MARKERS)] for place, name in enumerate(names)}
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 0.3 * len(pairs) + 1.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for row in sums.itertuples():
        look = {
            **style.mark(colours[row.model], row.objective),
            "marker": markers[row.dataset],
            "alpha": 0.85,
        }
        place = pairs.index((row.model, row.depth))
        left.plot(float(row.parameters), place, **look)
        right.plot(row.seconds / row.networks, place, **look)
    labels = [f"{style.display_name(model)}, {style.display_name(depth)}" for model, depth in pairs]
    left.set_yticks(range(len(pairs)), labels)
    left.invert_yaxis()
    for axes, title in ((left, "Trainable parameters"), (right, "Seconds an epoch, one network")):
        axes.set_xscale("log")
        axes.set_xlabel(title)
        axes.grid(True, axis="x")
    datasets = [
        Line2D([], [], color=style.GREY, ls="", ms=7, marker=marker, label=style.display_name(name))
        for name, marker in markers.items()
    ]
    style.legend_above(figure, [*style.mark_handles(sums, colours), *datasets])
    return figure
