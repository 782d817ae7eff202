import re
import subprocess
import sys
import warnings
import weakref
from functools import cache
from importlib import import_module
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kancore.analysis.efficiency import (
    best_scheme_efficiency,
    efficiency_by_source,
    rank_correlations,
)
from kancore.analysis.statistics import best_schemes, counted, summarize_runs
from kancore.analysis.tables import INTRINSIC_DIMENSIONS
from kancore.figures import heat_map, style
from kancore.figures.declared import FIGURES
from kancore.intrinsic_dimension.estimates import estimate_landscapes
from kancore.intrinsic_dimension.subspaces import REFERENCE
from kancore.tables import LANDSCAPES

STYLE = {"dpi": 60, "font_size": 9, "font_family": "DejaVu Sans", "width_inches": 7}
DEPTHS = ("2layers", "3layers", "4layers")
OWN = "rbf_kan:build"
EIGHT = ("mnist", "fashion_mnist", "cifar10", "imdb", "higgs", "digits", "breast_cancer", "my_own")
CASES = {
    "one_dataset": {"datasets": ("mnist",)},
    "five_datasets": {"datasets": EIGHT[:5]},  # that leave a place of two rows empty
    "seeds": {"datasets": ("mnist", "cifar10"), "seeds": (0, 1)},
    "objectives": {
        "datasets": ("mnist",),
        "objectives": ("backprop", "hsic"),
        "validation": False,
    },
}
LOST = "missing_architectures", "kan_diverged", "everything_diverged"


def draw(name, table):
    """Draw a figure of the grid from a history, another from its own table."""
    module = import_module(f"kancore.figures.{name}")
    with style.apply(STYLE):
        return module.draw(derived(FIGURES[name].table, table))


DERIVED = {}


def derived(kind, table):
    """Table of a kind that a history gives, made once for as long as the history is there."""
    if kind not in TABLES:
        return table
    key = kind, id(table)
    if key not in DERIVED:
        DERIVED[key] = TABLES[kind](table).copy()
        weakref.finalize(table, DERIVED.pop, key, None)
    return DERIVED[key].copy()


def efficiency_of(history):
    """Efficiencies of a history's runs under three sources of the dimension, one unknown."""
    runs = summarize_runs(history)
    dimensions = [
        {"dataset": dataset, "source": source, "intrinsic_dimension": dimension}
        for dataset in sorted(set(runs["dataset"]))
        for source, dimension in (("paper", 750), ("two_nn", 14.9), ("landscape_absolute", np.nan))
    ]
    return efficiency_by_source(runs, pd.DataFrame(dimensions))


def landscapes_of(history):
    """Landscapes of two networks and seeds on a history's data sets, one lost, and published."""
    rows = [
        {
            "study": "made_up",
            "dataset": dataset,
            "network": network,
            "seed": seed,
            "dimension": dimension,
            "direct": dimension == 199_210,
            "parameters": 199_210,
            "test_accuracy": min(0.97, 0.2 * np.log10(dimension) + 0.3 + 0.01 * seed),
            "diverged": False,
            "source": "measured",
        }
        for dataset in sorted(set(history["dataset"]))
        for network in (REFERENCE.name, "kan-64x32-gelu-degree3-grid5")
        for seed in (0, 1)
        for dimension in (10, 100, 1000, 10_000, 199_210)
    ]
    lost = {**rows[0], "dimension": 20, "test_accuracy": None, "diverged": True}
    published = {**rows[1], "source": "Li et al. 2018", "seed": None, "study": None}
    return pd.DataFrame([*rows, lost, published]).reindex(columns=LANDSCAPES.names)


def estimates_of(history):
    """Estimates on a history's data sets: measured, published, and one that is not reached."""
    landscapes = landscapes_of(history)
    measured = estimate_landscapes(landscapes[landscapes["source"] == "measured"])
    datasets = sorted(set(history["dataset"]))
    others = [
        {"dataset": dataset, "estimator": "mle", "neighbors": 3, "dimension": d, "source": source}
        for dataset in datasets
        for source, d in (("measured", 7.33), ("Pope et al. 2021", 7))
    ]
    missing = {"dataset": datasets[0], "estimator": "two_nn", "source": "measured"}
    table = pd.concat([pd.DataFrame([*others, missing]), measured], ignore_index=True)
    return table.reindex(columns=INTRINSIC_DIMENSIONS.names)


TABLES = {
    "history": lambda history: history,
    "runs": summarize_runs,
    "efficiency": efficiency_of,
    "landscapes": lambda table: table if "network" in table else landscapes_of(table),
    "intrinsic_dimension": estimates_of,
}
# Figures of the grid are drawn of every case; those of other tables have one of their own.
GRID = [name for name, figure in FIGURES.items() if figure.table in TABLES]
FOLLOW_UPS = [name for name, figure in FIGURES.items() if figure.table == "follow_ups"]


LONG = ("mnist_sample", "another_data_set_with_a_long_name")
OF_NAMES = {
    "one_dataset": ("mnist",),
    "long_names": LONG,
    "eight_datasets": (*EIGHT[:6], *LONG),
}


def named(table, names):
    """Rows of a table's first data set, once for each name."""
    if "dataset" not in table:  # verdicts, which name a data set that is left out
        without = table["variation"] == "without"
        others = [table[without].assign(setting=name) for name in names]
        return pd.concat([table[~without], *others], ignore_index=True)
    first = table[table["dataset"] == table["dataset"].iloc[0]]
    return pd.concat([first.assign(dataset=name) for name in names], ignore_index=True)


def drawn_texts(figure, monkeypatch):
    """Box, in pixels, of each text that a figure really draws, by the text's artist."""
    FigureCanvasAgg(figure)
    drawn = []
    monkeypatch.setattr(mpl.text.Text, "draw", lambda text, *rest: drawn.append(text))
    figure.draw_without_rendering()
    seen = {text: mpl.text.Text.get_window_extent(text) for text in drawn if text.get_visible()}
    return {text: box.padded(-0.5) for text, box in seen.items() if text.get_text().strip()}


# Their colours are of something else than models.
OF_NO_MODEL = {
    *("scheme_heatmaps", "dimension_estimates", "stability_effects", "verdicts"),
    *("firmness", "confusion", "edge_functions", "first_layers", *FOLLOW_UPS),
}


# They name no data set.
OF_NO_DATASET = "stability_effects", "verdicts"


def blacks(figure):
    """Lines of a figure's panels that are black."""
    found = []
    for axes in figure.axes:
        found += [line for line in axes.lines if line.get_color() in ("black", "k", "#000000")]
        for each in axes.collections:
            if isinstance(each, mpl.collections.LineCollection):
                found += [each for colour in each.get_color() if tuple(colour[:3]) == (0, 0, 0)]
    return found


