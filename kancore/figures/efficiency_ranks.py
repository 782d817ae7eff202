"""Whether the ranking of runs by efficiency depends on the source of the intrinsic dimension."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from kancore.figures import style
from kancore.intrinsic_dimension.estimates import PAPER


def draw(table: pd.DataFrame) -> Figure:
    """Draw a cell for each data set and source, coloured by its correlation with the paper's.

    A cell says the dimension, Spearman's correlation over runs, and how many runs have no
    efficiency because they have no more parameters than dimensions.
    """
    rows = table[table["other"] == PAPER]
    names, sources = style.in_order(rows["dataset"]), style.in_order(rows["source"])
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, max(2, 0.55 * len(names) + 1.1)), layout="constrained")
    axes = figure.subplots()
    wide = rows.pivot(index="dataset", columns="source", values="spearman")
    wide = wide.reindex(index=names, columns=sources).to_numpy(float)
    image = axes.imshow(wide, cmap="cividis", vmin=-1, vmax=1, aspect="auto")
    for row in rows.itertuples():
        place = sources.index(row.source), names.index(row.dataset)
        dark = pd.isna(row.spearman) or row.spearman > 0.2
        axes.text(
            *place,
            _text(row),
            ha="center",
            va="center",
            fontsize="small",
            color="black" if dark else "white",
        )
    axes.set_xticks(
        range(len(sources)), [style.display_name(name).replace(", ", ",\n") for name in sources]
    )
    axes.set_yticks(range(len(names)), [style.display_name(name) for name in names])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="Spearman's correlation", pad=0.01)
    return figure


def _text(row) -> str:
    if pd.isna(row.intrinsic_dimension):
        return "not reached"
    lines = [f"d = {row.intrinsic_dimension:.4g}"]
    lines.append("" if pd.isna(row.spearman) else f"{row.spearman:.4f}")
    if row.undefined:
        lines.append(f"{row.undefined} of {row.runs} undefined")
    return "\n".join(filter(None, lines))
