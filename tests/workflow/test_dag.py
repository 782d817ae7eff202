"""What a change re-runs, told by real dry runs."""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from kancore.figures.declared import FIGURES
from kancore.machine.locks import first_free

ROOT = Path(__file__).resolve().parents[2]
# One from each table that figures are drawn from.
SOME_FIGURES = ("best_accuracy", "learning_curves", "time_parameters", "grid_size")
EVERY_FIGURE = dict.fromkeys(FIGURES, 1)
FOLLOW_UP_FIGURES = [name for name, figure in FIGURES.items() if figure.table == "follow_ups"]
# Jobs of the tiny study that train, by experiment.
TRAINED = {"grid": 2, "follow_ups": 3, "audit": 7, "stability": 2, "combined": 1}
OF_DIMENSIONS = {"dimension_accuracy": 1, "dimension_estimates": 1}
OF_EFFICIENCY = {"efficiency_gap": 1, "parameters_efficiency": 1}
OF_CLAIMS = {"claims": 1, "verdicts": 1, "firmness": 1}
OF_AUDIT = {"audit": 1, "departures": 1}
OF_STABILITY = {"combination": 1, "stability": 1, "stability_effects": 1}
OF_NETWORKS = {name: 1 for name, figure in FIGURES.items() if figure.needs == "networks"}
GRID = "results/tiny/tables/grid/runs.parquet"
APART = {**OF_DIMENSIONS, **OF_AUDIT, **OF_STABILITY}
OF_RUNS = {name: 1 for name in FIGURES if name not in APART}
# New tables of runs may name another best scheme, so follow-ups and all below them are due too.
DOWNSTREAM = {
    **{"efficiency": 1, "best_scheme": 1, "networks": 1, "inspection": 1, "claims": 1},
    **{**OF_RUNS, "report": 1},
}


def trained(tables, **jobs):
    """Jobs that train, of each experiment, and the tables that they go into."""
    return {"train": sum(jobs.values()), "tables": tables}


def test_a_fresh_clone_with_results_has_nothing_to_do(project):
    assert project.plan() == {}
    assert "Nothing to be done" in project.snakemake("--cores", "1")


def test_snakemake_does_not_look_for_jobs_more_often_with_each_that_ends(project):
    # Each look would be due in a thread of its own; the study had 53 jobs.
    assert int((project.path / "threads.txt").read_text()) < 20


def test_touching_and_commenting_code_re_runs_nothing(project):
    for folder in ("kancore", "workflow_scripts", "rules"):
        for file in (project.path / folder).rglob("*.*"):
            file.touch()
    project.append("kancore/layers/splines.py", "# a comment")
    project.append("kancore/layers/compiled_cpp/vectors.h", "// a comment")
    project.append("rules/training.smk", "# a comment")
    assert project.plan() == {}


def test_an_edit_in_how_jobs_run_re_runs_nothing(project):
    for file in (project.path / "kancore" / "machine").glob("*.py"):
        project.append(file)
    project.append("kancore/training/progress.py")
    assert project.plan() == {}


@pytest.mark.parametrize("figure", SOME_FIGURES)
def test_an_edit_in_a_figure_re_runs_it_and_the_report(figure, project):
    project.append(f"kancore/figures/{figure}.py")
    assert project.plan() == {figure: 1, "report": 1}


def test_a_new_figure_is_a_module_a_line_and_a_caption_and_redraws_no_other(project):
    figures = project.path / "kancore" / "figures"
    shutil.copyfile(figures / "best_epochs.py", figures / "latest_epochs.py")
    declared = figures / "declared.py"
    line = '"latest_epochs": Declared("runs", "Training", "latest epochs"),'
    declared.write_text(
        declared.read_text().replace("FIGURES = {\n", f"FIGURES = {{\n    {line}\n")
    )
    (project.path / "report" / "latest_epochs.rst").write_text("Latest epochs\n=============\n")
    assert project.plan() == {"latest_epochs": 1, "report": 1}
    project.snakemake("--cores", "1")
    text = (project.path / "results" / "tiny" / "report.md").read_text()
    assert text.index("(figures/latest_epochs.svg)") < text.index("(figures/firmness.svg)")
    assert project.plan() == {}


