"""The project used from another folder, from a strange place, and by another workflow."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kancore.analysis.tables import RUNS
from kancore.tables import read_table

ROOT = Path(__file__).resolve().parents[2]
TABLE = "results/tiny/tables/grid/runs.parquet"
SHADOW = "raise SystemExit('imported from the working folder')\n"
IMPORTER = """
rule first:
    input:
        "sub/results/quick/jobs/grid/digits/backprop/mlp-32-gelu/all/seed0/history.parquet"
    output:
        "first.txt"
    shell:
        "python -m own > {{output}}"


module grid:
    snakefile: {snakefile!r}
    prefix: "sub"
    config: {{"models": ["mlp"], "datasets": ["digits"], "depths": ["2layers"], "epochs": 1}}


use rule * from grid as grid_*
"""


FROM_A_SERVER = """
module kan:
    snakefile: github("owner/kancore", path="workflow/Snakefile", tag="v1")
    config: {"models": ["mlp"], "datasets": ["breast_cancer"]}


use rule * from kan
"""


def snakemake(folder, *arguments, **environment):
    """Run snakemake in a folder, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=environment or None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def checkout(project, tmp_path):
    """The project without results, at a path of blanks and letters beyond ASCII."""
    path = tmp_path / "Прог + données"
    shutil.move(project.path, path)
    shutil.rmtree(path / "results")
    shutil.rmtree(path / ".snakemake")
    return path


def set_traps(folder):
    """Put files there that are named as modules of Python and of a library."""
    for name in ("random", "queue", "torch"):
        (folder / f"{name}.py").write_text(SHADOW)


def files(path):
    """What lies in a folder, but for what Python keeps of its own where it may."""
    return {file for file in path.rglob("*") if "__pycache__" not in file.parts}


def read_only(path):
    """Make a folder and all below it read-only, for all but root."""
    for file in [path, *path.rglob("*")]:
        file.chmod(0o555 if file.is_dir() else 0o444)


def test_a_read_only_checkout_and_a_working_folder_both_full_of_traps(checkout, tmp_path):
    """Files there are named as modules, and there is no home, no locale and no terminal."""
    folder = tmp_path / "ici et là"
    folder.mkdir()
    set_traps(folder)
    set_traps(checkout)
    for name in ("kancore", "workflow_scripts"):  # as another copy of the project has them
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(SHADOW)
    before = files(checkout)
    read_only(checkout)
    settings = ("--configfile", checkout / "tiny.yaml", "--config", "models=[mlp]")
    arguments = (TABLE, "-s", checkout / "Snakefile", *settings)
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    snakemake(folder, *arguments, **bare)
    assert set(read_table(folder / TABLE, RUNS)["dataset"]) == {"digits"}
    assert "Nothing to be done" in snakemake(folder, *arguments, **bare)
    assert files(checkout) == before


def test_another_workflow_has_it_as_a_module(checkout, tmp_path):
    folder = tmp_path / "importer"
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "__main__.py").write_text("print('beside it')")
    text = IMPORTER.format(snakefile=str(checkout / "Snakefile"))
    Path(folder, "Snakefile").write_text(text, encoding="utf-8")
    snakemake(folder)
    assert (folder / "first.txt").read_text() == "beside it\n"
    assert "grid_report" in snakemake(folder, "--dry-run", "grid_all")


def test_another_workflow_has_it_from_a_server(checkout, tmp_path):
    server = shutil.move(checkout, tmp_path / "server" / "owner" / "kancore")
    for name in ("workflow", "config"):
        shutil.copytree(ROOT / name, server / name)
    for words in ("init", "add .", "-c user.name=a -c user.email=b commit -m c", "tag v1"):
        subprocess.run(["git", "-C", server, *words.split()], check=True, stdout=subprocess.DEVNULL)
    folder = tmp_path / "deployed"
    folder.mkdir()
    (folder / "Snakefile").write_text(FROM_A_SERVER)
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'server').as_uri()}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    data = "results/data/breast_cancer.safetensors"
    snakemake(folder, data, **environment)
    shutil.rmtree(server)  # nothing is asked of it again
    assert "Nothing to be done" in snakemake(folder, data, **environment)


def test_it_is_found_where_the_catalog_looks_for_workflows(checkout):
    for name in ("workflow", "config", ".test"):
        shutil.copytree(ROOT / name, checkout / name)
    for folder, data_sets in ((".", 3), (".test", 2)):
        shown = snakemake(checkout, "-s", "workflow/Snakefile", "-d", folder, "--dry-run")
        for rule in ("study", "report", "train", "prepare"):
            assert re.search(rf"^{rule} +[0-9]+$", shown, re.MULTILINE)
        # Its config/config.yaml counts.
        assert re.search(rf"^prepare +{data_sets}$", shown, re.MULTILINE)
