"""What a user sees when a disk, a file, a data set or a configuration is at fault, and after it."""

import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
import yaml

from kancore.analysis.tables import RUNS
from kancore.machine.files import HOPELESS
from kancore.tables import read_table

SWEEP = "results/tiny/jobs/grid/digits/backprop/mlp-32-gelu/0.005/seed0"
HISTORY = f"{SWEEP}/history.parquet"


@contextmanager
def mounted(folder, options):
    """An empty file system in place of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def failing(project, *arguments):
    """Output of a run that fails, without a traceback."""
    output = project.snakemake("--cores", "2", *arguments, check=False)
    assert "Traceback" not in output
    assert "100%" not in output
    return output


def test_disk_full_while_a_checkpoint_is_written(project):
    arguments = (HISTORY, "--retries", "1", "--config", "checkpoint_seconds=0", "epochs=3")
    with mounted(project.path / "results" / "tiny", "size=100k"):
        output = failing(project, *arguments)
    assert f"{SWEEP}/checkpoint.pt: No space left on device" in output
    # Others may make room.
    assert output.count("Trying to restart job") == 1


def test_results_that_cannot_be_written(project):
    with mounted(project.path / "results", "ro"):
        output = failing(project)
    assert "results/tiny/plan.json: Read-only file system" in output


def test_a_working_folder_that_cannot_be_written(project, tmp_path):
    with mounted(tmp_path / "sealed", "ro"):
        output = failing(project, "--directory", str(tmp_path / "sealed"))
    assert "sealed: cannot be written to; expected a folder for results" in output
    with mounted(project.path / ".snakemake", "ro"):
        output = failing(project)
    assert ".snakemake: cannot be written to; expected a folder for results" in output


def test_a_damaged_prepared_data_set(project):
    data = project.path / "results/data/digits.safetensors"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    output = failing(project, HISTORY, "--forcerun", "train", "--retries", "2")
    assert "digits.safetensors: not a prepared data set: its arrays do not have the" in output
    assert "remove it and prepare it again" in output
    # It would fail again.
    assert f"{HOPELESS}\n" in output
    assert "Trying to restart" not in output
    data.unlink()
    project.snakemake("--cores", "1", HISTORY)
    # All tries are in the log: of the whole study, and these two.
    log = project.path / SWEEP.replace("tiny/jobs", "tiny/logs/jobs")
    assert log.with_name(f"{log.name}.log").read_text().count("begun at") == 3


def test_a_damaged_checkpoint_and_a_study_whose_schemes_all_diverge(project):
    checkpoint = project.path / SWEEP.replace("0.005", "1e+30") / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"half a checkpoint")
    # All but figures and pages that are tested on such tables by themselves.
    until = "--until", "departures", "stability_effects", "claims", "inspection", "efficiency"
    project.snakemake("--cores", "2", *until, "--config", "learning_rates=[1e30]")
    assert not list(checkpoint.parent.glob("*.pt"))
    log = project.path / "results/tiny/logs/jobs/grid/digits/backprop/mlp-32-gelu/1e+30/seed0.log"
    assert "checkpoint.pt: unreadable checkpoint, removed" in log.read_text()
    runs = read_table(project.path / "results/tiny/tables/grid/runs.parquet", RUNS)
    assert len(runs) == 18
    assert runs["diverged"].all()
    assert (runs["parameters"] > 0).all()


@pytest.mark.parametrize("table", ["tables/grid/runs.parquet", "jobs/grid/{}/history.parquet"])
def test_a_damaged_table(table, project):
    path = project.path / "results/tiny" / table.format(SWEEP.split("grid/")[1])
    path.write_bytes(path.read_bytes()[:200])
    output = failing(project, "--retries", "2")
    assert f"{path.name}: not a whole Parquet table (" in output
    assert "); remove it, and call snakemake again\n" in output
    assert "Trying to restart" not in output
    path.unlink()
    project.snakemake("--cores", "2", "results/tiny/claims.json")


def test_a_damaged_choice(project):
    """One for all files in JSON."""
    path = project.path / "results/tiny/chosen/scheme/digits.json"
    path.write_bytes(path.read_bytes()[:-3])
    table = "results/tiny/jobs/follow_ups/grid_size/digits/seed0/history.parquet"
    (project.path / table).unlink()
    output = failing(project, table, "--retries", "2")
    assert f"{path.relative_to(project.path)}: not a whole JSON file (" in output
    assert "); remove it, and call snakemake again\n" in output
    assert "Trying to restart" not in output
    path.unlink()
    project.snakemake("--cores", "2", table)


def own_data_set(project, **changes):
    """Options of a study on a table of three classes, some of its arrays changed."""
    x = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    y = np.arange(90) % 3
    arrays = {"x_train": x, "y_train": y, "x_test": x[:30], "y_test": y[:30]} | changes
    np.savez(project.path / "mine.npz", **arrays)
    own = 'data={"own": {"mine": "mine.npz"}}'
    study = "datasets=[mine]", own, "models=[mlp]", "train_examples=null", *project.GRID_ALONE
    return "--config", *study


def test_not_a_number_among_the_features(project):
    x = np.zeros((90, 4), dtype=np.float32)
    x[7, 2] = np.nan
    output = failing(project, *own_data_set(project, x_train=x))
    assert "mine.npz: x_train has 1 values that are NaN, missing or infinite" in output
    assert "the first in feature 2" in output


def test_a_class_missing_from_the_training_part(project):
    output = failing(project, *own_data_set(project, y_train=np.arange(90) % 2 * 2))
    assert "y_test has labels 1 to 1, expected 0 to 2: no training example of classes 1" in output


def test_a_class_missing_from_the_training_split(project):
    y = np.repeat([0, 1, 2], [45, 44, 1])
    options = own_data_set(project, y_train=y)
    output = failing(project, *options, "validation_fraction=0.9")
    assert "mine: validation fraction 0.9 leaves no training example of classes 2" in output


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("datasets=[]", "config: datasets is []; expected a list of different data sets"),
        ("datasets=[minst]", "config: datasets.0 is 'minst'; expected one of mnist, "),
        ("seeds=[1,1]", "config: seeds is [1, 1]; expected a list of different whole numbers"),
        (
            "learning_rates=[nan]",
            "learning_rates.0 is nan; expected a list of different numbers above 0",
        ),
    ],
    ids=["empty-grid", "unknown-data-set", "seed-twice", "not-a-number"],
)
def test_a_wrong_configuration_is_told_before_any_job(setting, message, project):
    output = failing(project, "--config", setting)
    assert message in output
    assert "Job stats" not in output


EVIL = """'$(touch pwned)`touch pwned`;touch pwned"\""""


def test_free_text_of_a_configuration_reaches_no_shell(project):
    own_data_set(project)
    (project.path / "mine.npz").rename(project.path / f"{EVIL}.npz")
    free = {
        "datasets": ["mine"],
        "models": ["mlp"],
        "train_examples": None,
        "data": {"own": {"mine": f"{EVIL}.npz"}, "mirror": EVIL},
        "figure_style": {"font_family": EVIL, "dpi": 99, "font_size": 9, "width_inches": 7},
    }
    with open(project.path / "tiny.yaml", "a") as file:
        yaml.safe_dump(free, file)
    project.snakemake("--cores", "2", "results/tiny/figures/best_accuracy.svg")
    output = failing(project, "download", "--config", "datasets=[mnist]")
    assert "mnist" in output
    assert not list(project.path.rglob("pwned*"))
