"""A copy of the project with a tiny study that has run, and its plans."""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from kancore.machine.locks import first_free

ROOT = Path(__file__).resolve().parents[2]
PROJECT = (
    "Snakefile",
    "config.yaml",
    "envs",
    "kancore",
    "profiles",
    "published",
    "report",
    "rules",
    "workflow_scripts",
)
TINY = """
study: tiny
studies:
  tiny:
    datasets: [digits]
    models: [mlp, kan]
    depths: [2layers]
    learning_rates: [0.005]
    train_examples: 200
    epochs: 2
    evaluate_every: 1
    batch_size: 50
    replace: true
    follow_ups:
      activation: {activations: [gelu, silu], seeds: [0]}
      width_degree: {widths: [4, 8], degrees: [2, 3], seeds: [0]}
      grid_size: {grid_sizes: [3, 5], seeds: [0]}
    intrinsic_dimension:
      seeds: [0]
      dimensions: {lowest: 20, highest: 200, count: 2}
      refinements: 1
      epochs: 4
      learning_rate: 0.01
    departures:
      budget: {batch_size: {default: 40}, epochs: {default: 4}}
    audit:
      departures: [warm_start, output_initialization]
      settings: {datasets: [digits], depths: [2layers], learning_rates: [0.005], seeds: [0]}
    stability:
      train: [residual]
      settings: {depths: [2layers], seeds: [0]}
"""


@pytest.hookimpl(tryfirst=True)  # tests are sorted by it
def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:  # those of other folders are among them
        if here in item.path.parents:
            item.add_marker(pytest.mark.workflow)


WARM = Path(__file__).with_name("warm")
# Seconds after which a test ends what hangs; long, as a machine may be slow and busy.
PATIENCE = 1800


class Project:
    """A folder with the project's code and whatever it has made."""

    # Options that leave out of a study all but its grid.
    GRID_ALONE = (
        'follow_ups={"experiments": []}',
        'audit={"departures": []}',
        'stability={"train": []}',
        'intrinsic_dimension={"networks": []}',
    )

    def __init__(self, path: Path, warm: Path | None = None):
        self.path = path
        # How Python is told to run snakemake.
        self.program: tuple[str, ...] = ("-m", "snakemake")
        # Socket of a warm interpreter for snakemake and the programs of jobs; tests that look for
        # the processes of jobs, to stop or to kill them, set it to None.
        self.warm = warm

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run snakemake on the tiny study; give what it printed."""
        done = self._start(*arguments, WARM_SNAKEMAKE="yes")
        output, _ = done.communicate(timeout=PATIENCE)
        assert not check or done.returncode == 0, output
        return output

    def start(self, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen:
        """Start snakemake on the tiny study; it waits where nobody reads a full pipe."""
        return self._start(*arguments, stdout=stdout)

    def _start(self, *arguments, stdout=subprocess.PIPE, **variables):
        command = [sys.executable, *self.program, *arguments, "--configfile", "tiny.yaml"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        if self.warm is not None:
            environment |= {"WARM_INTERPRETER": str(self.warm), "PYTHONPATH": str(WARM)}
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=environment,
            text=True,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )

    def plan(self, *arguments: str) -> dict[str, int]:
        """Number of jobs of each rule that a dry run would start."""
        output = self.snakemake("--cores", "1", "--dry-run", *arguments)
        if "Nothing to be done" in output:
            return {}
        stats = output.split("Job stats:")[1].split("total")[0]
        jobs = {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)\s*$", stats, re.MULTILINE)}
        jobs.pop("all", None)
        return jobs

    def training_processes(self) -> list[psutil.Process]:
        """Processes that train in this folder; two of one job while it starts another program."""
        return [
            process
            for process in psutil.process_iter(["cmdline", "cwd"])
            if "workflow_scripts/train.py" in (process.info["cmdline"] or ())
            and process.info["cwd"] == str(self.path)
        ]

    @staticmethod
    def wait_until(condition: Callable[[], Any], run: subprocess.Popen) -> Any:
        """What a condition gives once it comes true, or its last answer if a run ends before."""
        while not (met := condition()) and run.poll() is None:
            time.sleep(0.05)
        return met

    def append(self, path: str, line: str = "_edited = 1") -> None:
        """Add a line to a file."""
        with open(self.path / path, "a") as file:
            file.write(f"\n{line}\n")


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that processes have in common which share the tests."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def warm(shared):
    """Socket of an interpreter that has imported what programs of jobs need.

    Processes that share the tests share it; it ends with the one that has started them.
    """
    path = shared / "warm"
    user = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    command = [sys.executable, "-P", str(WARM / "server.py"), str(path), str(user)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    with first_free([shared / "warm.lock"], waiting=""):
        if not path.exists():
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
            while not path.exists():
                assert server.poll() is None
                time.sleep(0.05)
    return path


@pytest.fixture(scope="session")
def finished(shared, warm):
    """The project after a run of the tiny study; tests work on copies.

    Processes that share the tests share it: the first one runs the study.
    """
    path = shared / "finished"
    with first_free([shared / "finished.lock"], waiting=""):
        if not path.exists():
            _run_tiny_study(shared / "unfinished", warm).rename(path)
    return Project(path, warm)


def _run_tiny_study(path, warm):
    path.mkdir()
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, path / name)
    # Copies have other time stamps: content tells whether what was compiled still holds.
    for name in ("kancore", "workflow_scripts"):
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        assert compileall.compile_dir(path / name, quiet=1, invalidation_mode=mode)
    (path / "tiny.yaml").write_text(TINY)
    with open(path / "snakemake.log", "w+") as log:
        running = Project(path, warm).start("--cores", "2", stdout=log.fileno())
        threads = [psutil.Process(running.pid).num_threads()]
        while running.poll() is None:
            with suppress(psutil.Error):  # it may have ended by now
                threads.append(psutil.Process(running.pid).num_threads())
            time.sleep(0.5)
        log.seek(0)
        assert running.returncode == 0, log.read()
    (path / "threads.txt").write_text(str(max(threads)))
    return path


@pytest.fixture
def project(finished, warm, tmp_path):
    """A copy of the finished project, with time stamps of now as a fresh clone's."""
    path = tmp_path / "clone"
    shutil.copytree(finished.path, path, copy_function=shutil.copyfile)
    return Project(path, warm)