OF_OWN_TABLES = {name for name, figure in FIGURES.items() if figure.table not in TABLES}


@pytest.fixture(scope="module")
def table_of(request, cases):
    """A table of each figure; one that is not of the grid is made when it is asked for."""

    def table(name, case="one_dataset"):
        own = name in OF_OWN_TABLES
        return request.getfixturevalue(FIGURES[name].table) if own else cases[case]

    return table


@pytest.fixture(scope="module")
def look(table_of):
    """Figures, each drawn once for all tests that change nothing of it."""

    @cache
    def drawn_once(name, case):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return draw(name, table_of(name, case))

    return lambda name, case="one_dataset": drawn_once(name, case)


@pytest.fixture(scope="module")
def cases(make_history):
    made = {name: make_history(**options) for name, options in CASES.items()}
    small = made["one_dataset"]
    kan, flat = small["model"] == "kan", small["depth"] == "2layers"
    at_once = small[kan].drop_duplicates("code").assign(diverged=True, test_accuracy=np.nan)
    made["missing_architectures"] = small[~(kan & flat)]
    made["kan_diverged"] = pd.concat([small[~kan], at_once])
    made["everything_diverged"] = at_once
    made["more_activations"] = pd.concat([small, small[kan & flat].assign(activation="elu")])
    return made


def check_panels(name, figure, table):
    """A figure of the grid has a panel for each data set, or as many as divide it."""
    datasets, depths = table["dataset"].nunique(), table["depth"].nunique()
    models, objectives = table["model"].nunique(), table["objective"].nunique()
    panels = {
        "learning_curves": datasets * depths,
        "efficiency_gap": 2 * datasets,
        "scheme_heatmaps": datasets * objectives * models,
    }
    assert len(figure.axes) == panels.get(name, datasets)
    assert figure.get_figwidth() == STYLE["width_inches"]


@pytest.mark.parametrize("name", GRID)
@pytest.mark.parametrize(
    "case",
    [
        "one_dataset",
        *(
            pytest.param(case, marks=pytest.mark.slow)
            for case in (*CASES, *LOST, "more_activations")
            if case != "one_dataset"
        ),
    ],
)
def test_every_figure_is_drawn_of_every_study(name, case, cases, look):
    figure = look(name, case)
    if case == "everything_diverged":  # the largest are laid out where texts are compared
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.draw_without_rendering()
    check_panels(name, figure, cases[case])


# Rows of names, or two columns of axes with names of their own.
NAMED_IN_PANELS = ("efficiency_gap", "verdicts", "departures", "stability_effects", "firmness")
NAMED_IN_PANELS += ("first_layers", "dimension_estimates", "class_accuracy", "scheme_heatmaps")


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in NAMED_IN_PANELS])
def test_axes_say_what_they_show(name, look):
    figure = look(name)
    assert figure.get_supxlabel()
    assert figure.get_supylabel()
    if figure.axes[0].yaxis.get_major_formatter().__dict__.get("func") is style.percent:
        assert "ccuracy" in figure.get_supylabel()


def test_folded_lines_are_even_and_words_whole():
    assert style.fold("Digits, 8 by 8", 1.3, 10) == "Digits,\n8 by 8"
    assert style.fold("Digits, 8 by 8", 1.4, 10) == "Digits, 8 by 8"
    assert style.fold("MNIST, 5,000 images", 1.4, 10) == "MNIST, 5,000\nimages"
    assert style.fold("Breast cancer", 0.1, 10) == "Breast\ncancer"
    assert style.fold("", 1, 10) == ""
    assert style.fold("wide abcdefghij", 0.8, 10) == "wide abc\ndefghij"


@pytest.mark.parametrize("shown", [(0.95, 0.955), (0.995, 1.001), (0.2, 0.9), (0.0, 0.004)])
def test_axes_of_accuracy_are_widened_up_to_all(shown):
    axes = Figure().subplots()
    axes.set_ylim(shown)
    low, high = style.widen(axes, 0.1)
    assert (low, high) == axes.get_ylim()
    assert high - low == pytest.approx(max(0.1, shown[1] - shown[0]))
    assert low <= shown[0] < shown[1] <= high <= max(shown[1], 1)


def test_schemes_of_ones_own_are_called_as_in_the_configuration(cases):
    own = {"optimizer": {"sgd": "lion_pytorch:Lion"}}
    figure = draw("scheme_heatmaps", cases["one_dataset"].replace(own))
    figure.draw_without_rendering()
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["SGD, momentum", "AdamW", "lion_pytorch:Lion"]


def test_drawing_leaves_the_settings_alone(cases):
    mpl.get_backend()  # chosen when it is first asked for, as seaborn's import does
    before = mpl.rcParams.copy()
    draw("best_accuracy", cases["one_dataset"])
    assert mpl.rcParams == before


def marks(axes):
    """Marks of a panel from left to right: place, height, whether they are filled."""
    found = [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor() != "white")
        for line in axes.lines
        if line.get_marker() == "o"
    ]
    return sorted(found)


ARCHITECTURES = list(product(("mlp", "kan", "wide_mlp"), DEPTHS))


def test_marks_are_as_high_as_the_best_schemes(cases, look):
    (axes,) = look("best_accuracy").axes
    best = best_schemes(summarize_runs(cases["one_dataset"]))
    best = best.set_index(["model", "depth"])["test_accuracy"]
    assert [height for _, height, _ in marks(axes)] == pytest.approx(list(best[ARCHITECTURES]))
    low, high = axes.get_ylim()
    assert low > 0.5  # so that a point can be seen
    assert high - low >= 0.02


def test_lines_through_marks_reach_over_the_seeds(cases, look):
    figure = look("best_accuracy", "seeds")
    best = best_schemes(summarize_runs(cases["seeds"]))
    best = best[best["dataset"] == "mnist"].set_index(["model", "depth"]).loc[ARCHITECTURES]
    ends = [lines.get_segments()[0][:, 1] for lines in figure.axes[0].collections]
    np.testing.assert_allclose(
        sorted(map(list, ends)), sorted(best[["lowest", "highest"]].values.tolist())
    )
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "lowest to highest seed" in texts


def test_marks_say_where_all_runs_diverged(cases, look):
    (axes,) = look("best_accuracy", "kan_diverged").axes
    texts = [text.get_text() for text in axes.texts]
    lost = cases["kan_diverged"].query("model == 'kan'")["depth"].unique()
    assert "\n".join(texts).count("all diverged") == len(lost) == 1
    assert len([height for _, height, _ in marks(axes) if height == height]) == 6


