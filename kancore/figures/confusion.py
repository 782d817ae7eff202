"""Which classes the best network of each model takes for which, on test data."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from kancore.figures import heat_map, style

# Matrices side by side, and classes up to which cells have numbers.
_COLUMNS, _NUMBERED = 3, 12
# Test examples up to which these are counts.
_FEW = 1000


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a matrix for each model, in lines of panels for each data set.

    Rows are true classes, columns predicted ones. Colours are shares of a row; so are numbers, in
    percent, but of small data sets, where they count examples.
    """
    if table.empty:
        return style.nothing("no network is kept")
    by_name = {name: table[table["dataset"] == name] for name in style.in_order(table["dataset"])}
    lines = [
        (name, models[start : start + _COLUMNS])
        for name, rows in by_name.items()
        for models in [style.in_order(rows["model"])]
        for start in range(0, len(models), _COLUMNS)
    ]
    columns = max(len(models) for _, models in lines)
    inches = [0.17 * min(_NUMBERED, by_name[name]["label"].nunique()) + 0.9 for name, _ in lines]
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, sum(inches) + 0.3), layout="constrained")
    grid = figure.subplots(len(lines), columns, squeeze=False, height_ratios=inches)
    size = mpl.rcParams["font.size"] - 2
    for (name, models), row, height in zip(lines, grid, inches, strict=True):
        rows = by_name[name]
        for model, axes in zip(models, row, strict=False):
            own = rows[rows["model"] == model]
            _draw_panel(axes, own, _classes(rows))
            network = own.iloc[0]
            title = f"{style.display_name(model)}, {style.display_name(network['depth'])}\n"
            title += style.fold(style.origin(network), width / columns - 0.35, size)
            axes.set_title(title, loc="left", fontsize=size)
            axes.tick_params(labelleft=axes is row[0], labelsize=size)
        for axes in row[len(models) :]:
            axes.remove()
        row[0].set_ylabel(style.fold(style.display_name(name), height), fontweight="bold")
    figure.supxlabel("Predicted class", fontsize="medium")
    figure.supylabel("True class", fontsize="medium")
    style.describe(figure, _describe(by_name))
    return figure


def _classes(rows: pd.DataFrame) -> pd.Series:
    """Names of the classes of a data set, by number."""
    parts = [
        pd.Series(rows[f"{which}_name"].to_numpy(), rows[which].to_numpy(int))
        for which in ("label", "predicted")
    ]
    names = pd.concat(parts)
    return names[~names.index.duplicated()].sort_index()


def _draw_panel(axes: Axes, rows: pd.DataFrame, names: pd.Series) -> None:
    counts = rows.pivot(index="label", columns="predicted", values="count")
    counts = counts.reindex(columns=names.index).fillna(0).astype(float)
    shares = counts.div(counts.sum(axis=1), axis=0)
    shown = counts if counts.to_numpy().sum() <= _FEW else 100 * shares
    numbers = shown.map(lambda value: f"{value:.0f}" if value >= 0.5 else "")
    labels = names.map(
        lambda name: name if len(name) < 15 else f"{name[:13]}\N{HORIZONTAL ELLIPSIS}"
    )
    numbered = len(names) <= _NUMBERED
    heat_map.cells(
        axes,
        shares,
        rows=list(labels[shares.index]) if numbered else [],
        columns=list(labels) if numbered else [],
        cmap="Blues",
        norm=PowerNorm(0.5, 0, 1),  # by which rare errors are seen
        annot=numbers if numbered else None,
        fmt="",
        annot_kws={"fontsize": mpl.rcParams["font.size"] - 3},
    )
    axes.tick_params(axis="x", rotation=90)


def _describe(by_name: dict[str, pd.DataFrame]) -> str:
    """Name the most common confusion of each data set, over its networks."""
    found = []
    for name, rows in by_name.items():
        errors = rows[rows["label"] != rows["predicted"]]
        if errors.empty:
            found.append(f"{style.display_name(name)}: none")
            continue
        pairs = errors.groupby(["label_name", "predicted_name"], sort=False)["count"].sum()
        true, told = pairs.idxmax()
        share = pairs.max() / rows["count"].sum()
        found.append(f"{style.display_name(name)}: {true} taken for {told} ({share:.2%})")
    names = "; ".join(found)
    return f"The most common error of all networks together, and its share of examples: {names}."
