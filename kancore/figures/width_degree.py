"""Test accuracy of KANs over width and degree (the paper's accuracy over width x degree)."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from kancore.figures import heat_map, style


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a heat map of width and degree for one hidden layer and for two.

    A row of panels for each data set, with one scale of colours; cells are means over seeds.
    Widths that a study has of the least degree only, to compare parameters, are left out.
    """
    runs = table[table["experiment"] == "width_degree"]
    widths = runs["hidden_widths"].str.split("x")
    runs = runs.assign(width=widths.str[0].astype(int), layers=widths.str.len())
    several = runs.groupby(["layers", "width"])["degree"].transform("nunique")
    runs = runs[several == runs["degree"].nunique()]
    names, layers = style.in_order(runs["dataset"]), sorted(runs["layers"].unique())
    width, _ = mpl.rcParams["figure.figsize"]
    degrees = runs["degree"].nunique()
    height = len(names) * (0.28 * degrees + 0.55) + 0.5
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(names), len(layers), squeeze=False)
    for name, row in zip(names, grid, strict=True):
        rows = runs[runs["dataset"] == name]
        means = rows.groupby(["layers", "degree", "width"])["test_accuracy"].mean()
        for count, axes in zip(layers, row, strict=True):
            heat_map.draw(axes, means.loc[count].unstack(), (means.min(), means.max()), 1)
            plural = "s" if count > 1 else ""
            title = f"{style.display_name(name)}: {count} hidden layer{plural}"
            axes.set_title(style.fold(title, width / len(layers)), loc="left", fontweight="bold")
    figure.supxlabel("Units of each hidden layer", fontsize="medium")
    figure.supylabel("Degree of the B-splines", fontsize="medium")
    return figure
