"""Jobs of all kinds, killed wherever they can be, and called again: the same rows as if never."""

from itertools import count

import pytest
import torch

from kancore.data.preparation import make_dataset
from kancore.intrinsic_dimension.landscape import measure_landscape
from kancore.intrinsic_dimension.subspaces import Landscape
from kancore.schemes import Architecture, Sweep
from kancore.training.resources import Shape, memory_mb
from kancore.training.runner import Runner, history_rows

KAN = Architecture("kan", (3,), degree=2, grid_size=3, grid_range=(-1.0, 1.0), dropout=0.2)
MLP = Architecture("mlp", (4,), batch_norm="before_activation")
WILD = 1e30
ORIGIN = {"study": "small", "experiment": "grid", "protocol": "clean", "code": "1"}


class Killed(Exception):
    """The end of a process that could do nothing more."""


def noise(features=6):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(2).repeat(30)
    x = torch.randn(60, features, generator=generator) + y.unsqueeze(1)
    arrays = x[:40], y[:40], x[40:], y[40:]
    return make_dataset("noise", *arrays, class_names=("a", "b"), source="made here")


def sweep(architecture=KAN, **options):
    defaults = {
        **{"optimizers": ("adam", "sgd"), "learning_rates": (0.05,), "seed": 0},
        **{"initializations": ("orthogonal", "kaiming_normal"), "epochs": 2, "batch_size": 16},
    }
    return Sweep("noise", "backprop", architecture, **(defaults | options))


def landscape(**options):
    defaults = {
        **{"projection": "dense", "dimensions": (2, 8), "refinements": 1, "seed": 0},
        **{"epochs": 3, "batch_size": 16, "learning_rate": 0.01},
    }
    network = Architecture("mlp", (4,), activation="relu")
    return Landscape("noise", "backprop", network, **(defaults | options))


def train(sweeps, folder, should_stop, dataset=None, limit=10_000):
    """Rows of the table of a job, in so many MB, and the networks that it keeps."""
    rows, kept = [], []
    options = "cpu", 0, "code", should_stop, False, limit, "all"
    for training, found in Runner(sweeps, folder).run(dataset or noise(), *options):
        should_stop()
        rows += history_rows(training, found, **ORIGIN)
        kept += [str(each) for each in training.state.kept]
    return rows, sorted(kept)


def in_parts(folder, should_stop):
    given = sweep(Architecture("mlp", (64,)))
    limit = memory_mb(given, Shape(2000, 2, 40, 20), given.schemes[:2])
    return train([given], folder, should_stop, noise(2000), limit)


def measure(what, folder, should_stop):
    return measure_landscape(
        what, noise(), "cpu", folder, 0, "code", lambda training: should_stop(), should_stop
    )


JOBS = {
    "one sweep": lambda *given: train([sweep()], *given),
    "sweeps in turn, of which one diverges": lambda *given: train(
        [sweep(learning_rates=(0.05, WILD)), sweep(learning_rates=(WILD,)), sweep(MLP)], *given
    ),
    "warm start": lambda *given: train([sweep(warm_start=True)], *given),
    "warm start that diverges": lambda *given: train(
        [sweep(warm_start=True, optimizers=("sgd",), learning_rates=(0.05, WILD))], *given
    ),
    "parts in turn": in_parts,
    "landscape": lambda *given: measure(landscape(), *given),
    "landscape out of patience": lambda *given: measure(landscape(patience=1), *given),
    "landscape that diverges": lambda *given: measure(landscape(learning_rate=WILD), *given),
}


def kill_after(calls):
    """Give a `should_stop` that says no so often, and never returns again."""
    left = iter(range(calls))

    def should_stop():
        if next(left, None) is None:
            raise Killed
        return False

    return should_stop


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_job_that_is_killed_anywhere_goes_on_to_the_same_rows(job, tmp_path):
    undisturbed = job(tmp_path / "undisturbed", lambda: False)
    for calls in count():
        folder = tmp_path / str(calls)
        try:
            found = job(folder, kill_after(calls))
        except Killed:
            assert job(folder, lambda: False) == undisturbed
        else:
            break
    assert calls > 3
    assert found == undisturbed
    # It has ended, and did not come to write its table.
    assert job(folder, lambda: False) == undisturbed
