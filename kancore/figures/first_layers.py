"""First-layer weights of the best network of each model, as images."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kancore.figures import style

_BRANCHES = {"weight": "weights", "base": "base weights", "spline": "norm of splines"}
# Width of what stands beside a line, in images.
_WORDS = 1.9


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a line of images for each network and branch of its edges, an image for each unit.

    All images of a line have one scale of colours, symmetric about zero. Three channels are red,
    green and blue, and zero is grey then; norms are taken over channels.
    """
    if table.empty:
        return style.nothing("no network for images is kept")
    groups = dict(iter(table.groupby(["dataset", "model", "branch"], sort=False)))
    lines = [
        (name, model, branch, groups[name, model, branch])
        for name in style.in_order(table["dataset"])
        for model in style.in_order(table["model"])
        for branch in _BRANCHES
        if (name, model, branch) in groups
    ]
    columns = max(len(units) for *_, units in lines)
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 0.95 * len(lines) + 0.2), layout="constrained")
    shares = [_WORDS, *[1] * columns]
    grid = figure.subplots(len(lines), len(shares), squeeze=False, width_ratios=shares)
    for (name, model, branch, units), (words, *panels) in zip(lines, grid, strict=True):
        images = [_image(unit) for unit in units.itertuples()]
        most = max(abs(image).max() for image in images)
        for image, unit, axes in zip(images, units["unit"], panels, strict=False):
            _draw_image(axes, image, most, f"unit {unit}")
        for axes in panels[len(images) :]:
            axes.remove()
        largest = f"{most:.2g}"
        # Norms have no sign.
        largest = f"up to {largest}" if branch == "spline" else f"\N{PLUS-MINUS SIGN}{largest}"
        _write(words, name, f"{style.display_name(model)}, {_BRANCHES[branch]}", largest)
    style.describe(figure, _describe(table))
    return figure


def _image(unit) -> np.ndarray:
    """Give pixels ``[height, width]``, or ``[height, width, 3]`` of colours."""
    pixels = np.asarray(unit.values).reshape(unit.channels, unit.height, unit.width)
    if unit.channels == 1:
        return pixels[0]
    if unit.branch == "spline" or unit.channels != 3:
        return np.linalg.norm(pixels, axis=0)
    return pixels.transpose(1, 2, 0)


def _write(axes: Axes, dataset: str, what: str, largest: str) -> None:
    size = mpl.rcParams["font.size"] - 1
    width, _ = mpl.rcParams["figure.figsize"]
    name, what = (
        style.fold(text, 0.2 * width, size) for text in (style.display_name(dataset), what)
    )
    axes.text(0, 1, name, va="top", fontsize=size, fontweight="bold")
    axes.text(0, 0, f"{what}\n{largest}", va="bottom", fontsize=size)
    axes.set_axis_off()


def _draw_image(axes: Axes, image: np.ndarray, most: float, title: str) -> None:
    # An SVG names what clips by its place, of which the layout leaves the last digit open.
    how: dict[str, Any] = {"interpolation": "nearest", "clip_on": False}
    if image.ndim == 3:
        axes.imshow(0.5 + image / (2 * most or 1), **how)
    else:
        axes.imshow(image, cmap="RdBu_r", vmin=-most, vmax=most, **how)
    axes.set_title(title, fontsize=mpl.rcParams["font.size"] - 2, pad=2)
    axes.set_axis_off()


def _describe(table: pd.DataFrame) -> str:
    """Name the networks."""
    networks = table.drop_duplicates(["dataset", "model"])
    names = [
        style.network_names(networks[networks["model"] == model], style.origin)
        for model in style.in_order(networks["model"])
    ]
    return f"The weights are of {'; '.join(names)}."
