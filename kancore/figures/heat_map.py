"""A heat map whose cells say their values: what several figures are made of."""

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

# Even in lightness and the same to all common forms of colour vision.
_COLOURS = colormaps["cividis"]


def draw(axes: Axes, values: pd.DataFrame, limits: tuple[float, float], decimals: int = 0) -> None:
    """Draw a table of accuracies, in percent.

    Parameters
    ----------
    axes
        Where to.
    values
        Accuracies; its index labels the rows, its columns the columns. Null cells stay white.
    limits
        Accuracies of the darkest and of the lightest colour.
    decimals
        Decimals of the percentages.
    """
    colours = _COLOURS(Normalize(*limits)(values.to_numpy(float)))
    colours[values.isna().to_numpy()] = 1
    axes.imshow(colours, aspect="auto")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(values.shape[1]), values.columns)
    axes.set_yticks(range(values.shape[0]), values.index)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values.iat[row, column]
            red, green, blue, _ = colours[row, column]
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axes.text(
                column,
                row,
                "\N{EN DASH}" if pd.isna(value) else f"{100 * value:.{decimals}f}",
                ha="center",
                va="center",
                fontsize="small",
                color="white" if dark else "black",
            )
