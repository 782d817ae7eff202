"""What all figures share: fonts, sizes, colours, names and order, panels, and the files."""

import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backend_bases import get_registered_canvas_class
from matplotlib.colors import hsv_to_rgb, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

# How something is drawn: keywords of Matplotlib's artists.
Look = dict[str, Any]

# Okabe & Ito's palette, told apart by all common forms of colour vision; black is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
GREY = "#555555"
# For what is no model, where the first three would be taken for models.
OTHERS = (*PALETTE[3:6], "#999933", GREY)
# Text and axes. Black itself is for medians alone, in every figure.
INK = "#1d2328"
MEDIAN = "#000000"
_GRID = "#dddddd"

_MODELS = {"mlp": "MLP", "kan": "KAN", "wide_mlp": "Wide MLP"}
_DATASETS = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "imdb": "IMDB",
    "higgs": "HIGGS",
    "digits": "Digits, 8 by 8",
    "breast_cancer": "Breast cancer",
    "mnist_sample": "MNIST, 5,000 images",
}
_OBJECTIVES = {"backprop": "backpropagation", "hsic": "HSIC bottleneck"}
_SCHEMES = {
    "kaiming_normal": "Kaiming-normal",
    "kaiming_uniform": "Kaiming-uniform",
    "sgd": "SGD",
    "sgd_momentum": "SGD, momentum",
    "adam": "AdamW",
}
_ACTIVATIONS = {"gelu": "GELU", "silu": "SiLU", "elu": "ELU", "relu": "ReLU", "cosine": "Cosine"}
_DIMENSIONS = {
    "paper": "Paper's constant",
    "two_nn": "TwoNN",
    "mle": "MLE",
    "landscape_absolute": "Landscape, 90% accuracy",
    "landscape_relative": "Landscape, 90% of direct",
}
_PROTOCOLS = {
    "published": "All departures (published)",
    "warm_start": "Warm start",
    "output_initialization": "Initialization of outputs only",
    "pytorch_initialization": "PyTorch's initial outputs, biases",
    "leaky_gain": "Smaller initial gain",
    "unit_inputs": "Pixels in [0, 1]",
    "relu_logits": "ReLU on the logits",
    "whole_test_batches": "Last test batch dropped",
    "best_on_test": "Best epoch on test data",
    "relu_activation": "ReLU, SiLU for GELU",
    "regularization": "Dropout, batch norm by family",
    "budget": "Batch size and epochs",
    "data": "Published data variants",
    "shallow_wide": "Wide network not rebuilt",
}
_FACTORS = {
    "baseline": "Baseline",
    "folded_scale": "Spline scale folded",
    "preserving_gain": "Variance kept by base branch",
    "balanced_gain": "Variance kept by both branches",
    "symmetric_inputs": "Pixels in [-1, 1]",
    "batch_norm": "Batch normalization",
    "layer_norm": "Layer normalization",
    "residual": "Residual connections",
    "no_dropout": "No dropout",
    "more_dropout": "Dropout 0.5",
    "no_weight_decay": "No weight decay",
    "more_weight_decay": "Weight decay 0.05",
    "grid_range_2": "Grid from -2 to 2",
    "grid_range_3": "Grid from -3 to 3",
    "moving_grid": "Grid moved to its inputs",
    "warm_up": "Warm-up of one epoch",
    "cosine_decay": "Cosine decay",
    "clipping": "Gradients clipped to norm 1",
    "label_smoothing": "Label smoothing 0.1",
    "combined": "Combined",
}
# What is varied to see how firm verdicts are, with a place for the setting.
_VARIATIONS = {
    "declared": "as declared",
    "correction": "corrected for all tests",
    "comparable": "comparable within {} points",
    "marginally_lower": "marginal up to {} points",
    "negligible": "nothing within {} points",
    "same_gap": "same gap within {} points",
    "same_order": "same orders within {} points",
    "share": "{}% of pairs are enough",
    "same_size": "as many parameters within a factor of {}",
    "large": "large from {} parameters",
    "budget": "after {}% of the epochs",
    "alone": "{} alone",
    "without": "without {}",
    "schemes": "{}",
    "dispersion": "spread as {}",
    "initialization": "{} alone",
    "optimizer": "{} alone",
    "learning_rate": "rate {} alone",
    "objective": "{} alone",
    "diverged": "without runs that diverged",
}
# Settings of variations that have no other name.
_CHOICES = {
    "best": "best schemes alone",
    "median": "median schemes",
    "learned": "schemes that learned",
    "quartiles": "interquartile range",
    "deviation": "standard deviation",
}
MARKS = {
    "supported": "\N{CHECK MARK}",
    "contradicted": "\N{MULTIPLICATION X}",
    "suggested": "(\N{CHECK MARK})",
    "doubted": "(\N{MULTIPLICATION X})",
    "depends": "\N{PLUS-MINUS SIGN}",
    "inconclusive": "?",
    "not tested": "\N{EN DASH}",
}
_NAMES = {
    **_MODELS,
    **_DATASETS,
    **_OBJECTIVES,
    **_SCHEMES,
    **_ACTIVATIONS,
    **_DIMENSIONS,
    **_PROTOCOLS,
    **_FACTORS,
}
_ORDER = {name: place for place, name in enumerate(_NAMES)}

