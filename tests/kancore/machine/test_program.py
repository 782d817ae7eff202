"""Programs take the arguments that their function says, check their code, and collect garbage."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from kancore.machine.program import program
from kancore.machine.provenance import code_digest

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = [
    *(path for path in sorted((ROOT / "workflow_scripts").glob("*.py")) if path.name != "run.py"),
    ROOT / "kancore" / "bench" / "__main__.py",
]


@pytest.fixture
def run(monkeypatch):
    """Run a function by the words of a command line; give what it was called with."""

    def run(main, *words, **options):
        monkeypatch.setattr(sys, "argv", ["program", *words])
        program(main, **options)

    return run


@pytest.mark.parametrize("error", [SystemExit, OSError, MemoryError])
def test_the_last_words_of_a_program_are_plain(run, error):
    def main() -> None:
        raise error("no \x1b[2J\nmore")

    with pytest.raises(SystemExit) as end:
        run(main, planned=False)
    assert end.value.code == "no \\x1b[2J\nmore"


def test_arguments_are_read_as_they_are_annotated(run):
    found = {}

    def main(
        *folders: Path,
        name: str,
        threads: int,
        rate: float,
        study: dict,
        pairs: list[list],
        input_files: list[Path],
        device: Literal["cpu", "cuda"],
        batch: Sequence[int] = (128,),
        mirror: str | None = None,
        verify: bool = True,
    ) -> None:
        found.update(locals())

    words = "a b --name x --threads 2 --rate 0.5 --input-files c d --device cuda --no-verify"
    json = ["--study", '{"name": "tiny"}', "--pairs", '[["m", [1, 2]]]']
    run(main, *words.split(), *json, planned=False)
    found.pop("found")
    assert found == {
        **{"folders": (Path("a"), Path("b")), "name": "x", "threads": 2, "rate": 0.5},
        **{"study": {"name": "tiny"}, "pairs": [["m", [1, 2]]]},
        **{"input_files": [Path("c"), Path("d")], "device": "cuda", "batch": (128,)},
        **{"mirror": None, "verify": False},
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the following arguments are required: --device, --study"),
        ("--device tpu --study {}", "argument --device: invalid choice: 'tpu'"),
        ("--device cpu --study {", "argument --study: invalid loads value: '{'"),
        ("--device cpu --study {} --sutdy {}", "unrecognized arguments: --sutdy {}"),
    ],
)
def test_a_wrong_argument_is_named(words, message, run, capsys):
    def main(device: Literal["cpu", "cuda"], study: dict) -> None: ...

    with pytest.raises(SystemExit):
        run(main, *words.split(), planned=False)
    assert message in capsys.readouterr().err


def test_help_is_what_the_docstring_says(run, capsys):
    def main(rows: int, columns: int, out: Path) -> None:
        """Write a table.

        Parameters
        ----------
        rows, columns
            At least 50%
            are read.

        Raises
        ------
        SystemExit
            Never.
        """

    with pytest.raises(SystemExit):
        run(main, "--help", planned=False)
    text = " ".join(capsys.readouterr().out.split())
    said = "--rows ROWS At least 50% are read. --columns COLUMNS At least 50% are read. --out OUT"
    assert text.endswith(said)


def test_code_that_was_not_planned_is_refused(run):
    called = []

    def main(figure: str, out: Path) -> None:
        called.append((figure, out))

    def told(out: Path, code: str) -> None:
        called.append((out, code))

    def modules(figure: str) -> list[str]:
        return [f"kancore.figures.{figure}"]

    words = ("--figure", "grid_size", "--out", "a.svg")
    other = code_digest(__file__, "kancore.figures.firmness")
    with pytest.raises(SystemExit, match=f"has changed since this job was planned .digest {other}"):
        run(main, *words, "--code", other, modules=modules)
    assert called == []
    run(main, *words, "--code", code_digest(__file__, "kancore.figures.grid_size"), modules=modules)
    alone = code_digest(__file__)
    run(told, "--out", "a.svg", "--code", alone)
    assert called == [("grid_size", Path("a.svg")), (Path("a.svg"), alone)]


def test_a_file_or_the_memory_is_one_line(run):
    def main() -> None:
        Path("/nowhere/a.txt").read_text()

    def large() -> None:
        raise MemoryError("no room for 1 TB")

    with pytest.raises(SystemExit, match=r"No such file or directory: '/nowhere/a\.txt'"):
        run(main, planned=False)
    with pytest.raises(SystemExit, match="no room for 1 TB"):
        run(large, planned=False)


# Runs a program up to the first function of its own that it calls, whatever its arguments are.
UP_TO_MAIN = """
import argparse, gc, os, runpy, sys
from unittest.mock import MagicMock
runner, *programs = sys.argv[1:]
sys.path.insert(0, os.path.dirname(os.path.dirname(runner)))
# What programs import takes them seconds.
import matplotlib.pyplot, pyarrow.parquet, scipy.optimize, scipy.stats, seaborn, kancore.trained
from kancore.machine import program as runs

def given(parser):
    names = (action.dest for action in parser._actions)
    return argparse.Namespace(**{name: MagicMock() for name in names})

def watch(*given, **options):
    print(sys.argv[0], gc.isenabled(), flush=True)
    os._exit(0)

argparse.ArgumentParser.parse_args = given
runs._call = runs.check_code = watch
for program in programs:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    sys.argv = [runner, program]
    runpy.run_path(runner, run_name="__main__")
    os._exit(1)
"""


@pytest.mark.slow
def test_garbage_is_collected_in_every_program():
    """Which the runner puts off while modules are imported."""
    command = [sys.executable, "-P", "-c", UP_TO_MAIN, str(ROOT / "workflow_scripts" / "run.py")]
    done = subprocess.run([*command, *map(str, PROGRAMS)], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{path} True" for path in PROGRAMS], done.stderr