def test_an_edit_in_splines_retrains_kans_and_no_mlp(project):
    project.append("kancore/layers/splines.py")
    output = project.snakemake("--cores", "1", "--dry-run")
    assert "train grid/digits/backprop/kan" in output
    assert "train grid/digits/backprop/mlp" not in output
    kans = trained(5, **{**TRAINED, "grid": 1, "audit": 4})
    assert project.plan() == {**kans, **OF_AUDIT, **OF_STABILITY, **DOWNSTREAM}


def test_an_edit_in_a_data_set_prepares_it_again_and_retrains(project):
    project.append("kancore/data/digits.py")
    dimensions = {"manifold": 1, "landscape": 1, "intrinsic_dimension": 1, **OF_DIMENSIONS}
    below = {**OF_AUDIT, **OF_STABILITY, **dimensions, **DOWNSTREAM}
    assert project.plan() == {"prepare": 1, **trained(5, **TRAINED), **below}
    project.append("kancore/data/breast_cancer.py")
    assert project.plan()["prepare"] == 1


def test_an_edit_in_the_claims_judges_again(project):
    project.append("kancore/claims/declared.py")
    below = {**OF_CLAIMS, "audit": 1, "departures": 1, "report": 1}
    assert project.plan() == below


def test_follow_ups_follow_the_best_scheme_and_their_own_axes(project):
    best = project.path / "results" / "tiny" / "chosen" / "scheme" / "digits.json"
    best.write_text(best.read_text().replace("0.005", "0.05"))
    below = {
        **trained(1, follow_ups=3),
        **OF_CLAIMS,
        **dict.fromkeys(FOLLOW_UP_FIGURES, 1),
        "report": 1,
    }
    assert project.plan() == below
    best.write_text(best.read_text().replace("0.05", "0.005"))
    more = "follow_ups={grid_size: {seeds: [0, 1]}}"
    assert project.plan("--config", more)["train"] == 1


def test_a_study_without_follow_ups_has_neither_their_jobs_nor_their_figures(project):
    plan = project.plan("--config", "follow_ups={experiments: []}", "--forceall")
    assert not {"best_scheme", *FOLLOW_UP_FIGURES} & set(plan)
    assert {"claims", "report", "best_accuracy"} < set(plan)
    assert plan["train"] == sum(TRAINED.values()) - TRAINED["follow_ups"]


def test_an_edit_in_landscapes_trains_no_sweep_again(project):
    project.append("kancore/intrinsic_dimension/landscape.py")
    below = {"intrinsic_dimension": 1, **OF_DIMENSIONS, "efficiency": 1, **OF_EFFICIENCY}
    judged = {**OF_CLAIMS}
    assert project.plan() == {"landscape": 1, **below, **judged, "report": 1}


def test_an_edit_in_manifolds_estimates_them_again(project):
    project.append("kancore/intrinsic_dimension/manifold.py")
    assert project.plan("results/tiny/tables/efficiency.parquet") == {
        "manifold": 1,
        "intrinsic_dimension": 1,
        "efficiency": 1,
    }


def test_published_dimensions_are_an_input(project):
    with open(project.path / "published" / "intrinsic_dimension.csv", "a") as file:
        file.write("digits,efficiency,,,,5,,Somebody 2025\n")
    below = {"intrinsic_dimension": 1, **OF_DIMENSIONS, "efficiency": 1, **OF_EFFICIENCY}
    judged = {**OF_CLAIMS, "audit": 1, "departures": 1}
    assert project.plan() == {**below, **judged, "report": 1}


