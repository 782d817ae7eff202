"""Whatever configuration is accepted is planned, and trains."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings

from kancore.schemes import ACTIVATIONS, INITIALIZATIONS, OPTIMIZERS, PLACES, Keep
from kancore.studies.config import ConfigError, resolve
from kancore.studies.experiments import MOST_JOBS, jobs
from kancore.studies.jobs import Job
from kancore.tables import HISTORY, read_table, write_table
from kancore.trained import load
from kancore.training.loop import Training
from kancore.training.runner import history_rows
from kancore.training.stored import described, write_networks

ROOT = Path(__file__).resolve().parents[3]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
# Linux gives an argument so many bytes, and file systems so many of a name.
ARGUMENT, NAME = 128 * 1024, 255

KEEPS = get_args(Keep)

counts = st.integers(1, 10**9)
shares = st.floats(0, 0.9)
rates = st.lists(st.floats(1e-6, 10), min_size=1, max_size=40, unique=True)
choices = {
    "keep": st.sampled_from(KEEPS),
    "name": st.none() | st.from_regex(r"[\w.-]{1,120}", fullmatch=True),
    "replace": st.booleans(),
    "seeds": st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True),
    "learning_rates": rates,
    "optimizers": st.lists(st.sampled_from(OPTIMIZERS), min_size=1, unique=True),
    "initializations": st.lists(st.sampled_from(INITIALIZATIONS), min_size=1, unique=True),
    "activations": st.lists(st.sampled_from(ACTIVATIONS), min_size=1, max_size=2, unique=True),
    "degrees": st.lists(st.integers(1, 5), min_size=1, max_size=2, unique=True),
    "grid_sizes": st.lists(st.integers(1, 1000), min_size=1, max_size=2, unique=True),
    "grid_range": st.tuples(st.floats(-9, -0.1), st.floats(0.1, 9)).map(list),
    "spline_scale": st.sampled_from(["trained", "folded"]),
    "gain": st.sampled_from(["rectifier", "leaky", "preserving", "balanced"]),
    "moving_grid": st.booleans(),
    "residual": st.booleans(),
    "batch_norm": st.sampled_from([None, *PLACES]),
    "layer_norm": st.sampled_from([None, *PLACES]),
    "dropout": shares,
    "outputs": st.none() | st.integers(2, 40),
    "wide_factor": st.just("matched") | st.integers(1, 40),
    "batch_size": counts,
    "epochs": counts,
    "evaluate_every": counts,
    "clip_norm": st.none() | st.floats(1e-3, 1e3),
    "label_smoothing": shares,
    "weight_decay": st.none() | st.floats(0, 1),
    "warmup_epochs": st.integers(0, 3),
    "rate_decay": st.sampled_from([None, "cosine"]),
    "train_examples": st.none() | counts,
    "validation_fraction": st.just(0) | st.floats(0.02, 0.5),  # of few examples less leaves none
    "flips": st.booleans(),
    "warm_start": st.booleans(),
    "relu_logits": st.booleans(),
    "scaling": st.sampled_from(["standardize", "unit", "symmetric"]),
    "stack": st.sampled_from([[], ["optimizer"], ["optimizer", "learning_rate"]]),
    "depths_in_turn": st.booleans(),
    "objectives": st.sampled_from([["backprop"], ["hsic"], ["backprop", "hsic"]]),
    "hidden_widths": st.lists(st.integers(1, 10**4), min_size=2, max_size=98).map(
        lambda widths: {"default": {"2layers": widths[:1], f"{len(widths) + 1}layers": widths}}
    ),
}


@st.composite
def configurations(draw, small=False):
    drawn = draw(st.fixed_dictionaries({}, optional=choices))
    depths = [*drawn.get("hidden_widths", {"default": {"2layers": [32]}})["default"]]
    if draw(st.booleans()):  # others for one model, or for one data set
        key = draw(st.sampled_from(["kan", "wide_mlp", "digits"]))
        depths = {key: draw(st.sampled_from([depths[:1], depths[1:] or depths])), "default": depths}
    alone = {"follow_ups": {"experiments": []}, "audit": {"departures": []}}
    alone |= {"stability": {"train": []}, "intrinsic_dimension": {"networks": []}}
    if small:
        some = {"epochs": 2, "evaluate_every": 1, "batch_size": 20, "train_examples": None}
        drawn |= {"stack": [*CONFIG["defaults"]["stack"]], "learning_rates": [0.05, 0.005], **some}
        drawn["hidden_widths"] = {"default": {"2layers": [5], "3layers": [4, 3]}}
        depths = ["2layers", "3layers"]
        drawn["grid_sizes"] = [min(drawn.get("grid_sizes", [5])[0], 20)]
    return {"study": "quick", "datasets": ["digits"], "depths": depths, **alone, **drawn}


def planned(configuration):
    """Jobs of a configuration; one that is refused is told in one line."""
    try:
        return jobs(resolve({**copy.deepcopy(CONFIG), **configuration}))
    except ConfigError as error:
        told = str(error)
    assert told.startswith("config: ")
    assert "\n" not in told
    assume(False)


@settings(
    max_examples=60,
    deadline=None,
    # These take the place of the profile's, so the one on slow machines is among them.
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(configurations())
def test_every_job_fits_a_command_line_and_a_file_system(configuration):
    found = planned(configuration)
    assert 0 < len(found) <= MOST_JOBS
    for path, job in found.items():
        described = json.dumps(job.to_dict())
        assert len(described) < ARGUMENT
        assert Job.from_dict(json.loads(described)) == job
        assert all(len(f"{part}.parquet") <= NAME for part in path.split("/"))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
@given(configuration=configurations(small=True), number=st.integers(0))
def test_every_sweep_trains_to_a_table(configuration, number, dataset, tmp_path_factory):
    found = [sweep for job in planned(configuration).values() for sweep in job.sweeps]
    sweep = replace(found[number % len(found)], dataset=dataset.name)
    start = None
    for stage in sweep.stages()[:2]:
        training = Training(stage, dataset, start=start, keep=configuration.get("keep", "best"))
        rows = training.run()
        start = training.state_dicts() if sweep.warm_start else None
        origin = {"study": "s", "experiment": "grid", "protocol": "clean", "code": "c" * 16}
        path = tmp_path_factory.mktemp("table") / "history.parquet"
        write_table(path, history_rows(training, rows, **origin), HISTORY)
        table = read_table(path, HISTORY)
        assert len(table) == len(rows)
        trained = table[~table["diverged"]]
        assert trained["test_accuracy"].between(0, 1).all()
        assert trained["test_loss"].notna().all()
        path = path.with_name("networks.safetensors")
        write_networks(path, kept := described(training, dataset, **origin))
        if kept:
            found = load(path).about["test_accuracy"]
            assert (table["test_accuracy"] == found).any()