# For seaborn: a line through means over seeds, and a band from the lowest seed to the highest.
RANGE: Look = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.2, "lw": 0}}
LINES = {"backprop": "-", "hsic": "--"}
# Neither the time nor the version of the writer: the same table gives the same bytes.
_METADATA: dict[str, dict[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# Where a format has what a figure says of itself.
_DESCRIPTION = {".svg": "Description", ".png": "Description", ".pdf": "Subject"}
# How what a figure says of itself begins where there is nothing to draw.
NOTHING = "Nothing to draw"
# As in config.yaml, for figures that are drawn outside the workflow.
STYLE = {"dpi": 200, "font_size": 9, "font_family": "DejaVu Sans", "width_inches": 7}
# Of identifiers in SVG, so that these are the same each time; by it a style is known to be applied.
_SALT = "kancore"


def apply(style: dict[str, Any]) -> AbstractContextManager:
    """Draw and save in one style: a context for ``with``.

    Parameters
    ----------
    style
        ``dpi`` (of PNG), ``font_size`` (points), ``font_family`` (a font's name) and
        ``width_inches`` (of the whole figure), all of them.

    Returns
    -------
    context manager
        Inside it, Matplotlib has these settings; afterwards those that it had before.

    Raises
    ------
    ValueError
        If a setting is missing or unknown.
    """
    if unlike := set(style) ^ set(STYLE):
        raise ValueError(f"figure style: expected {sorted(STYLE)}; differs in {sorted(unlike)}")
    size, width = style["font_size"], style["width_inches"]
    return mpl.rc_context(
        {
            "figure.figsize": (width, width * 0.6),
            "figure.dpi": style["dpi"],
            "savefig.dpi": "figure",
            "font.family": [style["font_family"], "DejaVu Sans"],
            "font.size": size,
            "axes.titlesize": size + 1,
            "axes.labelsize": size,
            "xtick.labelsize": size - 1,
            "ytick.labelsize": size - 1,
            "legend.fontsize": size,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": _GRID,
            "grid.linewidth": 0.6,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 1.6,
            "hatch.linewidth": 0.8,
            "svg.hashsalt": _SALT,
        }
    )


def styled(draw: Callable[[pd.DataFrame], Figure]) -> Callable[[pd.DataFrame], Figure]:
    """Let a figure have the project's style where it is drawn outside `apply`."""

    @wraps(draw)
    def drawn(table: pd.DataFrame) -> Figure:
        with nullcontext() if mpl.rcParams["svg.hashsalt"] == _SALT else apply(STYLE):
            return draw(table)

    return drawn


def pale(colour: str, page: str = "white") -> str:
    """Mix a colour with that of the page: an opaque face, on which a hatch of the colour is seen.

    A transparent face would make its hatch transparent too, in SVG.
    """
    (red, green, blue), (r, g, b) = to_rgb(colour), to_rgb(page)
    return to_hex(((red + 2 * r) / 3, (green + 2 * g) / 3, (blue + 2 * b) / 3))


def describe(figure: Figure, text: str) -> None:
    """Let a figure say in words what it shows of its table; its files and the report have them."""
    figure.set_label(text)


def settle(figure: Figure) -> None:
    """Lay a figure out once for all files; the solver leaves the last digits of places open."""
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        if figure.axes:
            engine.execute(figure)  # as drawing does first, and files draw afterwards
        figure.set_layout_engine("none")
        for axes in figure.axes:
            place = axes.get_position(original=True)
            axes.set_position(Bbox(place.get_points().round(6)))


def save(figure: Figure, path: Path, style: dict[str, Any]) -> None:
    """Write a figure as PNG, SVG or PDF, the same bytes each time.

    An SVG has the colours of a dark page where the reader has chosen such; see `_dark`.

    Parameters
    ----------
    figure
        What a figure's ``draw`` returned.
    path
        File to write; its suffix is ``.png``, ``.svg`` or ``.pdf``.
    style
        The settings that it was drawn with; see `apply`.

    Raises
    ------
    ValueError
        If the suffix is another one.
    """
    if path.suffix not in _METADATA:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_METADATA)}")
    metadata: dict[str, Any] = {**_METADATA[path.suffix]}
    if text := str(figure.get_label()):
        metadata[_DESCRIPTION[path.suffix]] = text
    written = io.BytesIO()
    before = figure.canvas, figure.dpi
    with apply(style):
        try:
            settle(figure)
            # Not by `savefig`, which draws a figure twice that has had a layout engine.
            canvas = get_registered_canvas_class(path.suffix[1:])(figure)
            figure.dpi = style["dpi"]
            getattr(canvas, f"print_{path.suffix[1:]}")(written, metadata=metadata)
        finally:
            canvas, figure.dpi = before
            figure.set_canvas(canvas)
    drawn = written.getvalue()
    if path.suffix == ".svg":
        drawn = drawn.replace(b"</style>", f"\n{_dark()}</style>".encode(), 1)
    path.write_bytes(drawn)


