"""Code digests: what changes them and what does not."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path):
    """A copy of the library and the scripts."""
    for folder in ("kancore", "workflow_scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc"))
    return tmp_path


def run(project, code):
    """Run code in a fresh process that has the copy of the library."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def digests(project):
    """Digests of three jobs: training an MLP, training a KAN, putting tables together."""
    return run(
        project,
        "from kancore.machine.provenance import code_digest as d\n"
        "train = 'workflow_scripts/train.py'\n"
        "back = 'kancore.objectives.backprop'\n"
        "print(d(train, 'kancore.networks.mlp', back), d(train, 'kancore.networks.kan', back),"
        " d('workflow_scripts/tables.py'))",
    ).split()


def which_change(project, path, edit):
    """Tell for each of the three jobs whether an edit of a file changes its digest."""
    before = digests(project)
    file = project / path
    file.write_text(edit(file.read_text()))
    ast.parse(file.read_text())
    return [old != new for old, new in zip(before, digests(project), strict=True)]


def append(line):
    return lambda text: text + f"\n{line}\n"


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("kancore/layers/splines.py", [False, True, False]),
        ("kancore/layers/kolmogorov_arnold.py", [False, True, False]),
        ("kancore/layers/linear.py", [True, True, False]),
        ("kancore/training/loop.py", [True, True, False]),
        ("kancore/networks/mlp.py", [True, False, False]),
        ("kancore/objectives/backprop.py", [True, True, False]),
        ("kancore/analysis/statistics.py", [False, False, True]),
        ("kancore/tables.py", [True, True, True]),
        ("kancore/__init__.py", [True, True, True]),
        ("kancore/data/digits.py", [False, False, False]),
        ("workflow_scripts/train.py", [True, True, False]),
        ("workflow_scripts/tables.py", [False, False, True]),
    ],
)
def test_an_edit_changes_the_jobs_that_reach_it(path, changed, project):
    assert which_change(project, path, append("_edited = 1")) == changed


@pytest.mark.parametrize(
    "edit",
    [
        append("# a comment"),
        lambda text: text.replace("\n\n\n", "\n\n\n\n"),
        lambda text: text.replace('"""', '"""Reworded: ', 1),
    ],
)
def test_comments_layout_and_docstrings_change_nothing(edit, project):
    assert which_change(project, "kancore/layers/splines.py", edit) == [False] * 3


def test_two_processes_and_two_copies_agree(project, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(project, other)
    assert digests(project) == digests(other)


def test_a_job_refuses_code_that_is_not_as_planned(project):
    code = (
        "from kancore.machine.provenance import check_code, code_digest\n"
        "script = 'workflow_scripts/tables.py'\n"
        "check_code(script, code_digest(script))\n"
        "try:\n"
        "    check_code(script, '0' * 16)\n"
        "except SystemExit as refusal:\n"
        "    print(refusal)"
    )
    message = run(project, code)
    assert "tables.py: the code has changed since this job was planned" in message
    assert "run snakemake again" in message


def test_the_plan_is_handed_down(project):
    code = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from kancore.machine.provenance import planned_digest\n"
        "planned = planned_digest('workflow_scripts/tables.py')\n"
        "with open('kancore/analysis/statistics.py', 'a') as file:\n"
        "    file.write('_edited = 1\\n')\n"
        "child = 'from kancore.machine.provenance import planned_digest, code_digest as d;'"
        " 's = \"workflow_scripts/tables.py\"; print(planned_digest(s), d(s))'\n"
        "found = subprocess.run([sys.executable, '-c', child], capture_output=True, text=True)\n"
        "handed, edited = found.stdout.split()\n"
        "print(handed == planned, edited == planned)"
    )
    assert run(project, code) == "True False"


def test_planning_and_drawing_do_not_import_torch(project):
    rooms = "studies.study", "analysis.statistics", "tables", "machine.provenance", "networks"
    modules = ", ".join(f"kancore.{each}" for each in (*rooms, "objectives"))
    code = f"import sys\nimport {modules}\n"
    assert run(project, code + "print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize(
    ("repository", "added", "known"),
    [(".", "kancore", True), (".", "mine", False), ("..", "project", False)],
    ids=["ours", "another", "around"],
)
def test_the_revision_is_that_of_a_repository_of_the_project(
    repository, added, known, project, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("around") / "project"
    shutil.copytree(project, folder)
    top = (folder / repository).resolve()
    (folder / "mine").write_text("")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (["init", "-q"], ["add", added], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=top, check=True)
    code = "from kancore.machine.provenance import git_revision; print(git_revision())"
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=top, capture_output=True, text=True, check=True
    ).stdout
    assert run(folder, code) == (head[:12] if known else "unknown")
