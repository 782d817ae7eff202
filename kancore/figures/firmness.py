"""How firm each verdict is: what it would be by other choices than the declared ones."""

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kancore.figures import style

TABLE = "firmness"

# For and against in colours that all forms of colour vision tell apart; paler with few seeds.
_COLOURS = {
    "supported": "#009E73",
    "suggested": "#A6DCCB",
    "inconclusive": "#DDDDDD",
    "doubted": "#F3C9A8",
    "contradicted": "#D55E00",
    "not tested": "#FFFFFF",
}


def draw(table: pd.DataFrame) -> Figure:
    """Draw the verdict on each claim under each variation.

    Parameters
    ----------
    table
        Verdicts, with the columns of `kancore.tables.FIRMNESS`.

    Returns
    -------
    Figure
        One row a claim and one column a setting of a variation. A variation that cannot change a
        claim leaves its cell empty.
    """
    whole = table[table["part"] == 0]
    claims = list(dict.fromkeys(whole["claim"]))
    settings = list(dict.fromkeys(zip(whole["variation"], whole["setting"], strict=True)))
    names = [style.setting_name(*setting) for setting in settings]
    width, _ = mpl.rcParams["figure.figsize"]
    # Names stand upright below the cells: the longest one needs so many inches.
    below = max(map(len, names), default=0) * mpl.rcParams["font.size"] / 100
    figure = Figure(figsize=(width, 0.22 * len(claims) + below + 0.9), layout="constrained")
    axes = figure.subplots()
    cells = [[(1.0, 1.0, 1.0)] * len(settings) for _ in claims]
    for row in whole.itertuples():
        place = claims.index(row.claim), settings.index((row.variation, row.setting))
        cells[place[0]][place[1]] = to_rgb(_COLOURS[row.verdict])
        mark = style.MARKS[row.verdict]
        axes.text(*reversed(place), mark, ha="center", va="center", fontsize="small")
    axes.imshow(cells, aspect="auto")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_yticks(range(len(claims)), claims)
    axes.set_xticks(range(len(settings)), names, rotation=90)
    for edge in range(1, len(claims)):
        axes.axhline(edge - 0.5, color="white", lw=1)
    for edge in range(1, len(settings)):
        apart = settings[edge][0] != settings[edge - 1][0]
        axes.axvline(edge - 0.5, color="white", lw=5 if apart else 1)
    handles = [
        Patch(fc=colour, ec=style.GREY, lw=0.5, label=f"{style.MARKS[verdict]} {verdict}")
        for verdict, colour in _COLOURS.items()
        if (whole["verdict"] == verdict).any()
    ]
    style.legend_above(figure, handles)
    return figure
