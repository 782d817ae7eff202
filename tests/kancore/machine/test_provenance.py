"""Code digests: what changes them and what does not."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kancore.machine import provenance
from kancore.machine.provenance import code_digest, set_environment

ROOT = Path(__file__).resolve().parents[3]


TRAIN = "workflow_scripts/train.py"
BACKPROP = "kancore.objectives.backprop"
# Script, modules and device of jobs.
JOBS = {
    "mlp cpu": (TRAIN, "kancore.networks.mlp", BACKPROP, "cpu"),
    "mlp auto": (TRAIN, "kancore.networks.mlp", BACKPROP, "auto"),
    "kan cpu": (TRAIN, "kancore.networks.kan", BACKPROP, "cpu"),
    "kan auto": (TRAIN, "kancore.networks.kan", BACKPROP, "auto"),
    "tables": ("workflow_scripts/tables.py", "auto"),
    "data": ("workflow_scripts/prepare.py", "kancore.data.digits", "auto"),
}
MLP, KAN, TABLES, DATA = {"mlp cpu", "mlp auto"}, {"kan cpu", "kan auto"}, {"tables"}, {"data"}
TRAINED, ALL, NOTHING = MLP | KAN, {*JOBS}, set()
ROOM = sorted(file.name for file in (ROOT / "kancore" / "machine").glob("*.py"))


def copy_sources(path):
    """Copy the library and the scripts."""
    for folder in ("kancore", "workflow_scripts"):
        left_out = shutil.ignore_patterns("*.pyc", "*.so")
        shutil.copytree(ROOT / folder, path / folder, ignore=left_out)
    return path


@pytest.fixture
def project(tmp_path):
    """A copy of the library and the scripts."""
    return copy_sources(tmp_path)


def run(project, code):
    """Run code in a fresh process that has the copy of the library."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def digests(project):
    """Digests of the jobs, by a fresh process."""
    code = (
        "from kancore.machine.provenance import code_digest\n"
        f"for script, *modules, device in {[*JOBS.values()]}:\n"
        "    print(code_digest(script, *modules, device=device))"
    )
    return dict(zip(JOBS, run(project, code).split(), strict=True))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of the library and the scripts, each edit of which is taken back."""
    return copy_sources(tmp_path_factory.mktemp("sources"))


def which_change(sources, path, edit, monkeypatch):
    """Give the jobs whose digests an edit of a file changes."""
    monkeypatch.setattr(provenance, "ROOT", sources)

    cached = (
        *(provenance._module_file, provenance._read, provenance.code_digest),
        provenance.cpp._content,
    )

    def found():
        for each in cached:
            each.cache_clear()
        return {
            job: code_digest(script, *modules, device=device)
            for job, (script, *modules, device) in JOBS.items()
        }

    before = found()
    file = sources / path
    text = file.read_text()
    edited = edit(text)
    assert edited != text
    file.write_text(edited)
    try:
        if file.suffix == ".py":
            ast.parse(edited)
        after = found()
    finally:
        file.write_text(text)
    assert found() == before
    for each in cached:
        each.cache_clear()
    return {job for job in JOBS if before[job] != after[job]}


def append(line):
    return lambda text: text + f"\n{line}\n"


def change(old, new):
    return lambda text: text.replace(old, new, 1)


def reindent(text):
    """Other white space between tokens; that within strings counts."""
    text = re.sub(r" +", " ", text).replace(";\n", ";\n\n")
    return re.sub(r'"[^"\n]*"|, ', lambda found: ",\t" if found[0] == ", " else found[0], text)


EDITED = append("_edited = 1")
LAYERS = "kancore/layers"


@pytest.mark.parametrize(
    ("path", "edit", "changed"),
    [
        # The jobs that reach a module.
        (f"{LAYERS}/splines.py", EDITED, KAN),
        (f"{LAYERS}/kolmogorov_arnold.py", EDITED, KAN),
        (f"{LAYERS}/linear.py", EDITED, TRAINED),
        ("kancore/training/loop.py", EDITED, TRAINED),
        ("kancore/training/state.py", EDITED, TRAINED),
        ("kancore/networks/mlp.py", EDITED, MLP),
        ("kancore/networks/parts.py", change("BATCH = 256", "BATCH = 128"), TRAINED),
        ("kancore/objectives/backprop.py", EDITED, TRAINED),
        ("kancore/analysis/statistics.py", EDITED, TABLES),
        ("kancore/analysis/tables.py", EDITED, TABLES),
        ("kancore/tables.py", EDITED, ALL - DATA),
        ("kancore/__init__.py", EDITED, ALL),
        ("kancore/data/digits.py", EDITED, DATA),
        # A further data set, as CONTRIBUTING.md says.
        ("kancore/data/known.py", change('("mnist_sample", ', '("mnist_sample", "new", '), NOTHING),
        ("kancore/training/resources.py", change('    "mnist"', '    "new"'), NOTHING),
        (TRAIN, EDITED, TRAINED),
        ("workflow_scripts/tables.py", EDITED, TABLES),
        # What only says how a job runs.
        ("kancore/training/resources.py", change("_MB = 640", "_MB = 700"), NOTHING),
        (
            "kancore/training/resources.py",
            change("CORE_RATE, GPU_RATE = 1", "CORE_RATE, GPU_RATE = 2"),
            NOTHING,
        ),
        *((f"kancore/machine/{name}", EDITED, NOTHING) for name in ROOM),
        ("kancore/training/checkpoints.py", EDITED, NOTHING),
        ("kancore/training/progress.py", EDITED, NOTHING),
        # What only GPUs run, and what tells whether one does.
        (f"{LAYERS}/triton_kernels.py", change("_PROGRAMS = 264", "_PROGRAMS = 132"), {"kan auto"}),
        (f"{LAYERS}/triton_operators.py", EDITED, {"kan auto"}),
        (f"{LAYERS}/on_chip.py", EDITED, KAN),
        # C++.
        (f"{LAYERS}/compiled_cpp/vectors.h", change("LANES = 16", "LANES = 32"), TRAINED),
        (f"{LAYERS}/local_support_cpp/gradients.h", append("int edited;"), KAN),
        (f"{LAYERS}/products_cpp/activations.h", change("88.f", "89.f"), TRAINED),
        (f"{LAYERS}/products_cpp/passes.h", append("// a comment"), NOTHING),
        (f"{LAYERS}/compiled_cpp/vectors.h", change("// ", "/* more\nlines */ // "), NOTHING),
        (f"{LAYERS}/compiled_cpp/vectors.h", reindent, NOTHING),
        (f"{LAYERS}/local_support_cpp/library.cpp", reindent, NOTHING),
        # Python's comments, layout and docstrings.
        (f"{LAYERS}/splines.py", append("# a comment"), NOTHING),
        (f"{LAYERS}/splines.py", change("\n\n\n", "\n\n\n\n"), NOTHING),
        (f"{LAYERS}/splines.py", change('"""', '"""Reworded: '), NOTHING),
        # What is said of a setting, below its field.
        ("kancore/schemes.py", change('"""The probability', '"""Probability'), NOTHING),
        ("kancore/schemes.py", change("dropout: Share = 0.0", "dropout: Share = 0.5"), ALL),
    ],
)
def test_an_edit_changes_the_jobs_whose_results_it_can_change(
    path, edit, changed, sources, monkeypatch
):
    assert which_change(sources, path, edit, monkeypatch) == changed


def test_code_that_was_read_before_is_read_again_once_it_changes(project):
    kept = project / ".snakemake" / "code.json"
    text = (
        "import ast, sys\n"
        "from pathlib import Path\n"
        "from kancore.machine import provenance\n"
        "parsed = []\n"
        "before = ast.parse\n"
        "ast.parse = lambda text, filename: parsed.append(filename) or before(text, filename)\n"
        f"provenance.set_environment(Path({str(kept)!r}))\n"
        "print(provenance.code_digest('workflow_scripts/tables.py'))\n"
        "provenance.keep_what_was_read()\n"
        "print(*(Path(each).name for each in parsed))\n"
    )
    first, *read = run(project, text).splitlines()
    assert first == digests(project)["tables"]
    assert {"tables.py", "statistics.py"} <= {*read[0].split()}
    again, *read = run(project, text).splitlines()
    assert (again, read) == (first, [])
    statistics, cpp = (
        project / "kancore" / path for path in ("analysis/statistics.py", "machine/cpp.py")
    )
    before = statistics.read_text()
    statistics.write_text(before + "_edited = 1\n")
    edited, *read = run(project, text).splitlines()
    assert (edited != first, read) == (True, ["statistics.py"])
    statistics.write_text(before)
    assert run(project, text).split() == [first, "statistics.py"]
    # Code that reads otherwise reads all again, and a damaged file is as none.
    cpp.write_text(cpp.read_text() + "_edited = 1\n")
    _, read = run(project, text).splitlines()
    assert "tables.py" in read.split()
    kept.write_bytes(kept.read_bytes()[:100])
    found, read = run(project, text).splitlines()
    assert found == first
    assert "tables.py" in read.split()


def test_what_is_left_out_counts_where_it_is_named():
    script = "workflow_scripts/tables.py"
    assert code_digest(script, "kancore.machine.memory") != code_digest(script)


def test_the_digest_is_of_the_setting_and_not_of_the_machine():
    script, *modules, _ = JOBS["kan auto"]
    auto, cuda, cpu = (
        code_digest(script, *modules, device=each) for each in ("auto", "cuda", "cpu")
    )
    assert auto == cuda != cpu
    script, *modules, _ = JOBS["mlp auto"]
    assert code_digest(script, *modules) == code_digest(script, *modules, device="cpu")


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


@pytest.mark.slow
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


def test_children_import_no_modules_of_the_working_folder(tmp_path, monkeypatch):
    for name in ("PATH", "KANCORE_RUN", "KANCORE_CODE_READ", "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # restored at the end
    (tmp_path / "this.py").write_text("raise SystemExit('trapped')")
    # As executors of Snakemake build their commands: python -m, in the working folder.
    command = [sys.executable, "-m", "this"]
    before = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "trapped" in before.stderr
    set_environment(tmp_path / "code.json")
    after = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (after.returncode, after.stderr) == (0, "")
