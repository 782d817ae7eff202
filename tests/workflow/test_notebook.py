"""The page on notebooks runs, on a study that has run."""

import re
from pathlib import Path

import pytest
import yaml

import kancore
from kancore.figures import sensitivity, style
from kancore.figures.style import STYLE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def results(finished):
    return kancore.results(finished.path / "results" / "tiny")


def test_the_page_on_notebooks_runs(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "notebook.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks).replace("results/quick", str(finished.path / "results" / "tiny"))
    names = {"__name__": "notebook"}
    exec(compile(code, str(page), "exec"), names)
    best = names["best"].reset_index()
    assert len(best) == 3
    assert best["validation_accuracy"].is_monotonic_decreasing
    assert (tmp_path / "sensitivity.pdf").read_bytes().startswith(b"%PDF")
    # The first edge's curves, by the layer itself: what the unit gains from one input.
    panel = names["axes"][0]
    curves = {line.get_label(): line.get_ydata() for line in panel.lines}
    assert curves["sum"] == pytest.approx(curves["base"] + curves["spline"], abs=1e-6)


def test_tables_are_told_with_their_columns(results):
    assert {"grid/runs", "grid/history", "follow_ups/runs", "stability", "verdicts"} <= {*results}
    columns = results.columns("grid/runs")
    assert list(columns.index) == list(results["grid/runs"])
    assert columns.loc["best_epoch", "unit"] == "epochs"
    assert columns.loc["seed", "description"] == "seed of the study that this run belongs to"
    with pytest.raises(KeyError, match="runs: no such table; there are"):
        results["runs"]
    with pytest.raises(KeyError, match="pie: no such figure; there are verdicts"):
        results.draw("pie")
    with pytest.raises(ValueError, match="sensitivity: the table has no rows to draw"):
        results.draw("sensitivity", results["grid/runs"][:0])
    with pytest.raises(FileNotFoundError, match="expected the folder of a study that ran"):
        kancore.results(results.folder / "figures")


def test_figures_have_the_style_of_the_workflow():
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())["defaults"]
    assert defaults["figure_style"] == STYLE


def test_figures_are_drawn_in_the_project_s_style_outside_the_workflow(results):
    runs = results["grid/runs"]
    figure = sensitivity.draw(runs)
    assert figure.get_size_inches()[0] == STYLE["width_inches"]
    assert figure.axes[0].title.get_fontsize() == STYLE["font_size"] + 1
    with style.apply({**STYLE, "width_inches": 5}):
        assert sensitivity.draw(runs).get_size_inches()[0] == 5