def test_every_network_and_seed_of_a_landscape_is_a_job(project):
    options = 'intrinsic_dimension={"networks": ["reference", "architectures"], "seeds": [0, 1]}'
    assert project.plan("--config", options)["landscape"] == (1 + 2) * 2 - 1
    none = project.plan("--config", 'intrinsic_dimension={"networks": []}')
    assert none["intrinsic_dimension"] == 1
    assert "landscape" not in none
    assert "dimension_accuracy" not in none


def test_an_edit_in_the_report_re_runs_the_report(project):
    project.append("kancore/report/tables.py")
    assert project.plan() == {"report": 1}


def test_an_edit_in_how_networks_are_looked_into_does_so_again(project):
    project.append("kancore/analysis/inspection.py")
    assert project.plan() == {"inspection": 1, **OF_NETWORKS, "report": 1}


def test_a_style_setting_redraws_from_the_table(project):
    config = project.path / "config.yaml"
    config.write_text(config.read_text().replace("dpi: 200", "dpi: 100"))
    some = [f"results/tiny/figures/{figure}.svg" for figure in SOME_FIGURES]
    assert project.plan(*some) == dict.fromkeys(SOME_FIGURES, 1)
    assert project.plan() == {**EVERY_FIGURE, "report": 1}


def test_one_more_seed_adds_one_job_an_architecture(project):
    more = trained(2, grid=2, follow_ups=3)  # which may be by another scheme
    assert project.plan("--config", "seeds=[0,1]") == {**more, **DOWNSTREAM}


def test_how_to_run_is_not_what_to_run(project):
    settings = ("device=cuda", "checkpoint_seconds=7", "threads=2")
    assert project.plan("--config", *settings) == {"report": 1}  # which shows the settings


def test_kernels_for_gpus_are_of_no_study_for_cpus(project):
    kan = {"train": 1, "tables": 1}
    # It was trained by code that holds the kernels.
    assert project.plan(GRID, "--config", "device=cpu") == kan
    project.append("kancore/layers/triton_kernels.py")
    assert project.plan(GRID) == kan
    project.snakemake("--cores", "1", GRID, "--config", "device=cpu")
    project.append("kancore/layers/triton_kernels.py", "_again = 1")
    assert project.plan(GRID, "--config", "device=cpu") == {}
    assert project.plan(GRID) == kan


def test_a_further_rate_trains_stacks_again_unless_rates_are_jobs_of_their_own(project):
    more = "learning_rates=[0.005,0.05,0.5]"
    assert project.plan(GRID, "--config", more)["train"] == 2  # of nine schemes and eighteen more
    apart = "stack=[optimizer,initialization]"
    assert project.plan(GRID, "--config", apart, more)["train"] == 2 * 2  # of nine schemes each


def test_stack_is_one_job_a_scheme_or_all_in_one(project):
    assert project.plan(GRID, "--config", "stack=[]")["train"] == 2 * 9
    assert project.plan(GRID, "--config", "stack=[optimizer]")["train"] == 2 * 3


def test_code_edited_during_a_run_is_refused(project):
    results = project.path / "results" / "tiny"
    locks = [file.with_name("job.lock") for file in results.glob("jobs/grid/**/history.parquet")]
    for name in ("jobs", "tables"):
        (results / name).rename(project.path / name)
    for log in results.glob("logs/jobs/grid/**/*.log"):
        log.unlink()
    with first_free(locks[:1], ""), first_free(locks[1:], ""):
        run = project.start("--cores", "1", GRID)
        # The first job has taken its digest when it waits for its lock.
        logs = partial(results.glob, "logs/jobs/grid/**/*.log")
        assert project.wait_until(lambda: any("waiting" in log.read_text() for log in logs()), run)
        project.append("kancore/training/loop.py")
    output, _ = run.communicate()
    assert run.returncode != 0
    assert "the code has changed since this job was planned" in output
    assert len(list(results.glob("jobs/**/history.parquet"))) == 1
    assert not (results / "tables" / "grid" / "runs.parquet").exists()


