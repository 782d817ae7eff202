"""Figures of a study: one module each, with ``TABLE`` and ``draw(table) -> Figure``.

``TABLE`` names the table that a figure is drawn from, one of `kancore.tables.SCHEMAS`. Modules are
imported by name and only when drawn, so that a change to one figure re-draws that one alone.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from matplotlib.figure import Figure

from kancore.figures.style import apply

FIGURES = (
    "accuracy_bars",
    "hsic_accuracy",
    "scheme_boxplots",
    "sensitivity",
    "scheme_heatmaps",
    "learning_curves",
    "parameters_accuracy",
    "time_parameters",
    "best_epochs",
    "dimension_accuracy",
    "dimension_estimates",
    "efficiency_bars",
    "parameters_efficiency",
    "efficiency_ranks",
    "activation_accuracy",
    "width_degree",
    "degree_depth",
    "grid_size",
    "departures",
    "stability_effects",
    "firmness",
)

# Neither the time nor the version of the writer: the same table gives the same bytes.
_METADATA = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}


def load(name: str) -> ModuleType:
    """Import the module of a figure.

    Raises
    ------
    ValueError
        If `name` is none of `FIGURES`.
    """
    if name not in FIGURES:
        raise ValueError(f"no figure {name!r}; expected one of {', '.join(FIGURES)}")
    return import_module(f"{__name__}.{name}")


def save(figure: Figure, path: Path, style: dict[str, Any]) -> None:
    """Write a figure as PNG or SVG, the same bytes each time.

    Parameters
    ----------
    figure
        What a figure's ``draw`` returned.
    path
        File to write; its suffix is ``.png`` or ``.svg``.
    style
        The settings that it was drawn with; see `kancore.figures.style.apply`.

    Raises
    ------
    ValueError
        If the suffix is another one.
    """
    if path.suffix not in _METADATA:
        raise ValueError(f"{path}: expected a name that ends in {' or '.join(_METADATA)}")
    with apply(style):
        figure.savefig(path, metadata=_METADATA[path.suffix])