def test_two_objectives_stand_side_by_side_and_the_other_is_open(cases, look):
    best = best_schemes(summarize_runs(cases["objectives"]))
    best = best.set_index(["model", "depth", "objective"])["test_accuracy"].unstack()
    figure = look("best_accuracy", "objectives")
    expected = best.loc[ARCHITECTURES, ["backprop", "hsic"]].to_numpy()
    (axes,) = figure.axes
    assert [height for _, height, _ in marks(axes)] == pytest.approx(expected.ravel())
    assert [filled for *_, filled in marks(axes)] == 9 * [True, False]
    joined = [line.get_ydata() for line in axes.lines if line.get_marker() == "None"]
    assert sorted(map(list, joined)) == pytest.approx(np.array(sorted(expected.tolist())))
    points = 100 * (best["hsic"] - best["backprop"]).median()
    assert "0 of 9 architectures reach more" in figure.get_label()
    assert re.search(
        r"The highest marks are MNIST: .* layers, backpropagation, ", figure.get_label()
    )
    assert f"the median difference is {points:+.1f} points" in figure.get_label()


def test_boxes_are_the_quartiles_of_the_schemes(cases, look):
    runs = summarize_runs(cases["one_dataset"])
    accuracies = counted(runs).groupby(["model", "depth"])["test_accuracy"]
    expected = accuracies.quantile([0.25, 0.5, 0.75])
    axes = look("scheme_boxplots").axes[0]
    medians = [line.get_ydata() for line in axes.lines if line.get_color() == style.MEDIAN]
    edges = [np.unique(box.get_path().vertices[:4, 1]) for box in axes.patches]
    drawn = [[low, *set(at), high] for (low, high), at in zip(edges, medians, strict=True)]
    assert sorted(drawn) == pytest.approx(np.array(sorted(expected.unstack().to_numpy().tolist())))


def test_boxes_hold_the_schemes_and_count_those_that_diverged(cases, look):
    figure = look("scheme_boxplots")
    axes = figure.axes[0]
    runs = summarize_runs(cases["one_dataset"])
    runs = runs[(runs["model"] == "mlp") & (runs["depth"] == "2layers")]
    colour = style.colours(["mlp"])["mlp"]
    dots = [line for line in axes.lines if line.get_marker() == "." and line.get_color() == colour]
    assert sorted(dots[0].get_ydata()) == sorted(runs["test_accuracy"].dropna())
    assert len(axes.patches) == 9
    assert [text.get_text() for text in axes.texts] == ["3"] * 9


def test_curves_are_means_over_seeds_of_the_best_scheme(cases, look):
    history = cases["seeds"]
    figure = look("learning_curves", "seeds")
    best = best_schemes(summarize_runs(history))
    best = best[(best["dataset"] == "mnist") & (best["depth"] == "2layers")]
    row = best.set_index("model").loc["kan"]
    keys = ["dataset", "depth", "initialization", "optimizer", "learning_rate"]
    rows = history[(history["model"] == "kan") & (history[keys] == row[keys]).all(axis=1)]
    expected = rows.groupby("epoch")["test_accuracy"].mean()
    colour = style.colours(["kan"])["kan"]
    drawn = [line for line in figure.axes[0].lines if line.get_color() == colour]
    test, train = sorted(drawn, key=lambda line: -line.get_linewidth())
    assert test.get_xdata() == pytest.approx(expected.index.to_numpy(float))
    assert test.get_ydata() == pytest.approx(expected.to_numpy())
    assert (train.get_ydata() >= test.get_ydata()).all()
    assert len(figure.axes[0].collections) == 3  # a band for each model
    assert "seed" in figure.legends[0].get_texts()[-1].get_text()


@pytest.fixture(scope="module")
def history_of(make_history):
    """Evaluations under both objectives of each of `OF_NAMES`."""
    return cache(lambda case: make_history(OF_NAMES[case], ("backprop", "hsic")))


DRAWN = [
    pytest.param((case, name), id=f"{case}-{name}")
    for case, name in product(OF_NAMES, FIGURES)
    if case == "one_dataset" or name not in OF_NO_DATASET
]


@pytest.fixture(scope="module", params=DRAWN)
def drawn(request, history_of, table_of):
    """Name of a figure, its table, and the figure, drawn and laid out once for all looks at it."""
    case, name = request.param
    table = table_of(name) if name in OF_OWN_TABLES else history_of(case)
    if name in OF_OWN_TABLES and name not in OF_NO_DATASET:
        table = named(table, OF_NAMES[case])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(name, table)
        style.settle(figure)
    return name, table, figure


# Of each kind of artist that a format might write otherwise each time: images, hatches, labels as
# formulas, bands, cells. For all others the same SVG shows that the same was drawn.
IN_ALL_FORMATS = {
    *("first_layers", "scheme_boxplots", "parameters_accuracy", "learning_curves", "confusion"),
}


@pytest.mark.slow
@pytest.mark.parametrize("drawn", DRAWN[: len(FIGURES)], indirect=True, scope="module")
def test_the_same_table_gives_the_same_bytes(drawn, tmp_path):
    name, table, figure = drawn
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    figures = figure, draw(name, table)
    for suffix, start in starts.items():
        written = []
        for attempt in range(2 if suffix == "svg" or name in IN_ALL_FORMATS else 1):
            path = tmp_path / f"{attempt}.{suffix}"
            style.save(figures[attempt], path, {**STYLE, "dpi": 50})
            written.append(path.read_bytes())
        assert written[0] == written[-1]
        assert written[0].startswith(start)


@pytest.mark.slow
def test_figures_of_two_objectives_have_their_panels(drawn):
    name, table, figure = drawn
    if name in GRID:
        check_panels(name, figure, table)


@pytest.mark.slow
def test_black_is_for_medians_alone_and_the_legend_says_so(drawn):
    *_, figure = drawn
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert bool(blacks(figure)) == any("median" in text for text in legends)


@pytest.mark.slow
def test_legends_name_models_where_colours_are_of_models(drawn):
    name, _, figure = drawn
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert any(text.startswith(("MLP", "KAN")) for text in legends) == (name not in OF_NO_MODEL)


@pytest.mark.slow
def test_texts_overlap_neither_each_other_nor_the_edge(drawn, monkeypatch):
    *_, figure = drawn
    with style.apply(STYLE):
        texts = drawn_texts(figure, monkeypatch)
    assert texts
    low, high = (np.array([getattr(box, end) for box in texts.values()]) for end in ("min", "max"))
    overlap = ((low[:, None] <= high) & (low <= high[:, None])).all(axis=2)
    words = [text.get_text() for text in texts]
    crossing = [(words[one], words[other]) for one, other in np.argwhere(np.triu(overlap, 1))]
    assert not crossing
    width, height = figure.bbox.size
    cut = [
        text.get_text()
        for text, box in texts.items()
        if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height
    ]
    assert not cut