def plan_seeds(project, seeds):
    """Seconds of the processor to plan the paper's study with some seeds, and all else once."""
    before = os.times()
    table = "results/paper/tables/grid/runs.parquet"
    jobs = project.plan(table, "--config", "study=paper", f"seeds={[*seeds]}".replace(" ", ""))
    after = os.times()
    assert jobs["train"] == 2 * 5 * 9 * len(seeds)
    return after.children_user + after.children_system - sum(before[2:4])


@pytest.mark.slow
def test_four_times_as_many_jobs_take_four_times_as_long_to_plan(project):
    # Against itself, so that neither the processor nor what else it does has a part in it.
    project.warm = None  # its children's time is not ours
    few, more, many = (plan_seeds(project, range(count)) for count in (1, 7, 25))
    assert many - few < 1.5 * 4 * (more - few)


def test_a_wrong_key_is_one_clear_error(project):
    output = project.snakemake("--cores", "1", "--config", "epoch=3", check=False)
    assert "config: epoch is 3; expected no such key; did you mean epochs?" in output
    assert "Traceback" not in output


def test_one_more_departure_trains_that_one_alone(project):
    more = "audit={departures: [warm_start, output_initialization, relu_activation]}"
    assert project.plan("audit", "--config", more)["train"] == 2


def test_a_study_without_an_audit_or_under_another_protocol_has_none(project):
    audit, left = set(OF_AUDIT), sum(TRAINED.values()) - TRAINED["audit"]
    for setting in ("audit={departures: []}", "protocol=published"):
        plan = project.plan("--config", setting, "--forceall")
        assert not audit & set(plan)
        assert plan["train"] == left


TARGETS = """
import sys
from snakemake import cli
from snakemake.executors import dryrun

def run(self, job, before=dryrun.Executor.run_job):
    if job.rule.name == "all":
        print(*job.input, sep="\\n")
    before(self, job)

dryrun.Executor.run_job = run
cli.main(["--dry-run", "--quiet", "all", "--forcerun", "report", "--configfile", "tiny.yaml"])
"""


def test_every_file_that_the_documentation_lists_comes_back(project):
    text = (ROOT / "docs" / "study.md").read_text()
    rows = re.findall(r"^\| `results/STUDY/(\S+)`((?:, `\S+`)*) \|", text, re.MULTILINE)
    study = project.path / "results" / "tiny"
    listed = set()
    for name, others in rows:
        if name.startswith(("jobs/", "logs/")):  # these are results of training
            continue
        pattern = re.sub(r"[A-Z]{4,}", "*", name)
        suffixes = re.findall(r"`(\S+?)`", others)
        patterns = [pattern, *(str(Path(pattern).with_suffix(suffix)) for suffix in suffixes)]
        for pattern in patterns:
            found = [*study.glob(f"{pattern}**/*" if pattern.endswith("/") else pattern)]
            assert found, pattern
            listed |= {path for path in found if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-c", TARGETS],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=True,
    )
    targets = {project.path / line for line in done.stdout.splitlines()}
    assert listed - targets == set()
    assert len(listed) > 3 * len(FIGURES) + 20
    (study / "figures" / "firmness.png").unlink()
    assert project.plan() == {"firmness": 1, "report": 1}


def test_the_documentation_draws_the_rules_as_they_are(finished):
    options = "--forceall", "--config", "datasets=[mnist]"
    shown = finished.snakemake("--cores", "1", "--rulegraph", "dot", *options)
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', shown, re.MULTILINE))
    names = {number: "figure" if name in FIGURES else name for number, name in names.items()}
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", shown)}
    page = (ROOT / "docs" / "design.md").read_text()
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", page, re.MULTILINE))
    assert drawn == {(a, b) for a, b in arrows if b != "all"}