def _dark() -> str:
    """Write rules that give an SVG of Matplotlib the colours of the report's dark page.

    What lies on the page changes: text, axes, grid, medians, white and pale faces. The cells of
    heat maps and the text in them stay: that is black, white or seaborn's dark grey.
    """
    page, text = "#15191d", "#e4e8eb"
    both = {INK: text, GREY: "#a3aeb8"}
    strokes = {**both, "#ffffff": page, _GRID: "#3a434b", MEDIAN: "#ffffff"}
    fills = {"#ffffff": page, **{pale(own): pale(own, page) for own in palette(12)}}
    return "\n".join(
        [
            "@media (prefers-color-scheme: dark) {",
            *(f'[style*="stroke: {a}"] {{stroke: {b} !important}}' for a, b in strokes.items()),
            *(f'[style*="fill: {a}"] {{fill: {b} !important}}' for a, b in both.items()),
            # White text is the text of dark cells; a hatch has its face as an attribute.
            *(f':not(g)[style*="fill: {a}"] {{fill: {b} !important}}' for a, b in fills.items()),
            *(f'rect[fill="{a}"] {{fill: {b} !important}}' for a, b in fills.items()),
            "}",
            "",
        ]
    )


def display_name(name: str) -> str:
    """Name for readers of a model, data set, objective, depth or part of a scheme.

    Models of the user's own are called as they are in the configuration.
    """
    if depth := re.fullmatch(r"(\d+)layers", name):
        return f"{depth[1]} layers"
    return _NAMES.get(name, name if ":" in name else name.replace("_", " "))


def fold(text: str, inches: float, size: float | None = None) -> str:
    """Break text, of the size of titles or another one, into lines that are no longer than this.

    So many lines are as even as they can be: none is left with a last digit.
    """
    size = size or mpl.rcParams["axes.titlesize"]
    most = max(8, int(_characters(inches, size)))
    lines = textwrap.wrap(text, most)
    for width in range(most - 1, 0, -1):
        narrower = textwrap.wrap(text, width, break_long_words=False)
        if len(narrower) > len(lines) or max(map(len, narrower), default=0) > width:
            break
        lines = narrower
    return "\n".join(lines)


def _characters(inches: float, size: float) -> float:
    """Count the characters of this size, in points, that a line of so many inches holds."""
    return 100 * inches / size


def percent(fraction: float, _place: float | None = None) -> str:
    """Label of a tick at `fraction`, with as many decimals as keep neighbours apart."""
    return f"{round(100 * fraction, 4) + 0:g}%"  # + 0 makes a zero below zero plain


def points(fraction: float, _place: float | None = None) -> str:
    """Label of a tick at a difference between fractions: percentage points, without a unit."""
    return percent(fraction).rstrip("%")


def setting_name(variation: str, setting: str) -> str:
    """Say what is varied, from the columns of `kancore.analysis.tables.FIRMNESS`."""
    words = _VARIATIONS[variation]
    if variation == "dispersion":
        return words.format(_CHOICES.get(setting, f"range over {setting.replace('_', ' ')}s"))
    if variation in ("schemes", "learning_rate", "same_size"):
        return words.format(_CHOICES.get(setting, setting))
    if variation == "large":
        return words.format(f"{float(setting):,.0f}")
    if variation in ("alone", "without", "objective", "initialization", "optimizer"):
        return words.format(display_name(setting))
    if "{" not in words:
        return words
    number = f"{100 * float(setting):g}"
    return words.format(number).replace(" points", " point" if number == "1" else " points")