def test_a_single_evaluation_is_a_mark(cases):
    history = cases["one_dataset"]
    figure = draw("learning_curves", history[history["epoch"] == 2])
    for axes in figure.axes:
        assert [line.get_marker() for line in axes.lines] == ["o"] * 6
        assert [tick for tick in axes.get_xticks() if 1.5 < tick < 2.5] == [2]


def test_curves_say_where_all_runs_diverged(look):
    figure = look("learning_curves", "kan_diverged")
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert notes.count("KAN: all diverged") == 1


def test_marks_are_at_parameters_and_accuracy(cases, look):
    figure = look("parameters_accuracy")
    best = best_schemes(summarize_runs(cases["one_dataset"])).sort_values("parameters")
    best = best[best["model"] == "kan"]
    colour = style.colours(["kan"])["kan"]
    (line,) = (line for line in figure.axes[0].lines if line.get_color() == colour)
    assert line.get_xdata().tolist() == best["parameters"].tolist() == [254080, 525440, 1109120]
    assert line.get_ydata().tolist() == best["test_accuracy"].tolist()
    assert figure.axes[0].get_xscale() == "log"


def test_efficiency_has_a_panel_of_parameters_for_each_data_set(cases, look):
    figure = look("parameters_efficiency", "seeds")
    best = best_scheme_efficiency(efficiency_of(cases["seeds"]), "paper")
    best = best[(best["dataset"] == "mnist") & (best["model"] == "kan")].sort_values("parameters")
    colour = style.colours(["kan"])["kan"]
    axes = figure.axes[0]
    (line,) = (line for line in axes.lines if line.get_color() == colour)
    assert line.get_ydata().tolist() == best["efficiency"].tolist()
    ends = [
        lines.get_segments()[0][:, 1].tolist()
        for lines in axes.collections
        if mpl.colors.to_hex(lines.get_color()[0]) == colour.lower()
    ]
    assert ends == best[["efficiency_low", "efficiency_high"]].to_numpy().tolist()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def cells(axes):
    """Texts of a heat map by column and row."""
    return {
        tuple(map(int, text.get_position())): text.get_text()  # which is in the middle of its cell
        for text in axes.texts
        if not isinstance(text, mpl.text.Annotation)
    }


def test_heat_maps_are_means_over_initializations(cases, look):
    figure = look("scheme_heatmaps")
    runs = summarize_runs(cases["one_dataset"])
    axes = figure.axes[1]
    assert axes.get_title(loc="left") == "KAN"
    drawn = cells(axes)
    for row, optimizer in enumerate(("sgd", "sgd_momentum", "adam")):
        for column, (depth, rate) in enumerate(product(DEPTHS, (0.0005, 0.005, 0.05))):
            same = (runs["model"] == "kan") & (runs["optimizer"] == optimizer)
            same &= (runs["depth"] == depth) & (runs["learning_rate"] == rate)
            mean = counted(runs).loc[same, "test_accuracy"].mean()
            assert drawn[column, row] == f"{100 * mean:.0f}"


def test_cells_without_a_value_are_dashes():
    axes = mpl.figure.Figure().subplots()
    heat_map.draw(axes, pd.DataFrame({"a": [0.5, None], "b": [1.0, 0.25]}), (0, 1), decimals=1)
    assert cells(axes) == {(0, 0): "50.0", (1, 0): "100.0", (0, 1): "\N{EN DASH}", (1, 1): "25.0"}
    colours = {text.get_text(): mpl.colors.to_rgb(text.get_color())[0] for text in axes.texts}
    assert colours["25.0"] > 0.8 > 0.2 > colours["100.0"]  # light on dark, and dark on light
    assert colours["\N{EN DASH}"] < 0.2


def test_sensitivity_is_best_less_median(cases, look):
    axes = look("sensitivity").axes[0]
    best = best_schemes(summarize_runs(cases["one_dataset"]))
    drawn = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert drawn == pytest.approx((best["test_accuracy"] - best["median"]).tolist())
    ends = [lines.get_segments()[0][:, 1] for lines in axes.collections]
    low, high = (best["test_accuracy"] - best[end] for end in ("median_high", "median_low"))
    assert np.array(ends) == pytest.approx(np.array([low, high]).T)


def test_captions_of_sensitivity_say_what_the_marks_do(cases, look):
    figure = look("sensitivity")
    best = best_schemes(summarize_runs(cases["one_dataset"])).set_index(["model", "depth"])
    spread = 100 * (best["test_accuracy"] - best["median"]).unstack()
    more = (spread.loc["kan"] - spread.loc["mlp"]).to_numpy()
    assert f"In {(more > 0).sum()} of 3 pairs a KAN gains more by tuning" in figure.get_label()
    assert f"the median difference is {np.median(more):+.1f} points" in figure.get_label()
    alone = cases["one_dataset"].query("model != 'kan'")
    assert draw("sensitivity", alone).get_label() == ""


def test_second_objective_has_open_marks_in_figure_and_legend(look):
    figure = look("sensitivity", "objectives")
    drawn = [
        line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == "o"
    ]
    assert drawn.count("white") == 9 == len(drawn) - 9
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    handles = dict(zip(texts, figure.legends[0].legend_handles, strict=True))
    assert handles["HSIC bottleneck"].get_markerfacecolor() == "white"
    assert handles["backpropagation"].get_markerfacecolor() == style.GREY


def test_times_are_seconds_an_epoch_of_one_network(timings, look):
    figure = look("time_parameters")
    names = style.in_order(timings["dataset"])
    assert len(figure.axes) == len(names)
    sweeps = timings[(timings["model"] == "kan") & (timings["dataset"] == names[0])]
    sweeps = sweeps.sort_values("parameters")
    colour = style.colours(["kan"])["kan"]
    (line,) = (line for line in figure.axes[0].lines if line.get_color() == colour)
    seconds = sweeps["seconds"] / (sweeps["epochs"] * sweeps["schemes"])
    assert line.get_xdata().tolist() == sweeps["parameters"].tolist()
    assert line.get_ydata() == pytest.approx(seconds.to_numpy())


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOW_UPS)
@pytest.mark.parametrize("datasets", [1, 3])
def test_follow_ups_have_a_panel_for_each_data_set(name, datasets, follow_ups):
    names = follow_ups["dataset"].unique()[:datasets]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(name, follow_ups[follow_ups["dataset"].isin(names)])
        figure.draw_without_rendering()
    degrees = follow_ups.loc[follow_ups["experiment"] == "width_degree", "degree"].nunique()
    panels = {"width_degree": 2, "degree_depth": degrees}
    assert len(figure.axes) == datasets * panels.get(name, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOW_UPS)
