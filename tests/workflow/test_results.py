"""What a finished study holds."""

import json
import re
import shutil

import pytest

from kancore.analysis.tables import EFFICIENCY, EFFICIENCY_RANKS, INTRINSIC_DIMENSIONS, RUNS
from kancore.figures.declared import FIGURES
from kancore.status import StudyStatus, read_status
from kancore.tables import HISTORY, LANDSCAPES, TIMINGS, read_table


@pytest.fixture
def results(finished):
    return finished.path / "results" / "tiny"


def test_tables_have_a_row_for_each_run_evaluation_and_job(results):
    runs = read_table(results / "tables" / "grid" / "runs.parquet", RUNS)
    assert len(runs) == 2 * 9
    assert set(runs["study"]) == {"tiny"}
    assert runs["parameters"].nunique() == 2
    assert runs.groupby("model")["code"].nunique().to_dict() == {"kan": 1, "mlp": 1}
    assert runs["code"].nunique() == 2
    assert not runs["diverged"].any()
    assert runs["test_accuracy"].between(0, 1).all()
    history = read_table(results / "tables" / "grid" / "history.parquet", HISTORY)
    assert len(history) == 2 * 9 * 2
    timings = read_table(results / "tables" / "grid" / "timings.parquet", TIMINGS)
    assert len(timings) == 2
    assert (timings["schemes"] == 9).all()
    assert (timings["steps"] == 2 * (180 // 50)).all()


def test_follow_ups_are_trained_by_the_best_scheme_into_tables_of_their_own(results):
    runs = read_table(results / "tables" / "follow_ups" / "runs.parquet", RUNS)
    assert runs.groupby("experiment").size().to_dict() == {
        # Widths 4 and 8 of degree 3 have as many parameters as 4.5 and 9 of degree 2.
        **{"activation": 2, "grid_size": 2, "width_degree": 2 * 2 * 2 + 2}
    }
    scheme = json.loads((results / "chosen" / "scheme" / "digits.json").read_text())
    assert len(runs.drop_duplicates(list(scheme))) == 1
    assert runs.iloc[0][list(scheme)].to_dict() == scheme
    grid = read_table(results / "tables" / "grid" / "runs.parquet", RUNS)
    assert set(grid["experiment"]) == {"grid"}
    (same,) = (
        grid.merge(runs, on=[*scheme, "model", "activation", "grid_size", "degree", "depth"])[
            ["test_accuracy_x", "test_accuracy_y", "hidden_widths_x", "hidden_widths_y"]
        ]
        .query("hidden_widths_x == hidden_widths_y")
        .drop_duplicates()
        .to_numpy()
    )
    assert same[0] == same[1]  # alone as in the stack


def test_claims_of_a_study_too_small_for_them_are_not_tested(results):
    claims = json.loads((results / "claims.json").read_text())["claims"]
    verdicts = {claim["name"]: claim["verdict"] for claim in claims}
    assert verdicts["C1"] == verdicts["C6"] == "not tested"
    assert "1 pair." in claims[0]["reason"]


def test_status_counts_the_jobs_of_a_finished_study(results):
    # Of the grid, follow-ups, audit, stability, the combination, and a landscape.
    assert read_status(results) == StudyStatus("tiny", 2 + 3 + 7 + 2 + 1 + 1, 0, {}, {}, 1.0)


def test_markdown_shows_the_figures_beside_it(results):
    text = (results / "report.md").read_text()
    shown = re.findall(r"\]\((figures/\w+\.svg|tables/[\w/]+\.csv)\)", text)
    assert len([path for path in shown if path.startswith("figures/")]) == len(FIGURES)
    assert all((results / path).exists() for path in shown)


def test_csv_says_what_parquet_says(results):
    lines = (results / "tables" / "grid" / "runs.csv").read_text().splitlines()
    assert lines[0].split(",") == RUNS.names
    assert len(lines) == 1 + 2 * 9


def test_dimensions_and_efficiency_are_of_every_source(results):
    landscapes = read_table(results / "tables" / "landscapes.parquet", LANDSCAPES)
    assert landscapes["direct"].sum() == 1
    assert landscapes["dimension"].max() == 64 * 200 + 200 * 200 + 200 * 10 + 410
    assert {20, 200} < set(landscapes["dimension"])
    estimates = read_table(results / "tables" / "intrinsic_dimension.parquet", INTRINSIC_DIMENSIONS)
    assert estimates["estimator"].value_counts().to_dict() == {
        "two_nn": 1,
        "mle": 4,
        "landscape_absolute": 1,
        "landscape_relative": 1,
    }
    two_nn = estimates[estimates["estimator"] == "two_nn"].iloc[0]
    assert 5 < two_nn["low"] < two_nn["dimension"] < two_nn["high"] < 15
    assert two_nn["observations"] == 1438
    table = read_table(results / "tables" / "efficiency.parquet", EFFICIENCY)
    assert table.groupby("source").size().to_dict() == dict.fromkeys(
        ("paper", "two_nn", "mle", "landscape_absolute", "landscape_relative"), 2 * 9
    )
    assert table.loc[table["source"] == "paper", "efficiency"].notna().all()
    ranks = read_table(results / "tables" / "efficiency_ranks.parquet", EFFICIENCY_RANKS)
    assert len(ranks) == 5 * 5
    lines = (results / "tables" / "efficiency_ranks.csv").read_text().splitlines()
    assert lines[0].split(",") == EFFICIENCY_RANKS.names


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_png_svg_and_pdf(figure, results):
    assert (results / "figures" / f"{figure}.pdf").read_bytes()[:4] == b"%PDF"
    assert (results / "figures" / f"{figure}.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (results / "figures" / f"{figure}.svg").read_text()


def test_no_checkpoint_or_half_file_is_left(results):
    assert not list(results.rglob("*.pt"))
    assert not list(results.rglob("*.tmp*"))


def test_the_same_study_gives_the_same_bytes(project):
    before = project.path / "results" / "tiny"
    shutil.move(before, project.path / "before")
    project.snakemake("--cores", "2", "--forceall")
    names = ["tables/grid/runs.parquet", "tables/grid/history.parquet", "tables/grid/runs.csv"]
    names += [
        f"tables/{name}.parquet"
        for name in ("landscapes", "intrinsic_dimension", "efficiency", "efficiency_ranks")
    ]
    names += ["tables/follow_ups/runs.parquet", "tables/verdicts.parquet", "claims.json"]
    names += [
        f"figures/{figure}.{kind}"
        for figure in FIGURES
        if FIGURES[figure].table != "timings"
        for kind in ("png", "svg", "pdf")
    ]
    for name in names:
        assert (before / name).read_bytes() == (project.path / "before" / name).read_bytes(), name


def test_a_job_that_was_killed_goes_on_to_the_same_bytes(project):
    name = "digits/backprop/kan-32-gelu-degree3-grid5/0.005/seed0"
    folder = project.path / "results" / "tiny" / "jobs" / "grid" / name
    target = f"results/tiny/jobs/grid/{name}/history.parquet"
    settings = "epochs=40", "evaluate_every=20", "checkpoint_seconds=0"
    arguments = ("--cores", "1", target, "--config", *settings)
    project.snakemake(*arguments)
    undisturbed = (folder / "history.parquet").read_bytes()
    (folder / "history.parquet").unlink()
    project.warm = None  # its process is halted and killed below
    run = project.start(*arguments)
    job = project.wait_until(project.training_processes, run)[0]

    def stopped_with_a_checkpoint():
        job.suspend()  # so that it cannot end between a look at its checkpoint and its death
        if (folder / "checkpoint.pt").exists():
            return True
        job.resume()
        return False

    assert project.wait_until(stopped_with_a_checkpoint, run)
    job.kill()
    run.communicate()
    assert run.returncode != 0
    assert not (folder / "history.parquet").exists()
    assert (folder / "checkpoint.pt").exists()
    project.snakemake(*arguments)
    assert (folder / "history.parquet").read_bytes() == undisturbed
    timings = read_table(folder / "timings.parquet", TIMINGS)
    assert timings["resumes"].item() == 1


def test_hsic_runs_beside_backprop_in_the_same_tables(project, finished):
    options = "--config", "objectives=[backprop,hsic]", *project.GRID_ALONE
    assert project.plan(*options)["train"] == 2
    figure = "results/tiny/figures/best_accuracy.svg"
    project.snakemake(figure, "--cores", "2", *options)
    tables = project.path / "results" / "tiny" / "tables"
    runs = read_table(tables / "grid" / "runs.parquet", RUNS)
    assert runs.groupby("objective").size().to_dict() == {"backprop": 18, "hsic": 18}
    history = read_table(tables / "grid" / "history.parquet", HISTORY)
    measured = history[(history["objective"] == "hsic") & ~history["diverged"]]
    assert measured["layer_nhsic"].map(len).eq(1).all()
    assert measured["layer_nhsic"].map(max).between(0, 9).all()
    assert history.loc[history["objective"] == "backprop", "layer_nhsic"].isna().all()
    words = "With the HSIC bottleneck"
    assert words in (project.path / figure).read_text()
    assert words not in (finished.path / figure).read_text()
    assert words not in (finished.path / "results/tiny/report.html").read_text()


def test_snakemakes_own_report_has_the_figures(project):
    project.snakemake("--report", "report.html")
    text = (project.path / "report.html").read_text()
    for figure in FIGURES:
        assert f"{figure}.svg" in text