def in_order(names: Iterable[str]) -> list[str]:
    """Distinct names, known ones in the paper's order, then others by number and alphabet."""

    def rank(name: str) -> tuple:
        number = re.match(r"\d+", name)
        return _ORDER.get(name, len(_ORDER)), int(number[0]) if number else 0, name

    return sorted(set(names), key=rank)


def network_names(rows: pd.DataFrame, said: Callable[[Any], str]) -> str:
    """Name the network of each data set, of which there is a row each, with what is said of it."""
    by_name = rows.set_index("dataset")
    return "; ".join(
        f"{display_name(name)}: {display_name(row.model)}, {display_name(row.depth)}, {said(row)}"
        for name in in_order(by_name.index)
        for row in [by_name.loc[name]]
    )


def origin(row: Any) -> str:
    """Say by which scheme and seed a network was trained, and its test accuracy."""
    objective = "" if row.objective == "backprop" else f"{display_name(row.objective)}, "
    scheme = f"{display_name(row.optimizer)}, {row.learning_rate:g}"
    scheme += f", {display_name(row.initialization)}, seed {row.seed}"
    return f"{objective}{scheme}, {100 * row.test_accuracy:.1f}%"


def palette(count: int) -> list[str]:
    """So many colours: those of `PALETTE`, and hues all around the circle for more than it has."""
    more = max(0, count - len(PALETTE))
    hues = (hsv_to_rgb((place / more, 0.7, 0.7)) for place in range(more))
    return [*PALETTE, *(to_hex(tuple(hue)) for hue in hues)][:count]


def shades(count: int) -> list[str]:
    """So many colours from light to dark, for what has an order, such as depths."""
    # Neither the lightest, not seen on white, nor the darkest.
    places = (0.15 + 0.55 * place / max(1, count - 1) for place in range(count))
    return [to_hex(mpl.colormaps["viridis_r"](place)) for place in places]


def colours(models: Iterable[str]) -> dict[str, str]:
    """Colour of each model, in order; a known model has the same one in every figure.

    A model of the user's own has the next one that is left, so ask once, for all models of a table.
    """
    models = in_order(models)
    everyone = [*_MODELS, *(model for model in models if model not in _MODELS)]
    found = dict(zip(everyone, palette(len(everyone)), strict=True))
    return {model: found[model] for model in models}