def test_follow_ups_that_diverged_at_once_are_drawn_as_nothing(name, follow_ups):
    lost = follow_ups.assign(test_accuracy=np.nan, diverged=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(name, lost).draw_without_rendering()


def test_activations_are_means_over_seeds_and_far_ones_are_written(follow_ups):
    far = (follow_ups["activation"] == "cosine") & (follow_ups["dataset"] == "mnist")
    table = follow_ups.assign(test_accuracy=follow_ups["test_accuracy"].mask(far, 0.125))
    axes = draw("activation_accuracy", table).axes[0]
    runs = table[(table["experiment"] == "activation") & (table["dataset"] == "mnist")]
    means = runs[runs["activation"] == "gelu"].groupby("depth")["test_accuracy"].mean()
    drawn = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert drawn == pytest.approx(means.tolist())
    assert [text.get_text() for text in axes.texts] == ["12%"] * 3
    assert axes.get_ylim()[0] > 0.5


def test_activations_that_tie_count_for_each(follow_ups):
    runs = follow_ups.assign(test_accuracy=0.5)
    others = ~runs["activation"].isin(["gelu", "elu"])
    runs["test_accuracy"] = runs["test_accuracy"].mask(others, 0.4)
    text = draw("activation_accuracy", runs).get_label()
    assert "GELU 9, ELU 9 of 9 times, where a tie counts for each." in text


@pytest.mark.parametrize("name", [name for name in FOLLOW_UPS if name != "width_degree"])
def test_colours_of_models_are_of_nothing_else(name, look):
    figure = look(name)
    models = {mpl.colors.to_rgb(colour) for colour in style.palette(3)}
    drawn = {mpl.colors.to_rgb(line.get_color()) for axes in figure.axes for line in axes.lines}
    assert drawn
    assert not drawn & models


def test_width_and_degree_are_means_over_seeds(follow_ups, look):
    axes = look("width_degree").axes[0]
    assert axes.get_title(loc="left") == "MNIST: 1 hidden layer"
    runs = follow_ups[follow_ups["experiment"] == "width_degree"]
    runs = runs[(runs["dataset"] == "mnist") & (runs["hidden_widths"] == "16")]
    mean = runs.loc[runs["degree"] == 3, "test_accuracy"].mean()
    assert cells(axes)[1, 2] == f"{100 * mean:.1f}"
    # Widths that the least degree alone has, for its parameters, have no column.
    matched = runs[runs["degree"] == 1].assign(hidden_widths="18")
    drawn = draw("width_degree", pd.concat([follow_ups, matched])).axes[0]
    assert cells(drawn) == cells(axes)


def test_degree_and_depth_share_an_axis_of_parameters(follow_ups, look):
    runs = follow_ups[follow_ups["experiment"] == "width_degree"]
    figure = look("degree_depth")
    degrees = sorted(runs["degree"].unique())
    row = figure.axes[: len(degrees)]  # of the first data set
    assert [axes.get_title() for axes in row] == [f"Degree {degree}" for degree in degrees]
    runs = runs[runs["dataset"] == "mnist"]
    for degree, axes in zip(degrees, row, strict=True):
        assert axes.get_xscale() == "log"
        for hidden, line in (("8", axes.lines[1]), ("8x8", axes.lines[2])):
            same = runs[(runs["hidden_widths"] == hidden) & (runs["degree"] == degree)]
            assert line.get_xdata()[0] == same["parameters"].iloc[0]
            assert line.get_ydata()[0] == pytest.approx(same["test_accuracy"].mean())
    grey, own = row[0].lines[:2]
    for axes in row:  # the least degree is in all
        assert axes.lines[0].get_color() == style.GREY == grey.get_color()
        assert axes.lines[0].get_xydata().tolist() == own.get_xydata().tolist()
        low, high = axes.get_ylim()
        assert high - low >= 0.1 - 1e-9


def test_grid_sizes_have_bands_over_seeds(follow_ups, look):
    axes = look("grid_size").axes[0]
    assert len(axes.lines) == len(axes.collections) == 3
    runs = follow_ups[
        (follow_ups["experiment"] == "grid_size") & (follow_ups["dataset"] == "mnist")
    ]
    means = runs[runs["depth"] == "2layers"].groupby("grid_size")["test_accuracy"].mean()
    assert axes.lines[0].get_ydata() == pytest.approx(means.to_numpy())
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "5", "10"]


def test_efficiencies_and_gaps_are_those_of_the_best_scheme_over_its_seeds(cases, look):
    history = cases["seeds"]
    left, right = look("efficiency_gap", "seeds").axes[:2]
    best = best_schemes(summarize_runs(history))
    best = best[(best["dataset"] == "mnist") & (best["model"] == "kan")]
    best = best[best["depth"] == "3layers"].iloc[0]
    runs = summarize_runs(history)
    keys = ["dataset", "model", "depth", "initialization", "optimizer", "learning_rate"]
    runs = runs[(runs[keys] == best[keys]).all(axis=1)]
    each = runs["test_accuracy"] / runs["best_epoch"] / np.log(1 + runs["parameters"] - 750)
    assert len(each) == 2
    place = ARCHITECTURES.index(("kan", "3layers"))
    for axes, values in ((left, each), (right, runs["generalization_gap"])):
        (height,) = (height for at, height, _ in marks(axes) if at == place)
        assert height == pytest.approx(values.mean())
        ends = [lines.get_segments()[0] for lines in axes.collections]
        (own,) = (segment[:, 1] for segment in ends if segment[0, 0] == place)
        assert own == pytest.approx([values.min(), values.max()])


def test_efficiency_says_whether_the_dimension_changes_ranks(cases, look):
    said = look("efficiency_gap").get_label()
    ranks = rank_correlations(efficiency_of(cases["one_dataset"]))
    ranks = ranks[(ranks["source"] == "two_nn") & (ranks["other"] == "paper")]
    assert f"Spearman's correlation is {ranks['spearman'].item():.4f} or more" in said
    assert "MNIST, TwoNN" in said


