"""How firm each verdict is: what it would be by other choices than the declared ones."""

from itertools import pairwise

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kancore.figures import heat_map, style

# For and against in colours that all forms of colour vision tell apart; paler with few seeds.
_COLOURS = {
    "supported": "#009E73",
    "suggested": "#A6DCCB",
    "inconclusive": "#D0D0D0",
    "doubted": "#F3C9A8",
    "contradicted": "#D55E00",
}
# Without the brackets that say that there are few seeds, for which a cell has no room.
_MARKS = {verdict: style.MARKS[verdict].strip("()") for verdict in _COLOURS}


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw the verdict on each claim under each variation.

    One row a claim that can be tested and one column a setting of a variation. A variation that
    cannot change a claim, or by which it cannot be tested, leaves its cell empty.
    """
    whole = table[(table["part"] == 0) & table["verdict"].isin(_COLOURS)]
    if whole.empty:
        return style.nothing("no claim of the paper can be tested with these runs")
    claims = sorted(set(whole["claim"]), key=lambda claim: int(claim[1:]))
    settings = list(dict.fromkeys(zip(whole["variation"], whole["setting"], strict=True)))
    names = [style.setting_name(*setting) for setting in settings]
    width, _ = mpl.rcParams["figure.figsize"]
    # Names stand upright below the cells: the longest one needs so many inches.
    below = max(map(len, names), default=0) * mpl.rcParams["font.size"] / 100
    figure = Figure(figsize=(width, 0.22 * len(claims) + below + 0.9), layout="constrained")
    axes = figure.subplots()
    cells = whole.pivot(index="claim", columns=["variation", "setting"], values="verdict")
    cells = cells.reindex(index=claims, columns=pd.MultiIndex.from_tuples(settings))
    numbers = {verdict: number for number, verdict in enumerate(_COLOURS)}
    heat_map.cells(
        axes,
        cells.map(numbers.get, na_action="ignore").astype(float),
        rows=claims,
        columns=names,
        vmin=-0.5,
        vmax=len(numbers) - 0.5,
        cmap=ListedColormap(list(_COLOURS.values())),
        annot=cells.map(_MARKS.get, na_action="ignore"),
        fmt="",
        annot_kws=heat_map.TEXT | {"color": "black"},
        linewidths=1,
    )
    axes.tick_params(axis="x", rotation=90)
    for edge, (before, after) in enumerate(pairwise(settings), start=1):
        if before[0] != after[0]:
            axes.axvline(edge, color="white", lw=2.5)
    handles = [
        Patch(fc=colour, ec=style.GREY, lw=0.5, label=f"{_MARKS[verdict]} {verdict}")
        for verdict, colour in _COLOURS.items()
        if (whole["verdict"] == verdict).any()
    ]
    style.legend_above(figure, handles)
    return figure
