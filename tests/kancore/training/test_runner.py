"""Jobs: sweeps in turn, taken up again where they were stopped, progress, rows."""

import json
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch

from kancore.data.preparation import make_dataset
from kancore.layers import local_support
from kancore.machine.interruption import Stopped
from kancore.schemes import AXES, Architecture, Sweep
from kancore.tables import HISTORY, TIMINGS
from kancore.training.loop import Training
from kancore.training.runner import Runner, history_rows
from kancore.training.timings import timing

OPTIONS = ("cpu", 60, "code")
ORIGIN = {"study": "small", "experiment": "activation", "protocol": "clean"}


@pytest.fixture(scope="module")
def dataset():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(120, 4, generator=generator), torch.arange(2).repeat(60)
    names = ("a", "b")
    return make_dataset("noise", x[:80], y[:80], x[80:], y[80:], class_names=names, source="here")


def sweeps(scheme=("adam", 0.005, "orthogonal")):
    kans = tuple(Architecture("kan", (3,), name, 3, 5, (-1.0, 1.0)) for name in ("gelu", "elu"))
    axes = dict(zip(AXES.values(), ((value,) for value in scheme), strict=True))
    options = {"epochs": 2, "batch_size": 16}
    return [Sweep("noise", "backprop", kan, 0, **axes, **options) for kan in kans]


def test_sweeps_in_turn_are_those_alone(dataset, tmp_path):
    job = Runner(sweeps(), tmp_path)
    for (training, rows), sweep in zip(job.run(dataset, *OPTIONS), sweeps(), strict=True):
        assert training.sweep == sweep
        assert rows == Training(sweep, dataset).run()


def test_a_job_that_was_stopped_does_not_train_again_what_had_ended(dataset, tmp_path):
    first = next(Runner(sweeps(), tmp_path).run(dataset, *OPTIONS))
    again = list(Runner(sweeps(), tmp_path).run(dataset, *OPTIONS))
    assert again[0][1] == first[1]
    assert again[0][0].state.clock.training == first[0].state.clock.training
    assert [training.state.clock.resumes for training, _ in again] == [1, 0]
    undisturbed = list(Runner(sweeps(), tmp_path / "else").run(dataset, *OPTIONS))
    assert [rows for _, rows in again] == [rows for _, rows in undisturbed]


@pytest.mark.parametrize("calls", [3, 20])  # in the first sweep, and in the second
def test_a_job_that_is_told_to_stop_goes_on_where_it_was(calls, dataset, tmp_path):
    asked = count()
    job = Runner(sweeps(), tmp_path)
    ended = []
    with pytest.raises(Stopped):
        ended.extend(job.run(dataset, *OPTIONS, should_stop=lambda: next(asked) == calls))
    assert len(ended) == (calls == 20)
    again = list(Runner(sweeps(), tmp_path).run(dataset, *OPTIONS))
    assert [rows for _, rows in again] == [Training(sweep, dataset).run() for sweep in sweeps()]


def test_a_sweep_that_diverges_stops_no_other(dataset, tmp_path):
    wild = sweeps(("sgd", 1e30, "orthogonal"))
    for _ in range(2):
        found = list(Runner(wild, tmp_path).run(dataset, *OPTIONS))
        assert [rows[-1]["diverged"] for _, rows in found] == [True, True]


def test_progress_is_told_while_a_job_runs_and_removed_with_its_checkpoints(dataset, tmp_path):
    job = Runner(sweeps(), tmp_path)
    running = job.run(dataset, *OPTIONS)
    next(running)
    at = json.loads((tmp_path / "progress.json").read_text())
    list(running)
    assert (at["sweep"], at["sweeps"], at["epochs"], at["schemes"]) == (1, 2, 2, 1)
    best = at["best_accuracy"]  # none before the first evaluation
    assert best is None or 0 <= best <= 1
    assert len(list(tmp_path.glob("*.pt"))) == 1
    job.remove_traces()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fraction", [0.1, 0.0])
def test_rows_fill_the_tables(fraction, dataset, tmp_path):
    given = [replace(each, validation_fraction=fraction) for each in sweeps()]
    for training, rows in Runner(given, tmp_path).run(dataset, *OPTIONS):
        for row in history_rows(training, rows, **ORIGIN, code="abc"):
            assert set(row) == set(HISTORY.names)
            assert (row["validation_accuracy"] is None) == (fraction == 0)
            assert row["parameters"] == 10 * (4 * 3 + 3 * 2)
        row = timing(training, 1, **ORIGIN)
        assert set(row) == set(TIMINGS.names)
        assert (row["schemes"], row["epochs"], row["sweep"]) == (1, 2, training.sweep.name)
        assert np.isfinite(row["seconds"])
        capability = torch.backends.cpu.get_cpu_capability()
        assert row["device"].endswith(f" cores, {capability}, kernels: {local_support.FORM}")