def test_discs_are_where_runs_were_best(cases, look):
    runs = summarize_runs(cases["one_dataset"])
    runs = runs[(runs["model"] == "kan") & (runs["depth"] == "2layers")]
    axes = look("best_epochs").axes[0]
    discs = [each for each in axes.collections if hasattr(each, "get_sizes")]
    drawn = [each for each in discs if len(each.get_sizes()) and each.get_offsets()[0][0] == 3]
    (kan,) = (each for each in drawn if len(each.get_offsets()) > 0 and each.get_sizes()[0] > 2)
    counts = runs["best_epoch"].value_counts().sort_index()
    assert kan.get_offsets()[:, 1].tolist() == counts.index.tolist()
    assert np.argmax(kan.get_sizes()) == np.argmax(counts.to_numpy())


def test_triangles_are_where_thresholds_are_crossed(cases, look):
    axes = look("dimension_accuracy").axes[0]
    landscapes = landscapes_of(cases["one_dataset"])
    expected = estimate_landscapes(landscapes[landscapes["source"] == "measured"])
    drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "v"]
    assert sorted(drawn) == pytest.approx(sorted(expected["dimension"].dropna()))
    assert len(drawn) == 4
    published = [line for line in axes.lines if line.get_marker() == "D"]
    assert [line.get_xdata().tolist() for line in published] == [[100]]


def test_estimates_stand_beside_published_ones(look):
    axes = look("dimension_estimates").axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    row = labels.index("MLE, k = 3")
    at = {
        line.get_marker(): line.get_xdata()[0] for line in axes.lines if line.get_ydata()[0] == row
    }
    assert at == {"o": 7.33, "D": 7}
    assert "7.33" in [text.get_text() for text in axes.texts]


def test_a_file_is_the_same_whatever_was_written_before(cases, tmp_path):
    """Matplotlib's printers of SVG and PDF leave a figure at 72 dots an inch."""
    figure = draw("best_accuracy", cases["one_dataset"])
    before = figure.canvas, figure.dpi
    for name in ("a.png", "b.svg", "c.pdf", "d.png"):
        style.save(figure, tmp_path / name, STYLE)
        assert (figure.canvas, figure.dpi) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "d.png").read_bytes()
    figure.text(0, 0, r"$\bad{$")
    with pytest.raises(ValueError, match="bad"):
        style.save(figure, tmp_path / "e.svg", STYLE)
    assert (figure.canvas, figure.dpi) == before


def test_unknown_suffix_and_style_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"x\.gif: expected a name that ends in \.svg, \.png, \.pdf"
    ):
        style.save(mpl.figure.Figure(), tmp_path / "x.gif", STYLE)
    with pytest.raises(ValueError, match="differs in \\['colour'\\]"):
        style.apply({**STYLE, "colour": "red"})


def test_names_and_order():
    assert style.in_order(["4layers", "10layers", "2layers"]) == ["2layers", "4layers", "10layers"]
    assert style.in_order(["zoo", "cifar10", "mnist", "art"]) == ["mnist", "cifar10", "art", "zoo"]
    assert style.display_name("3layers") == "3 layers"
    assert style.display_name("wide_mlp") == "Wide MLP"
    assert style.display_name("my_own") == "my own"
    assert style.colours(["kan"])["kan"] == style.colours(["mlp", "kan", "other"])["kan"]
    assert len(set(style.colours(["mlp", "kan", "wide_mlp", "other"]).values())) == 4


def test_ticks_differ_however_small_the_range():
    assert [style.percent(value) for value in (0.57, 1, -0.0)] == ["57%", "100%", "0%"]
    assert [style.percent(value) for value in (0.98475, 0.985)] == ["98.475%", "98.5%"]