def architectures(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs (model, depth) in `table`, model by model."""
    present = set(zip(table["model"], table["depth"], strict=True))
    return [
        (model, depth)
        for model in in_order(table["model"])
        for depth in in_order(table["depth"])
        if (model, depth) in present
    ]


def architecture_panels(table: pd.DataFrame, height: float, **options: Any) -> tuple:
    """Make a panel for each data set, with a place for each architecture and objective.

    Parameters
    ----------
    table
        Rows with the key columns.
    height
        Height of a panel, inches.
    **options
        For `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    tuple
        The figure, and a function that tells for (data set, model, depth, objective) the panel,
        the place on its x axis and the width there.
    """
    objectives = in_order(table["objective"])
    pairs = architectures(table)
    figure, by_name = panels(in_order(table["dataset"]), 4 - len(objectives), height, **options)
    for axes in by_name.values():
        axes.set_xticks(range(len(pairs)), [depth.removesuffix("layers") for _, depth in pairs])
        axes.set_xlim(-0.6, len(pairs) - 0.4)
        axes.tick_params(axis="x", length=0)
        axes.yaxis.set_major_formatter(percent)
    figure.supxlabel("Layers", fontsize="medium")
    figure.supylabel("Test accuracy", fontsize="medium")
    width = 0.86 / len(objectives)

    def place(dataset: str, model: str, depth: str, objective: str) -> tuple[Axes, float, float]:
        shift = (objectives.index(objective) - (len(objectives) - 1) / 2) * width
        return by_name[dataset], pairs.index((model, depth)) + shift, width

    return figure, place


def panels(
    names: list[str], columns: int, height: float, labels: float = 0.4, **options: Any
) -> tuple[Figure, dict[str, Axes]]:
    """Make a figure with a titled panel for each data set.

    Parameters
    ----------
    names
        The data sets, in order.
    columns
        Most panels side by side.
    height
        Height of a panel, inches.
    labels
        Inches of a panel's width that labels of its rows or ticks take.
    **options
        For `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    tuple
        The figure, and the panel of each data set.
    """
    rows = math.ceil(len(names) / columns)
    columns = math.ceil(len(names) / rows)
    width, _ = mpl.rcParams["figure.figsize"]
    titles = [fold(display_name(name), width / columns - labels) for name in names]
    height += 0.17 * max((title.count("\n") for title in titles), default=0)
    figure = Figure(figsize=(width, rows * height + 0.5), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    by_name = dict(zip(names, grid, strict=False))
    for title, axes in zip(titles, grid, strict=False):
        axes.set_title(title, loc="left", fontweight="bold")
    for axes in grid[len(names) :]:
        axes.remove()
    for axes in grid[: len(names)][-columns:]:  # the lowest panel of each column
        axes.tick_params(labelbottom=True)
    return figure, by_name


def widen(axes: Axes, least: float) -> tuple[float, float]:
    """Let an axis of accuracy show at least so much, beyond 100% no more than it does; its limits.

    What little a few accuracies differ by chance would fill it otherwise.
    """
    low, high = axes.get_ylim()
    if high - low < least:
        top = min((low + high + least) / 2, max(high, 1.0))
        low, high = axes.set_ylim(top - least, top)
    return low, high


def note(axes: Axes, lines: Iterable[str]) -> None:
    """Write what a panel cannot show into its lower right corner."""
    axes.annotate(
        "\n".join(lines),
        (0.98, 0.03),
        xycoords="axes fraction",
        ha="right",
        va="bottom",
        fontsize="small",
        color=GREY,
    )


def all_diverged(row: Any, several: bool) -> str:
    """Say that an architecture has no mark, and if there are several objectives under which."""
    names = [row.model, row.depth, *([row.objective] if several else [])]
    return f"{', '.join(map(display_name, names))}: all diverged"


def nothing(text: str) -> Figure:
    """Make a figure that says why there is nothing to draw."""
    figure = Figure(layout="constrained")
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    describe(figure, f"{NOTHING}: {text}.")
    return figure


def draw_interval(axes: Axes, place: float, low: float, high: float, colour: str) -> None:
    """Draw an interval through a mark, in its colour; nothing where there is none."""
    if low < high:  # false of missing values too
        axes.vlines(place, low, high, color=colour, lw=1.4)


def interval_handle(label: str) -> Line2D:
    """Legend of the lines through marks."""
    return Line2D([], [], color=GREY, lw=1.4, label=label)


def seed_handles(several: bool) -> list[Line2D]:
    """Legend of lines from the lowest seed to the highest, if there are several seeds."""
    return [interval_handle("lowest to highest seed")] if several else []


def model_handles(models: Iterable[str], by_model: Mapping[str, str]) -> list[Line2D]:
    """Legend of the models, as lines."""
    return [
        Line2D([], [], color=by_model[model], lw=3, label=display_name(model))
        for model in in_order(models)
    ]


def line_handles(table: pd.DataFrame, by_model: Mapping[str, str]) -> list[Line2D]:
    """Legend of the models, and of the objectives if there are several, as lines."""
    dashed = [
        Line2D([], [], color=GREY, lw=1, ls=LINES.get(name, ":"), label=display_name(name))
        for name in in_order(table["objective"])
    ]
    models = model_handles(table["model"], by_model)
    return [*models, *(dashed if len(dashed) > 1 else [])]


def mark_handles(table: pd.DataFrame, by_model: Mapping[str, str]) -> list[Line2D]:
    """Legend of the models, and of the objectives if there are several, as marks."""
    objectives = in_order(table["objective"])
    marks = [
        Line2D([], [], **mark(GREY, name), ls="", label=display_name(name)) for name in objectives
    ]
    models = model_handles(table["model"], by_model)
    return [*models, *(marks if len(marks) > 1 else [])]


def mark(colour: str, objective: str) -> Look:
    """Look of a mark: filled under backpropagation, open under another objective."""
    filled = objective == "backprop"
    return {"marker": "o", "ms": 7, "mec": colour, "mfc": colour if filled else "white"}


def prepare_rows(axes: Axes, title: str, names: Iterable[str]) -> None:
    """Give axes a title and a row for each name, the first at the top, with lines between them."""
    names = list(names)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_yticks(range(len(names)), [display_name(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.grid(True, axis="x")
    for edge in range(1, len(names)):
        axes.axhline(edge - 0.5, color=_GRID, lw=0.6)


def legend_above(figure: Figure, handles: list) -> None:
    """Put one legend for all panels above them, in as few rows as its words allow.

    It starts at the left, so that it is seen where a small screen shows a part of the figure only.
    """
    width, _ = mpl.rcParams["figure.figsize"]
    room = _characters(width, mpl.rcParams["font.size"])
    lengths = [len(handle.get_label()) + 7 for handle in handles]
    for rows in range(1, len(handles) + 1):
        columns = math.ceil(len(handles) / rows)
        if sum(max(column) for column in np.array_split(lengths, columns)) <= room:
            break
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)
