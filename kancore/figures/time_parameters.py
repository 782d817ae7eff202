"""Time of an epoch against the number of parameters."""

import pandas as pd
from matplotlib.figure import Figure

from kancore.figures import style
from kancore.figures.parameters import logarithmic, parameters_panels

_KEYS = ["dataset", "objective", "model", "depth"]


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture, joined along depth, at the seconds of an epoch.

    One panel a data set, with logarithmic axes. The time is that of training and evaluation,
    divided by epochs and by the networks that a sweep trains; lines through marks reach from the
    fastest sweep to the slowest.
    """
    each = table.assign(networks=table["epochs"] * table["schemes"])
    each = each.assign(epoch=each["seconds"] / each["networks"])
    sums = each.groupby(_KEYS, as_index=False).agg(
        parameters=("parameters", "first"),
        seconds=("seconds", "sum"),
        networks=("networks", "sum"),
        low=("epoch", "min"),
        high=("epoch", "max"),
    )
    sums["epoch"] = sums["seconds"] / sums["networks"]
    colours, label = style.colours(table["model"]), "Seconds an epoch, one network"
    figure = parameters_panels(sums, colours, "epoch", label, "fastest to slowest sweep")
    logarithmic(figure)
    style.describe(figure, _describe(sums))
    return figure


def _describe(sums: pd.DataFrame) -> str:
    """Compare KANs with the wide MLPs, which have as many parameters, or else with MLPs."""
    wide = sums.pivot(index=["dataset", "objective", "depth"], columns="model", values="epoch")
    for rival in ("wide_mlp", "mlp"):
        if {"kan", rival} <= set(wide):
            factors = (wide["kan"] / wide[rival]).dropna()
            if len(factors):
                return (
                    f"An epoch of a KAN takes {factors.median():.2f} times as long as one of the "
                    f"{style.display_name(rival)} of its depth (median; {factors.min():.2f} to "
                    f"{factors.max():.2f})."
                )
    return ""