@pytest.mark.slow
def test_planning_imports_neither_torch_nor_a_figure():
    code = (
        "import sys; from kancore.figures.declared import FIGURES;"
        "assert 'matplotlib' not in sys.modules;"
        "import kancore.report, kancore.analysis.statistics;"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules;"
        "assert not any(f'kancore.figures.{n}' in sys.modules for n in FIGURES)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_departures_are_marks_at_their_effects(audit):
    figure = draw("departures", audit[audit["dataset"] == "mnist"])
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    accuracy = panels["Accuracy of the best scheme, points"]
    names = [label.get_text() for label in accuracy.get_yticklabels()]
    assert names == [
        "All departures (published)",
        "Warm start",
        "Initialization of outputs only",
    ]
    own = audit[(audit["dataset"] == "mnist") & (audit["measure"] == "best_accuracy")]
    marks = [line for line in accuracy.lines if line.get_marker() in ("o", "x")]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx(list(100 * own["effect"]))
    assert [line.get_marker() for line in marks] == ["o" if row else "x" for row in own["trained"]]
    rows = [round(line.get_ydata()[0]) for line in marks]
    assert rows == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    intervals = [path.get_segments()[0][:, 0] for path in accuracy.collections]
    trained = own[own["trained"]]
    expected = 100 * trained[["low", "high"]].to_numpy()
    np.testing.assert_allclose(intervals, expected)
    efficiency = panels["Efficiency of a scheme, factor"]
    first = next(line for line in efficiency.lines if line.get_marker() == "o")
    effect = audit[audit["measure"] == "log_efficiency"]["effect"].iloc[0]
    assert first.get_xdata()[0] == pytest.approx(np.exp(effect))


def test_departures_of_several_data_sets_have_panels_of_their_own(look):
    titles = [axes.get_title(loc="left") for axes in look("departures").axes]
    assert [title.split(":")[0] for title in titles] == ["MNIST"] * 4 + ["Digits, 8 by 8"] * 4


def test_verdicts_by_other_choices_are_cells(firmness, look):
    axes = look("firmness").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["C1", "C2"]
    untested = firmness.assign(
        verdict=firmness["verdict"].mask(firmness["claim"] == "C2", "not tested")
    )
    rows = draw("firmness", untested).axes[0].get_yticklabels()
    assert [label.get_text() for label in rows] == ["C1"]
    # Known by other choices alone, and of a number whose first digit is another's.
    late = firmness[firmness["variation"] != "declared"].replace({"claim": {"C1": "C17"}})
    rows = draw("firmness", pd.concat([untested, late])).axes[0].get_yticklabels()
    assert [label.get_text() for label in rows] == ["C1", "C2", "C17"]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[0] == "as declared"
    assert {"without MNIST", "after 25% of the epochs", "comparable within 1 point"} < set(names)
    marks = cells(axes)
    assert len(marks) == (firmness["part"] == 0).sum()
    assert marks[names.index("as declared"), 0] == "\N{CHECK MARK}"
    assert marks[names.index("without MNIST"), 0] == "?"
    assert (names.index("comparable within 1 point"), 1) not in marks  # which cannot change C2


def test_ten_depths_of_a_grid_size_have_looks_of_their_own(follow_ups):
    of_two = follow_ups[follow_ups["depth"] == "2layers"]
    deeper = [of_two.assign(depth=f"{layers}layers") for layers in range(2, 12)]
    axes = draw("grid_size", pd.concat(deeper)).axes[0]
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 10


def test_ten_models_of_ones_own_have_colours_of_their_own():
    found = style.colours(["mlp", "kan", *(f"my.own:{number}" for number in range(10))])
    assert len(set(found.values())) == 12
    assert (found["mlp"], found["kan"]) == tuple(style.colours(["mlp", "kan"]).values())


@pytest.mark.slow
def test_a_model_of_ones_own_is_in_every_figure_of_the_grid(make_history):
    """Though HSIC does not train it, and it has no activation."""
    history = make_history(datasets=("mnist",), objectives=("backprop", "hsic"))
    kans = history[(history["model"] == "kan") & (history["objective"] == "backprop")]
    own = kans.assign(model=OWN, activation=None, degree=pd.NA, grid_size=pd.NA)
    table = pd.concat([history, own.astype(history.dtypes)], ignore_index=True)
    for name in FIGURES:
        if FIGURES[name].table in ("runs", "history", "efficiency"):
            figure = draw(name, table)
            shown = any(OWN in text.get_text() for text in figure.findobj(mpl.text.Text))
            assert shown, name


def with_own(table, models):
    """Rows of a table, and those of its KANs again as of other models."""
    nothing = {"activation": None, "degree": pd.NA, "grid_size": pd.NA}
    column = "network" if "network" in table else "model"
    kans = table[table[column].str.startswith("kan")]
    kans = kans.assign(**{key: value for key, value in nothing.items() if key in table})
    own = [kans.assign(**{column: kans[column].str.replace("kan", model)}) for model in models]
    return pd.concat([part.astype(table.dtypes) for part in (table, *own)], ignore_index=True)


def moved(table, model):
    """Rows of a table with other values of one model, whose order stays."""
    chosen = table["network" if "network" in table else "model"].str.startswith(model)
    factors = {
        **dict.fromkeys(("train_accuracy", "validation_accuracy", "test_accuracy"), 0.9),
        **dict.fromkeys(("effect", "low", "high"), 1.5),
        **dict.fromkeys(("parameters", "seconds"), 2),
        "epoch": 0.5,  # not later than others, as runs that diverged took all epochs of any
    }
    values = {
        key: table[key].where(~chosen, factors[key] * table[key]) for key in factors if key in table
    }
    return table.assign(**values).astype(table.dtypes)


def artists(figure):
    """Where all lines, patches and collections of a figure's panels are, each with its colours."""
    for axes in figure.axes:
        for line in axes.lines:
            drawn = len(line.get_xdata()) > 1 and line.get_linestyle() != "None"
            marked = line.get_marker() not in ("", "None", None)
            marks = [line.get_markerfacecolor(), line.get_markeredgecolor()] if marked else []
            yield line.get_xydata(), [*marks, *([line.get_color()] if drawn else [])]
        for patch in axes.patches:
            path = patch.get_patch_transform().transform_path(patch.get_path())
            yield path.vertices, [patch.get_facecolor(), patch.get_edgecolor()]
        for each in axes.collections:
            places = [*(path.vertices for path in each.get_paths()), each.get_offsets()]
            yield np.concatenate(places), [*each.get_facecolors(), *each.get_edgecolors()]


PALE = {mpl.colors.to_rgb(style.pale(own)): mpl.colors.to_rgb(own) for own in style.palette(12)}


def bright(colours):
    """Those that are no shade of grey, without their opacity; of pale ones what they are of."""
    shades = {PALE.get(mpl.colors.to_rgb(colour), mpl.colors.to_rgb(colour)) for colour in colours}
    return {shade for shade in shades if len(set(shade)) > 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FIGURES if name not in OF_NO_MODEL])
def test_two_models_of_ones_own_are_drawn_in_the_colours_of_the_legend(name, table_of):
    models = (OWN, "wavelets:build")
    table = table_of(name, "objectives")
    if FIGURES[name].table == "landscapes":
        table = landscapes_of(table)
    table = with_own(table, models)
    figure = draw(name, table)
    legend = figure.legends[0]
    before = {places.tobytes() for places, _ in artists(figure)}
    shown = {}
    for model in ("kan", *models):
        (handle,) = (
            handle
            for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True)
            if text.get_text().startswith("KAN" if model == "kan" else model)
        )
        line = isinstance(handle, mpl.lines.Line2D)
        shown[model] = bright([handle.get_color() if line else handle.get_edgecolor()])
        new = [
            colours
            for places, colours in artists(draw(name, moved(table, model)))
            if places.tobytes() not in before
        ]
        assert set().union(*map(bright, new)) == shown[model], model
    assert len(set().union(*shown.values())) == 3


def test_effects_of_factors_are_marks_with_the_best_at_the_top(stability, look):
    axes = look("stability_effects").axes
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names[-1] == "Gradients clipped to norm 1"
    assert set(names[:2]) == {"Residual connections", "Combined"}
    assert names[2] == "Layer normalization"
    pooled = stability[(stability["dataset"] == "all") & (stability["depth"] == "all")]
    for panel, measure in zip(axes, ("median", "spread"), strict=True):
        own = pooled[(pooled["factor"] == "clipping") & (pooled["measure"] == measure)].iloc[0]
        pooled_marks = [line.get_xdata()[0] for line in panel.lines if line.get_markersize() == 6]
        assert any(mark == pytest.approx(100 * own["effect"]) for mark in pooled_marks)


def test_a_combination_of_no_factor_has_no_row(stability):
    combined = stability["factor"] == "combined"
    table = stability.assign(effect=stability["effect"].mask(combined, 0.0))
    names = [
        label.get_text() for label in draw("stability_effects", table).axes[0].get_yticklabels()
    ]
    assert "Combined" not in names
    assert "Residual connections" in names


