"""Experiments: which jobs a study has, and what each of them trains."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from kancore import networks, schemes
from kancore.schemes import AXES, BASELINE, COMBINED, Scheme
from kancore.studies import plans
from kancore.studies.changes import changed_by, combined_sweeps
from kancore.studies.config import ConfigError, resolve
from kancore.studies.experiments import EXPERIMENTS, jobs
from kancore.studies.jobs import Job, by_job

ROOT = Path(__file__).resolve().parents[3]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def study(**overrides):
    return resolve({**copy.deepcopy(CONFIG), **overrides})


def of(experiment, **overrides):
    """Jobs of one experiment of a study by name."""
    found = jobs(study(**overrides)).values()
    return {job.name: job for job in found if job.experiment == experiment}


def axes(sweep):
    return {axis: getattr(sweep, axis) for axis in AXES.values()}


@pytest.mark.parametrize("name", CONFIG["studies"])
def test_every_job_has_a_path_of_its_own_and_one_data_set_model_and_objective(name):
    found = jobs(study(study=name))
    assert len(found) == sum(len(list(each(study(study=name)))) for each in EXPERIMENTS.values())
    for path, job in found.items():
        assert path == job.path
        assert path.split("/")[0] == job.experiment
        assert path.rsplit("/", 1)[1].startswith("seed")
        kinds = {(s.dataset, s.architecture.model, s.objective) for s in job.sweeps}
        assert len(kinds) == 1


@pytest.mark.parametrize(
    "grid",
    [{"learning_rates": [0.0001]}, {"optimizers": ["sgd"]}, {"initializations": ["orthogonal"]}],
)
def test_follow_ups_do_not_change_with_schemes_that_may_not_be_chosen(grid):
    assert of("follow_ups", study="quick", **grid) == of("follow_ups", study="quick")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_job_is_the_same_after_json(experiment):
    name = "laptop" if experiment == "audit" else "quick"
    job = next(iter(of(experiment, study=name).values()))
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job


def test_quick_trains_the_depths_of_a_model_in_turn():
    quick = study(study="quick")
    grid = of("grid", study="quick").values()
    assert len(grid) == 2 * 3 * 3
    trained = [sweep for job in grid for sweep in job.sweeps]
    assert sorted(each.name for each in trained) == sorted(each.name for each in quick.sweeps())
    assert {job.label for job in grid} == {"grid"}
    assert len(of("grid", study="paper")) == len(study(study="paper").sweeps())


def test_sweeps_share_a_job_by_family_or_have_one_each():
    sweeps = study(study="quick", seeds=[0, 1]).sweeps()
    together, alone = by_job(sweeps, True), by_job(sweeps, False)
    assert len(alone) == len(sweeps) == sum(map(len, together.values()))
    for name, each in together.items():
        assert {sweep.family for sweep in each} == {name}
    one = replace(sweeps[0], seed=7)
    assert list(by_job([one], True)) == [one.name]  # which says its depth


def follow_ups(**overrides):
    """Follow-ups of quick by name, with other settings."""
    return of("follow_ups", study="quick", follow_ups=overrides)


def architectures(job):
    return [sweep.architecture for sweep in job.sweeps]


def test_activations_and_grid_sizes_vary_the_grids_kans_of_all_depths():
    found = follow_ups(activation={"activations": ["relu", "elu"], "seeds": [0, 4]})
    job = found["activation/digits/seed4"]
    assert [(a.depth, a.activation) for a in architectures(job)] == [
        (depth, name) for depth in ("2layers", "3layers", "4layers") for name in ("relu", "elu")
    ]
    assert {(a.degree, a.grid_size, a.dropout) for a in architectures(job)} == {(3, 5, 0.2)}
    assert {(s.epochs, s.seed, s.objective) for s in job.sweeps} == {(8, 4, "backprop")}
    assert (job.label, job.protocol) == ("activation", "clean")
    grids = follow_ups(grid_size={"grid_sizes": [3, 20]})["grid_size/digits/seed0"]
    assert [a.grid_size for a in architectures(grids)] == [3, 20] * 3


def test_widths_and_degrees_are_those_of_one_and_two_hidden_layers():
    varied = {"widths": [8, 16], "degrees": [1, 2], "seeds": [0]}
    job = follow_ups(width_degree=varied)["width_degree/digits/seed0"]
    assert [(a.hidden_widths, a.degree) for a in architectures(job)] == [
        *[((8,), 1), ((8,), 2), ((16,), 1), ((16,), 2)],
        *[((8, 8), 1), ((8, 8), 2), ((16, 16), 1), ((16, 16), 2)],
        *[((9,), 1), ((18,), 1)],
    ]


@pytest.mark.parametrize("scale", ["trained", "folded"])
def test_widths_of_the_least_degree_have_the_parameters_of_other_degrees(scale):
    """Counted by the networks; where no whole number has as many, two a unit apart enclose it."""
    varied = {"width_degree": {"widths": [8, 16, 32], "degrees": [2, 3, 5], "seeds": [0]}}
    found = of("follow_ups", study="quick", spline_scale=scale, follow_ups=varied)
    kans = architectures(found["width_degree/digits/seed0"])
    with torch.device("meta"):  # shapes alone
        sizes = {
            (*kan.hidden_widths, kan.degree): networks.build(kan, 64, 10, 1).num_parameters
            for kan in kans
            if len(kan.hidden_widths) == 1
        }
    curve = {size: width for (width, degree), size in sizes.items() if degree == 2}
    for size in (size for (_, degree), size in sizes.items() if degree > 2):
        below = max(each for each in curve if each <= size)
        above = min(each for each in curve if each >= size)
        assert curve[above] - curve[below] == (0 if size in curve else 1)


def test_follow_ups_start_from_the_first_kan_of_the_grid():
    changed = {"activations": ["silu", "gelu"], "degrees": [2, 3], "grid_sizes": [9]}
    found = {job.label: job for job in of("follow_ups", study="quick", **changed).values()}
    assert {a.activation for a in architectures(found["grid_size"])} == {"silu"}
    assert {(a.degree, a.grid_size) for a in architectures(found["activation"])} == {(2, 9)}


def test_there_are_follow_ups_only_where_they_are_wanted_and_kans_train():
    assert follow_ups(experiments=[]) == {}
    assert {name.split("/")[0] for name in follow_ups(experiments=["grid_size"])} == {"grid_size"}
    one = follow_ups(experiments={"digits": ["grid_size"], "default": []})
    assert set(one) == {"grid_size/digits/seed0"}
    of_one = follow_ups(experiments={"digits": [], "default": ["activation"]})
    assert {name.split("/")[1] for name in of_one} == {"breast_cancer", "mnist_sample"}
    assert of("follow_ups", study="quick", models=["mlp"]) == {}
    assert of("follow_ups", study="quick", objectives=["hsic"]) == {}


def test_follow_ups_change_nothing_of_the_grid():
    assert study(follow_ups={"experiments": []}).grid == study().grid


def test_follow_ups_wait_for_a_scheme_and_are_trained_by_it():
    job = follow_ups()["activation/digits/seed0"]
    assert job.choice == "chosen/scheme/digits.json"
    scheme = Scheme("sgd", 0.25, "orthogonal")
    chosen = job.chosen({"optimizer": "sgd", "learning_rate": 0.25, "initialization": "orthogonal"})
    assert {sweep.schemes for sweep in chosen.sweeps} == {(scheme,)}
    same = [replace(sweep, **axes(job.sweeps[0])) for sweep in chosen.sweeps]
    assert same == list(job.sweeps)


def test_the_audit_trains_each_protocol_and_nothing_twice():
    found = of("audit", study="laptop").values()
    trained = [sweep for job in found for sweep in job.sweeps]
    assert len(trained) == len(set(trained)) == 102
    by_protocol = {}
    for job in found:
        models = {sweep.architecture.model for sweep in job.sweeps}
        by_protocol.setdefault(job.protocol, set()).update(models)
    assert by_protocol.pop("output_initialization") == by_protocol.pop("leaky_gain") == {"kan"}
    assert by_protocol.pop("pytorch_initialization") == {"mlp", "wide_mlp"}
    assert list(by_protocol)[:2] == ["clean", "published"]
    assert set(map(frozenset, by_protocol.values())) == {frozenset(schemes.MODELS)}
    assert of("audit", study="quick") == {}


def test_the_combination_trains_the_baselines_jobs_under_the_factors_chosen():
    quick = study(study="quick")
    waiting = of("combined", study="quick")
    baseline = [job for job in of("stability", study="quick").values() if job.protocol == BASELINE]
    assert [job.sweeps for job in waiting.values()] == [job.sweeps for job in baseline]
    assert {(job.label, job.protocol) for job in waiting.values()} == {("stability", COMBINED)}
    factors = quick.settings["stability"]["train"][:2]
    sweeps = combined_sweeps(quick, factors)
    plain = {name: [sweep.to_dict() for sweep in each] for name, each in sweeps.items()}
    chosen = [job.chosen({"factors": factors, "jobs": plain}) for job in waiting.values()]
    trained = [sweep for job in chosen for sweep in job.sweeps]
    assert sorted(map(repr, trained)) == sorted(map(repr, changed_by(quick, factors).sweeps()))
    for before, after in zip(waiting.values(), chosen, strict=True):
        assert [(s.dataset, s.architecture.depth, s.seed) for s in before.sweeps] == [
            (s.dataset, s.architecture.depth, s.seed) for s in after.sweeps
        ]


def test_finished_results_of_other_data_are_not_replaced_without_consent():
    small = {"study": "quick", "datasets": ["t"], "models": ["kan"], "depths": ["2layers"]}
    own = [study(**small, data={"own": {"t": file}}) for file in ("one.csv", "other.csv")]
    before, now = (
        {path: plans.digest(job, each.settings["data"]) for path, job in jobs(each).items()}
        for each in own
    )
    assert before.keys() == now.keys()
    with pytest.raises(ConfigError, match=r"finished jobs of results/quick.* name=quick-data"):
        plans.check_replaced(own[1], before, now, [*now], [], {"data"})
    plans.check_replaced(own[0], before, before, [*now], [], set())
    # Plans of before say nothing of data.
    old = {path: digest.split("-")[0] for path, digest in before.items()}
    plans.check_replaced(own[1], old, now, [*now], [], {"data"})
    first, *others = sorted(now)
    left_out = (
        r"1 finished jobs of results/quick, such as .*, are none of this call's.* name=quick-2"
    )
    with pytest.raises(ConfigError, match=left_out):
        plans.check_replaced(own[0], before, dict.fromkeys(others), [], [first], set())
    words = {"imdb": {"words": 7}}
    imdb = [study(**{**small, "datasets": ["imdb"]}, data=each) for each in ({}, words)]
    job = next(iter(jobs(imdb[0]).values()))
    assert plans.digest(job, imdb[0].settings["data"]) != plans.digest(
        job, imdb[1].settings["data"]
    )