def test_verdicts_stand_at_their_effects_beside_bounds_and_published_values(verdicts, look):
    figure = look("verdicts")
    words, points, factors, shares = figure.axes
    texts = [text.get_text().replace("\n", " ") for text in words.texts]
    assert texts[:2] == ["Accuracy", "C1  KANs and MLPs reach comparable accuracy."]
    titles = [axes.get_title() for axes in figure.axes[1:]]
    assert titles == ["Points", "Factor", "Share of pairs"]
    look = {"supported": ("o", True), "doubted": ("X", False), "depends": ("D", True)}
    look_of = {marker for marker, _ in look.values()}
    for axes, claim, value in ((points, "C1", -0.4), (factors, "C9", 2.0), (shares, "C3", 70.0)):
        row = verdicts[verdicts["claim"] == claim].iloc[-1]
        (mark,) = (
            line
            for line in axes.lines
            if line.get_marker() in look_of and line.get_xdata()[0] == pytest.approx(value)
        )
        assert (mark.get_marker(), mark.get_markerfacecolor() != "white") == look[row["verdict"]]
    (region, another) = points.patches
    corners = region.get_x(), region.get_x() + region.get_width()
    assert corners == pytest.approx((-2, 2))
    assert another.get_x() == 0  # C3 needs a gap above zero
    assert another.get_x() + another.get_width() == pytest.approx(points.get_xlim()[1])
    (interval,) = points.collections
    assert interval.get_segments()[0][:, 0] == pytest.approx([-0.9, 0.1])
    published = [line.get_xdata()[0] for line in points.lines if line.get_marker() == "|"]
    assert published == pytest.approx([-0.5])
    said = "Of 4 claims: 1 supported, 1 doubted, 1 dependent on choices, 1 not tested."
    assert figure.get_label() == said
    nothing = draw("verdicts", verdicts.assign(verdict="not tested", claim_verdict="not tested"))
    assert "no claim" in nothing.texts[0].get_text()


def test_confusions_are_shares_of_true_classes_or_counts_of_few_examples(confusion, look):
    figure = look("confusion")
    assert len(figure.axes) == 3
    mlp = figure.axes[0]
    assert "MLP, 3 layers SGD, momentum" in mlp.get_title(loc="left").replace("\n", " ")
    assert cells(mlp)[3, 3] == f"{100 * 187 / 200:.0f}"
    assert cells(mlp)[0, 9] == f"{100 * 19 / 200:.0f}"  # the last class is taken for the first
    few = confusion.assign(count=confusion["count"] // 5)
    assert cells(draw("confusion", few).axes[0])[0, 9] == str(19 // 5)
    assert "9 taken for T-shirt/top" in figure.get_label()


def test_accuracies_of_classes_are_marks_with_intervals(class_accuracy, look):
    axes = look("class_accuracy").axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:2] == ["T-shirt/top", "Ankle boot"]
    colour = style.colours(["kan"])["kan"]
    drawn = [line.get_xdata()[0] for line in axes.lines if line.get_color() == colour]
    own = class_accuracy[class_accuracy["model"] == "kan"]
    assert drawn == own["accuracy"].tolist()
    ends = {tuple(lines.get_segments()[0][:, 0]) for lines in axes.collections}
    assert ends == {(0.88, 0.97)}


def test_of_many_classes_the_hardest_are_drawn(class_accuracy):
    more = [class_accuracy.assign(label=class_accuracy["label"] + 10 * n) for n in range(3)]
    axes = draw("class_accuracy", pd.concat(more, ignore_index=True)).axes[0]
    assert len(axes.get_yticklabels()) == 20
    assert "T-shirt/top" not in [label.get_text() for label in axes.get_yticklabels()]


def test_edges_are_base_spline_and_sum_above_the_density(edges, look):
    figure = look("edge_functions")
    assert len(figure.axes) == 8
    base, spline, whole = figure.axes[1].lines
    x = whole.get_xdata()
    assert whole.get_ydata() == pytest.approx(x / 4 + x**2 / 2)
    assert whole.get_ydata() == pytest.approx(base.get_ydata() + spline.get_ydata())
    (density,) = figure.axes[1].patches
    heights, ends, _ = density.get_data()
    assert (ends[0], ends[-1]) == pytest.approx((-0.99, 0.99))
    assert heights.max() == pytest.approx(0.18)  # of the panel
    fewer = draw("edge_functions", edges[edges["edge"] <= 3])
    assert len(fewer.axes) == 3
    assert "seed 1, 94.0%" in figure.get_label()


def test_first_layers_have_a_scale_that_is_symmetric(first_layers, look):
    images = [axes.images[0] for axes in look("first_layers").axes if axes.images]
    assert len(images) == 4 * 6
    low, high = images[0].get_clim()
    assert (low, high) == (-106, 106)  # of the whole line
    own = np.array(first_layers["values"].iloc[0]).reshape(4, 5)
    np.testing.assert_allclose(images[0].get_array(), own)


def test_first_layers_of_colour_images_are_coloured_with_grey_for_zero(first_layers):
    colours = first_layers.assign(
        channels=3, values=[np.arange(60) * 1.0 for _ in first_layers["values"]]
    )
    images = [axes.images[0] for axes in draw("first_layers", colours).axes if axes.images]
    weights, norms = images[0].get_array(), images[12].get_array()
    assert weights.shape == (4, 5, 3)
    assert weights[0, 0, 0] == 0.5
    assert weights[3, 4, 2] == 1
    assert norms[0, 1] == pytest.approx(np.sqrt(1**2 + 21**2 + 41**2))


@pytest.mark.parametrize("name", ["confusion", "class_accuracy", "edge_functions", "first_layers"])
def test_without_networks_there_is_nothing_to_draw(name, table_of):
    assert draw(name, table_of(name).iloc[:0]).get_label().startswith(style.NOTHING)


def test_a_figure_says_in_its_files_what_it_shows(cases, tmp_path):
    figure = draw("best_accuracy", cases["one_dataset"])
    assert figure.get_label().startswith("The highest marks are MNIST: ")
    for suffix in ("svg", "png", "pdf"):
        style.save(figure, tmp_path / f"x.{suffix}", STYLE)
    assert (
        f"<dc:description>{figure.get_label()}</dc:description>" in (tmp_path / "x.svg").read_text()
    )
    assert figure.get_label().encode() in (tmp_path / "x.png").read_bytes()


def test_an_svg_has_rules_for_dark_pages(cases, tmp_path):
    style.save(draw("scheme_boxplots", cases["objectives"]), tmp_path / "x.svg", STYLE)
    text = (tmp_path / "x.svg").read_text()
    rules = text.split("<style")[1].split("</style>")[0]
    assert "prefers-color-scheme: dark" in rules
    for colour in (style.INK, style.MEDIAN, style.pale(style.PALETTE[0])):
        assert f": {colour}" in text.replace(rules, "") or f'fill="{colour}"' in text
        assert f": {colour}" in rules


def test_pale_colours_are_two_thirds_white():
    assert style.pale("#000000") == "#aaaaaa"
    assert style.pale("#ff0000", "#00ff00") == "#55aa00"


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_the_project_s_style_wherever_it_is_drawn(name):
    assert hasattr(import_module(f"kancore.figures.{name}").draw, "__wrapped__")
