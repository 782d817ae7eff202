"""Configurations: what the studies hold, and what a wrong one is told."""

import ast
import copy
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from kancore import networks, objectives, schemes
from kancore.intrinsic_dimension.subspaces import REFERENCE
from kancore.studies.changes import audit_plan
from kancore.studies.config import ConfigError, resolve
from kancore.studies.expected import keys
from kancore.studies.experiments import FOLLOW_UPS, jobs
from kancore.studies.settings import Settings
from kancore.studies.study import Study

ROOT = Path(__file__).resolve().parents[3]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def study(**overrides):
    return resolve({**copy.deepcopy(CONFIG), **overrides})


def test_a_name_may_be_a_number():
    assert resolve({**CONFIG, "study": "quick", "name": 12}).name == "12"


def test_schemes_name_the_modules_that_there_are():
    assert set(schemes.MODELS) == set(networks.MODULES)
    assert set(schemes.OBJECTIVES) == set(objectives.MODULES)


def test_every_follow_up_has_axes():
    assert set(CONFIG["defaults"]["follow_ups"]) == {"experiments", *FOLLOW_UPS}


def documented(source):
    """Documentation by field of the classes of a module: the text below each field."""
    for kind in ast.parse(source).body:
        for each, text in itertools.pairwise(kind.body if isinstance(kind, ast.ClassDef) else ()):
            if isinstance(each, ast.AnnAssign) and isinstance(text, ast.Expr):
                yield each.target.id, " ".join(text.value.value.split())


def explained(page):
    """Comments by key of the defaults of a configuration."""
    comment = []
    for line in page[page.index("\ndefaults:") : page.index("\nstudies:")].splitlines():
        if line.startswith("  #"):
            comment.append(line.removeprefix("  # "))
        elif line.startswith("  ") and line[2].isalpha():
            yield line.strip().partition(":")[0], " ".join(comment)
            comment = []


def test_the_page_explains_every_setting_as_its_field_does():
    page = dict(explained((ROOT / "config.yaml").read_text()))
    assert page.keys() == CONFIG["defaults"].keys() == Settings.model_fields.keys()
    for key, value in CONFIG["defaults"].items():
        assert not keys([key]) or set(keys([key])) == set(value)
    fields = dict(documented((ROOT / "kancore" / "schemes.py").read_text()))
    assert {"clip_norm", "dropout", "epochs"} <= fields.keys() & page.keys()
    for key in fields.keys() & page.keys():
        words = fields[key].replace("``None``", "null").replace("`", "")
        assert page[key].endswith(words), f"config.yaml should say of {key}: {words}"


@pytest.mark.parametrize("name", CONFIG["studies"])
def test_every_study_resolves_and_names_each_sweep_once(name):
    sweeps = study(study=name).sweeps()
    assert len({sweep.name for sweep in sweeps}) == len(sweeps)


def test_quick_is_all_architectures_and_schemes_on_data_that_need_no_network():
    quick = study(study="quick")
    assert quick.settings["datasets"] == ["digits", "breast_cancer", "mnist_sample"]
    sweeps = quick.sweeps()
    assert len(sweeps) == 2 * 3 * 9
    assert {len(sweep.schemes) for sweep in sweeps} == {27}


def test_paper_has_its_grid():
    paper = study(study="paper", seeds=[0])
    backprop = [sweep for sweep in paper.sweeps() if sweep.objective == "backprop"]
    assert len(backprop) == 5 * 9
    higgs = [sweep for sweep in backprop if sweep.dataset == "higgs"]
    assert {sweep.epochs for sweep in higgs} == {6}
    assert {sweep.batch_size for sweep in higgs} == {20000}
    widths = {(s.architecture.model, s.architecture.hidden_widths) for s in higgs}
    assert ("kan", (1024, 512, 256)) in widths
    assert ("wide_mlp", (10240, 5120, 2560)) in widths


def test_overrides_beat_the_study_and_the_study_beats_the_defaults():
    config = {**CONFIG, "study": "quick"}
    assert resolve(config).settings["epochs"]["default"] == 8
    assert resolve({**config, "epochs": 3}).settings["epochs"] == 3
    assert resolve(config).settings["dropout"] == 0.2


def test_a_mapping_overrides_entry_by_entry():
    data = study(data={"mirror": "here", "imdb": {"words": 9}}).settings["data"]
    assert data["mirror"] == "here"
    assert data["imdb"] == {**CONFIG["defaults"]["data"]["imdb"], "words": 9}
    assert study(epochs={"digits": 7}).settings["epochs"]["mnist_sample"] == 3


def test_a_data_set_of_ones_own_is_one_like_any_other():
    mine = study(datasets=["mine"], data={"own": {"mine": "my.npz"}})
    assert {sweep.dataset for sweep in mine.sweeps()} == {"mine"}


def test_a_model_of_ones_own_is_trained_by_backpropagation_in_its_depths():
    some = study(
        **{"datasets": ["digits"], "models": ["kan", "rbf_kan:build", "my.package:kan"]},
        **{"objectives": ["backprop", "hsic"], "activations": ["gelu", "silu"], "degrees": [2, 3]},
        **{"protocol": "published", "intrinsic_dimension": {"networks": ["architectures"]}},
    )
    own = [sweep for sweep in some.sweeps() if sweep.architecture.own]
    assert {sweep.objective for sweep in own} == {"backprop"}
    names = [
        f"{model}-{widths}"
        for model in ("rbf_kan.build", "my.package.kan")
        for widths in ("32", "64x32", "128x64x32")
    ]
    assert [sweep.architecture.name for sweep in own] == names
    assert {sweep.architecture.activation for sweep in own} == {None}
    assert {sweep.objective for sweep in some.sweeps()} == {"backprop", "hsic"}
    landscapes = [each for each in some.landscapes() if each.architecture.own]
    assert [each.architecture.name for each in landscapes] == names


def test_hsic_has_nothing_to_train_of_models_of_ones_own():
    with pytest.raises(ConfigError, match=r"objectives is .*expected backprop"):
        study(models=["rbf_kan:build"], objectives=["hsic"])
    alone = study(models=["rbf_kan:build"], objectives=["backprop", "hsic"])
    assert {sweep.objective for sweep in alone.sweeps()} == {"backprop"}


def test_schemes_of_ones_own_have_jobs_of_their_own():
    """So those of the others are the same jobs as without, and are not trained again."""
    grid = {"datasets": ["digits"], "models": ["mlp", "kan"], "learning_rates": [0.05, 0.005]}
    grid["stack"] = ["initialization", "optimizer"]
    optimizers, initializations = ["adam", "sgd"], ["orthogonal", "kaiming_normal"]
    plain = study(**grid, optimizers=optimizers, initializations=initializations)
    more = study(
        **{**grid, "optimizers": ["a.b:Lion", *optimizers], "warm_start": False},
        initializations=[*initializations, "mine:fill"],
    )
    expected, found = jobs(plain), jobs(more)
    assert {path: found[path] for path in expected} == expected
    others = [sweep for path in found if path not in expected for sweep in found[path].sweeps]
    assert all(sweep.own for sweep in others)
    parts = {"a.b.Lion-0.05", "0.05-mine.fill", "a.b.Lion-0.05-mine.fill"}
    assert {sweep.part for sweep in others if sweep.learning_rates == (0.05,)} == parts
    assert not any(":" in path for path in found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizers": ["Adam"]},
            r"optimizers\.0 is 'Adam'; expected a list of different optimizers: sgd, sgd_momentum, "
            r"adam, or module:function of your own, or one for each model or data set",
        ),
        (
            {"initializations": {"kan": ["he"], "default": ["orthogonal"]}},
            r"initializations\.kan\.0 is 'he'; expected a list of different initializations: "
            r"kaiming_normal, kaiming_uniform, orthogonal, or module:function of your own",
        ),
        (
            {"optimizers": ["sgd", "mine:Lion"], "protocol": "published"},
            r"optimizers is 'mine:Lion'; expected sgd, sgd_momentum, adam, as warm_start is true",
        ),
    ],
)
def test_what_no_scheme_may_be_is_told(changes, message):
    with pytest.raises(ConfigError, match=message):
        study(**changes)


def test_text_from_a_command_line_is_read_as_numbers():
    text = {"seeds": ["0", "1"], "learning_rates": ["1e-3", "0.5"], "train_examples": "null"}
    typed = {"seeds": [0, 1], "learning_rates": [0.001, 0.5], "train_examples": None}
    assert study(**text).settings == study(**typed).settings
    assert study(epochs={"default": "3"}, relu_logits="true").settings["relu_logits"] is True


def test_data_sets_may_be_called_like_numbers_and_other_words():
    names = ["2024", "1e5", "null", "true", "nan"]
    mine = study(datasets=names, data={"own": dict.fromkeys(names, "my.npz")})
    assert list(dict.fromkeys(sweep.dataset for sweep in mine.sweeps())) == names
    assert study(datasets=["a"], data={"own": {"a": "parts/"}}).settings["datasets"] == ["a"]


def test_hsic_has_settings_batch_size_and_epochs_of_its_own():
    hsic = {"term": "x", "sigma": 7, "batch_size": 99, "epochs": {"digits": 3, "default": None}}
    names = ["digits", "breast_cancer"]
    both = study(
        study="paper",
        seeds=[0],
        datasets=names,
        objectives=["backprop", "hsic"],
        hsic=hsic,
        epochs=8,
    )
    assert len(both.sweeps()) == 2 * 2 * 9
    for sweep in both.sweeps():
        if sweep.objective == "backprop":
            assert sweep.hsic is None
            assert sweep.batch_size == 4096
        else:
            assert (sweep.hsic.term, sweep.hsic.sigma, sweep.hsic.weight) == ("x", 7, 100)
            assert sweep.batch_size == 99
            assert sweep.epochs == (3 if sweep.dataset == "digits" else 8)


def test_the_authors_settings_of_hsic():
    """Of their code's figure 4: task_hsicsolve-beta.sh and hsicsolve-beta.yaml."""
    ma2020 = study(study="ma2020")
    weights = {
        each.dataset: each.hsic.weight for each in ma2020.sweeps() if each.objective == "hsic"
    }
    assert weights == {"mnist": 200, "fashion_mnist": 1000, "cifar10": 2500}
    trained = next(each for each in ma2020.sweeps() if each.objective == "hsic")
    assert trained.hsic == schemes.HsicBottleneck(
        term="x", weight=200, sigma=6, output="hsic", normalization="batch_norm"
    )
    assert (trained.batch_size, trained.epochs, trained.scaling) == (256, 5, "unit")
    assert 0.001 in trained.learning_rates
    assert trained.architecture.hidden_widths == (1024,) * 5
    with pytest.raises(ConfigError, match=r"hsic.weight is .*expected a value for digits"):
        study(datasets=["digits"], hsic={"weight": {"mnist": 200}})


def test_batches_of_one_are_refused_where_examples_of_a_batch_are_compared():
    kans = {"kan": "after_activation", "default": None}
    for changes, words in (
        ({"hsic": {"batch_size": 1}}, "hsic.batch_size is 1; expected a whole number from 2"),
        (
            {"batch_size": 1, "batch_norm": kans},
            "batch_size is 1; expected 2 at least, as there is batch_norm",
        ),
        ({"hsic": {"sigma": 1e30}}, "hsic.sigma is 1e.30; expected "),
    ):
        with pytest.raises(ConfigError, match=words):
            study(**changes)
    study(batch_size=1)
    study(batch_size=1, models=["mlp"], batch_norm=kans, stability={"train": []})


def test_networks_that_hsic_trains_are_normalized_as_it_says():
    def architectures(**settings):
        settings = {"datasets": ["mnist"], "objectives": ["backprop", "hsic"]} | settings
        sweeps = study(
            study="laptop", seeds=[0], batch_norm="after_activation", **settings
        ).sweeps()
        for objective in ("backprop", "hsic"):
            found = {each.architecture for each in sweeps if each.objective == objective}
            yield {(each.batch_norm, each.layer_norm, each.normalization_affine) for each in found}

    own = {("after_activation", None, True)}
    for normalization, expected in (
        ("batch_norm", {("before_activation", None, False)}),
        ("layer_norm", {(None, "before_activation", False)}),
        (None, own),
    ):
        assert [*architectures(hsic={"normalization": normalization})] == [own, expected]
    published = study(study="published").sweeps()
    mlps = {each.architecture for each in published if each.architecture.model == "mlp"}
    assert {(each.batch_norm, each.layer_norm, each.normalization_affine) for each in mlps} == own


def test_landscapes_are_of_every_data_set_network_and_seed():
    epochs = {"mnist_sample": 9, "digits": 7, "default": 30}
    options = {"seeds": [3, 4], "epochs": epochs, "projection": "sparse"}
    every = {"mnist_sample": 2, "default": 3}
    some = study(
        study="quick", intrinsic_dimension=options, train_examples=300, evaluate_every=every
    )
    landscapes = some.landscapes()
    assert len(landscapes) == 3 * 2
    for landscape in landscapes:
        assert landscape.architecture == REFERENCE
        assert (
            landscape.epochs
            == {"digits": 7, "mnist_sample": 9, "breast_cancer": 30}[landscape.dataset]
        )
        assert (landscape.projection, landscape.train_examples) == ("sparse", 300)
        assert landscape.evaluate_every == (2 if landscape.dataset == "mnist_sample" else 3)
    assert study(**{**some.settings, "datasets": ["digits"]}).landscapes()[0].seed == 3
    both = {"networks": ["architectures", "reference"], "seeds": [0]}
    landscapes = study(study="quick", intrinsic_dimension=both).landscapes()
    assert len({landscape.name for landscape in landscapes}) == len(landscapes) == 3 * (1 + 9)
    assert study(intrinsic_dimension={"networks": []}).landscapes() == []


def test_landscape_settings_are_all_that_landscapes_need():
    quick = study(study="quick")
    assert Study("quick", quick.landscape_settings).landscapes() == quick.landscapes()


def test_paper_measures_the_published_landscapes():
    landscapes = study(study="paper").landscapes()
    assert len(landscapes) == 5 * 3
    for landscape in landscapes:
        assert (landscape.batch_size, landscape.projection) == (128, "fastfood")
        assert landscape.dimensions[0] < 100
        assert landscape.dimensions[-1] > 9000


def test_one_value_for_each_data_set_or_model():
    mixed = study(
        study="quick",
        objectives=["backprop"],
        epochs={"default": 2, "digits": 5, "mnist_sample": 2},
        dropout={"mlp": 0.1, "kan": 0.0, "wide_mlp": 0.3},
    )
    for sweep in mixed.sweeps():
        assert sweep.epochs == (5 if sweep.dataset == "digits" else 2)
        expected = {"mlp": 0.1, "kan": 0.0, "wide_mlp": 0.3}[sweep.architecture.model]
        assert sweep.architecture.dropout == expected


@pytest.mark.parametrize("axes", [[], ["optimizer"], ["initialization", "learning_rate"]])
def test_stack_splits_sweeps_into_jobs_without_losing_a_scheme(axes):
    jobs = study(study="quick", stack=axes).sweeps()
    whole = study(study="quick").sweeps()
    assert len(jobs) == len(whole) * 3 ** (3 - len(axes))
    assert len({job.name for job in jobs}) == len(jobs)
    assert sum(len(job.schemes) for job in jobs) == sum(len(sweep.schemes) for sweep in whole)


def test_published_makes_every_departure():
    published = study(study="published")
    assert published.protocol == "published"
    sweeps = {}
    for sweep in published.sweeps():
        architecture = sweep.architecture
        key = sweep.dataset, sweep.objective, architecture.model, architecture.depth
        sweeps[key] = sweep
    kan, mlp = (sweeps["mnist", "backprop", model, "2layers"] for model in ("kan", "mlp"))
    for sweep in (kan, mlp):
        assert (sweep.warm_start, sweep.whole_test_batches, sweep.flips) == (True, True, False)
        assert (sweep.batch_size, sweep.epochs, sweep.evaluate_every) == (4096, 100, 2)
        assert (sweep.first_evaluation, sweep.scaling) == (1, "unit")
        assert sweep.learning_rates == (0.0005, 0.005, 0.05)
        assert sweep.initializations == ("kaiming_normal", "kaiming_uniform")
        assert sweep.validation_fraction == 0
        assert sweep.architecture.relu_logits
        assert len(sweep.schemes) == 18
    assert (kan.architecture.dropout, kan.architecture.batch_norm) == (0, None)
    assert (kan.architecture.activation, kan.architecture.output_activation) == ("silu", "silu")
    assert (kan.architecture.gain, kan.architecture.spline_scale) == ("leaky", "trained")
    assert (mlp.architecture.dropout, mlp.architecture.batch_norm) == (0, "after_activation")
    assert (mlp.architecture.activation, mlp.architecture.output_initialization) == (
        *("relu", "pytorch"),
    )
    assert kan.architecture.hidden_initialization == "kaiming_uniform"
    assert mlp.architecture.hidden_initialization is None
    cifar10 = sweeps["cifar10", "backprop", "kan", "2layers"]
    assert (cifar10.flips, cifar10.architecture.batch_norm) == (True, "after_activation")
    assert (cifar10.architecture.activation, cifar10.architecture.output_activation) == (
        *("relu", "silu"),
    )
    assert len(cifar10.schemes) == 18
    for model, batch_norm in (("kan", None), ("mlp", "after_activation")):
        fashion = sweeps["fashion_mnist", "backprop", model, "2layers"].architecture
        assert fashion.batch_norm == batch_norm
    assert ("cifar10", "backprop", "wide_mlp", "3layers") not in sweeps
    assert ("mnist", "backprop", "wide_mlp", "3layers") in sweeps
    assert sweeps["imdb", "backprop", "kan", "2layers"].architecture.outputs == 10
    assert sweeps["higgs", "backprop", "kan", "2layers"].epochs == 6
    assert sweeps["mnist", "hsic", "mlp", "2layers"].batch_size == 2048
    data = published.settings["data"]
    assert data["imdb"]["random_test"] == 10000
    assert data["higgs"]["train_rows"] == 500000


def test_a_protocol_may_be_some_departures_and_overrides_win():
    some = study(study="laptop", protocol=["relu_logits", "budget"])
    assert some.protocol == "relu_logits+budget"
    assert {sweep.epochs for sweep in some.sweeps()} == {25}
    assert {sweep.architecture.relu_logits for sweep in some.sweeps()} == {True}
    assert {sweep.warm_start for sweep in some.sweeps()} == {False}
    assert not any(audit_plan(some))
    own = study(study="laptop", protocol=["budget"], epochs=3)
    assert {sweep.epochs for sweep in own.sweeps()} == {3}
    everything = list(CONFIG["defaults"]["departures"])
    assert study(study="laptop", protocol=everything).protocol == "published"


def test_a_warm_start_needs_its_schemes_in_one_job():
    with pytest.raises(ConfigError, match=r"stack is .*expected optimizer and learning_rate"):
        study(warm_start=True, stack=["initialization"])
    study(warm_start=True, stack=["optimizer", "learning_rate"])


@pytest.mark.parametrize("name", CONFIG["defaults"]["departures"])
def test_each_departure_changes_what_is_trained(name):
    clean, other = (
        study(study="laptop", datasets=["mnist", "imdb", "cifar10"], protocol=protocol)
        for protocol in ("clean", [name])
    )
    assert clean.sweeps() != other.sweeps()


def test_splines_multiply_kans_only():
    splines = {"degrees": [2, 3], "grid_sizes": [3, 5]}
    found = study(study="paper", datasets=["mnist"], seeds=[0], objectives=["hsic"], **splines)
    models = [sweep.architecture.model for sweep in found.sweeps()]
    assert [models.count(model) for model in ("mlp", "kan", "wide_mlp")] == [3, 12, 3]


def test_each_data_set_and_model_may_have_its_own_depths():
    depths = {"kan": {"higgs": ["3layers"], "default": ["2layers"]}, "default": ["2layers"]}
    found = study(study="paper", datasets=["higgs", "imdb"], seeds=[0], depths=depths)
    networks = {
        (each.dataset, each.architecture.model, each.architecture.depth) for each in found.sweeps()
    }
    assert networks == {
        (dataset, model, "3layers" if (dataset, model) == ("higgs", "kan") else "2layers")
        for dataset in ("higgs", "imdb")
        for model in ("mlp", "kan", "wide_mlp")
    }
    varied = [job for job in jobs(found).values() if job.label == "activation"]
    assert {(job.dataset, sweep.architecture.depth) for job in varied for sweep in job.sweeps} == {
        ("higgs", "3layers"),
        ("imdb", "2layers"),
    }


@pytest.mark.parametrize("spline_scale", ["trained", "folded"])
def test_matched_wide_mlps_have_as_many_parameters_as_kans(spline_scale):
    own = {"seeds": [0], "spline_scale": spline_scale, "outputs": 12}
    found = study(study="paper", wide_factor="matched", **own)
    for dataset, inputs in (("mnist", 784), ("cifar10", 3072), ("higgs", 28)):
        with torch.device("meta"):  # shapes alone
            sizes = {
                (each.model, each.depth): networks.build(each, inputs, 12, 1).num_parameters
                for each in found.architectures(dataset)
            }
        for depth in found.settings["depths"]:
            assert sizes["wide_mlp", depth] == pytest.approx(sizes["kan", depth], rel=0.01)


def test_two_normalizations_of_one_layer_are_refused():
    both = {"batch_norm": {"kan": "before_activation", "default": None}}
    with pytest.raises(ConfigError, match=r"layer_norm is .*; expected null for kan on mnist"):
        study(study="paper", layer_norm="after_activation", **both)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stack": [], "seeds": [*range(4)]}, "stack is .. and .* make 21,231 .* at most 20,000"),
        ({"learning_rates": [k * 1e-6 for k in range(1, 10**4)]}, "learning_rates are 9,999"),
    ],
)
def test_more_than_can_be_planned_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        jobs(study(study="paper", **changes))


def test_matched_wide_mlps_on_data_of_ones_own_are_as_wide_as_the_papers():
    own = {"data": {"own": {"mine": "a.npz"}}, "datasets": ["mine"], "models": ["wide_mlp"]}
    found = study(wide_factor="matched", depths=["2layers"], **own).architectures("mine")
    assert [each.hidden_widths for each in found] == [(320,)]


def test_grid_leaves_out_what_changes_no_result():
    changed = study(device="cpu", threads=2, checkpoint_seconds=5)
    assert changed.grid == study().grid
    assert Study("quick", study().grid).sweeps() == study().sweeps()


def changed(path, value):
    """The configuration with one value changed or added."""
    config = copy.deepcopy(CONFIG)
    node = config
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["study"], "fast", ["study", "'fast'", "quick, laptop, paper"]),
        (["name"], "data", ["name is 'data'", "other than bench, data, manifolds, raw"]),
        (
            ["intrinsic_dimension"],
            {"dimensions": {"count": 10**9}},
            ["dimensions.count is 1000000000", "from 2 to 1000"],
        ),
        (["data"], {"mirror": ["https://me:s3cret@h/m?t"]}, ["mirror is ['https://h/m']"]),
        (["data"], {"mirorr": "https://me:s3cret@h/m"}, ["mirorr is 'https://h/m'"]),
        (["data"], {"own": {"a": "/home/me/a.txt"}}, ["own.a is '.../a.txt'"]),
        (["epoch"], 3, ["epoch is 3", "no such key", "did you mean epochs?"]),
        (["studies", "quick", "sedes"], 1, ["studies.quick.sedes", "did you mean seeds?"]),
        (["defaults", "xyz"], 1, ["defaults.xyz", "one of datasets"]),
        (["epochs"], "many", ["epochs is 'many'", "a whole number from 1"]),
        (
            ["studies", "quick", "evaluate_every"],
            {"mnist": 3},
            ["evaluate_every is", "or a default"],
        ),
        (["epochs"], 0, ["epochs is 0", "from 1"]),
        (["seeds"], [1, 1], ["seeds is [1, 1]", "different"]),
        (["datasets"], [], ["datasets is []", "a list"]),
        (["datasets"], ["minst"], ["datasets.0 is 'minst'", "one of mnist, fashion_mnist"]),
        (["datasets"], ["own"], ["datasets.0 is 'own'", "one of mnist"]),
        (["data"], {"own": {"mnist": "a.npz"}}, ["data.own.mnist is 'a.npz'", "other than"]),
        (["data"], {"own": {"default": "a.npz"}}, ["data.own.default", "kan, wide_mlp, default"]),
        (["data"], {"own": {"kan": "a.npz"}}, ["data.own.kan is 'a.npz'", "other than"]),
        (["data"], {"own": {"a": "a.txt"}}, ["data.own.a is 'a.txt'", ".npz or .parquet"]),
        (["data"], {"own": {"../a": "a.npz"}}, ["../a", "lower-case"]),
        (
            ["data"],
            {"own": {"a": "parts"}},
            ["data.own.a is 'parts'", "a folder of .parquet files"],
        ),
        (["data"], {"own": {2024: "a.npz"}}, ["data.own.2024 is 'a.npz'", "in quotes"]),
        (["data"], {"own": {None: "a.npz"}}, ["data.own.None is 'a.npz'", "in quotes"]),
        (["datasets"], [2024], ["datasets.0 is 2024", "in quotes where they look like numbers"]),
        (["hsic"], {"term": "y"}, ["hsic.term is 'y'", "n, x or h"]),
        (["hsic"], {"batch_size": 0}, ["hsic.batch_size is 0", "from 2"]),
        (["hsic"], {"normalization": "group"}, ["hsic.normalization is 'group'", "batch_norm"]),
        (["follow_ups"], {"experiments": ["size"]}, ["experiments.0 is 'size'", "grid_size"]),
        (
            ["follow_ups"],
            {"experiments": {"digits": ["grid_size"]}},
            ["follow_ups.experiments is", "a value for breast_cancer, or a default"],
        ),
        (
            ["follow_ups"],
            {"experiments": {"digit": [], "default": []}},
            ["follow_ups.experiments.digit is []", "digits"],
        ),
        (["follow_ups"], {"widths": [3]}, ["follow_ups.widths", "no such key"]),
        (["follow_ups"], {"width_degree": {"widths": [0]}}, ["widths.0 is 0", "from 1"]),
        (["follow_ups"], {"activation": {"seeds": []}}, ["activation.seeds is []", "a list"]),
        (["follow_ups"], {"width_degree": {"degrees": [7]}}, ["degrees.0 is 7", "1 to 5"]),
        (["hsic"], {"output": "linear"}, ["hsic.output is 'linear'", "cross_entropy or hsic"]),
        (["intrinsic_dimension"], {"projection": "rp"}, ["projection is 'rp'", "fastfood"]),
        (["intrinsic_dimension"], {"networks": ["lenet"]}, ["'lenet'", "reference, architectures"]),
        (["intrinsic_dimension"], {"seeds": []}, ["seeds is []", "whole numbers from 0"]),
        (
            ["studies", "quick", "intrinsic_dimension"],
            {"epochs": {"digits": 3}},
            ["intrinsic_dimension.epochs is", "a value for breast_cancer, or a default"],
        ),
        (
            ["intrinsic_dimension"],
            {"dimensions": {"lowest": 50, "highest": 20}},
            ["dimensions.highest is 20", "at least the lowest, 50"],
        ),
        (["warmup_epochs"], {"mlp": 99, "default": 0}, ["warmup_epochs is", "at most the"]),
        (["data"], {"mirrors": "x"}, ["data.mirrors", "did you mean mirror?"]),
        (["data"], {"cifar10": {"image_size": 30}}, ["image_size is 30", "28 or 32"]),
        (["data"], {"imdb": {"words": 0}}, ["data.imdb.words is 0", "from 1"]),
        (["objectives"], ["magic"], ["'magic'", "backprop"]),
        (["models"], ["cnn"], ["models.0 is 'cnn'", "module:function of your own"]),
        (["models"], ["a-b:c"], ["models.0 is 'a-b:c'", "module:function of your own"]),
        (["learning_rates"], [0.1, -1], ["learning_rates.1 is -1", "above 0"]),
        (["defaults", "figure_style", "dpi"], "x", ["figure_style.dpi is 'x'"]),
        (["defaults", "figure_style", "dpis"], 1, ["figure_style.dpis", "did you mean dpi?"]),
        (["depths"], ["5layers"], ["hidden_widths.default.5layers", "4 widths"]),
        (["depths"], ["deep"], ["depths.0 is 'deep'", "2layers"]),
        (["depths"], {"mnist": ["2layers"]}, ["depths is", "a value for digits, or a default"]),
        (["grid_range"], [1, 1], ["grid_range is [1, 1]", "lower one first"]),
        (["dropout"], 1.0, ["dropout is 1.0", "below 1"]),
        (["degrees"], [6], ["degrees.0 is 6", "1 to 5"]),
        (["studies"], 3, ["studies is 3"]),
        (["studies", "../x"], {}, ["../x", "lower-case"]),
        (["stack"], ["seed"], ["'seed'", "initialization, optimizer, learning_rate"]),
        (["protocol"], ["tidy"], ["protocol is ['tidy']", "departures: warm_start"]),
        (["audit"], {"departures": ["x"]}, ["audit.departures is 'x'", "warm_start"]),
        (["audit"], {"settings": {"epoch": 3}}, ["audit.settings.epoch", "did you mean epochs?"]),
        (
            ["audit"],
            {"departures": ["data"], "settings": {"datasets": ["imdb"]}},
            ["audit.settings.datasets is ['imdb']", "published prepares alike"],
        ),
        (["departures"], {"clean": {}}, ["departures.clean", "another name for a departure"]),
        (["departures"], {"published": {}}, ["departures.published", "another name"]),
        (["departures"], {"x": {"audit": {}}}, ["departures.x.audit", "no such key"]),
        (["departures"], {"x": {"relu_logits": 3}}, ["relu_logits is 3", "true or false"]),
        (
            ["batch_norm"],
            {"mlp": {"mnist": "before_activation"}, "kan": None, "wide_mlp": None},
            ["batch_norm.mlp is", "a value for digits, or a default"],
        ),
        (["seeds"], [2**63], ["seeds.0 is 9223372036854775808", "to 9223372036854775807"]),
        (["grid_sizes"], [10**6], ["grid_sizes.0 is 1000000", "from 1 to 1000"]),
        (["study"], "quick\n", ["study is 'quick\\n'", "one of quick"]),
        (["hidden_widths"], {"default": {"2layers": [4.0]}}, ["2layers.0 is 4.0", "whole numbers"]),
        (["wide_factor"], "alike", ["wide_factor is 'alike'", "from 1", "matched"]),
        (["wide_depths"], [], ["wide_depths is []", "a list of different depths"]),
        (["outputs"], 1, ["outputs is 1", "from 2"]),
        (["outputs"], 3, ["outputs is 3", "at least the 10 classes of digits"]),
        (["outputs"], {"kan": 2, "default": 10}, ["outputs is {'kan': 2", "10 classes of digits"]),
        (["protocol"], "tidy", ["protocol is 'tidy'", "clean, published", "warm_start"]),
        (["epochs"], {"mnits": 3}, ["epochs.mnits is 3", "no such key; did you mean mnist?"]),
        (["dropout"], {"kan": {"mnist": 0, "kna": 1}}, ["dropout.kan.kna", "below 1"]),
        (["dropout"], {"kna": 0, "default": 0}, ["dropout.kna is 0", "did you mean kan?"]),
        (["dropout"], {"kan": 0.1}, ["dropout is {'kan': 0.1}", "a value for mlp, or a default"]),
        (["batch_norm_momentum"], 0, ["expected a number above 0 up to 1, or one for each"]),
        (["clip_norm"], float("nan"), ["clip_norm is nan", "null, or a number above 0"]),
        (["rate_decay"], "linear", ["expected cosine or null, or one for each model or data set"]),
        (["defaults", "figure_style"], {"dpi": 100}, ["figure_style.font_size is missing"]),
    ],
)
def test_one_error_names_key_value_and_what_is_allowed(path, value, words):
    with pytest.raises(ConfigError) as error:
        resolve(changed(path, value))
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"label_smoothing": 0}, {"label_smoothing": 0.0}),
        ({"clip_norm": {"kan": 1, "default": None}}, {"clip_norm": {"kan": 1.0, "default": None}}),
        ({"grid_range": [-1, 2]}, {"grid_range": [-1.0, 2.0]}),
        ({"learning_rates": ["1"]}, {"learning_rates": [1.0]}),
        ({"hsic": {"weight": 7}}, {"hsic": {"weight": 7.0}}),
        (
            {"intrinsic_dimension": {"learning_rate": 1}},
            {"intrinsic_dimension": {"learning_rate": 1.0}},
        ),
    ],
)
def test_a_number_is_the_same_however_it_is_written(one, other):
    def described(settings):
        found = study(study="quick", **settings)
        planned = [*found.sweeps(), *found.landscapes()]
        return json.dumps([found.settings, [each.to_dict() for each in planned]])

    assert described(one) == described(other)


def test_a_default_that_is_missing_is_named():
    config = copy.deepcopy(CONFIG)
    del config["defaults"]["epochs"]
    with pytest.raises(ConfigError, match="epochs"):
        resolve(config)


USE_A_NEW_SETTING = """
import json, sys, yaml
from dataclasses import asdict
from kancore.studies.config import ConfigError, resolve
from kancore.studies.experiments import jobs
config = yaml.safe_load(sys.stdin)
studies = [resolve({**config, "made_up": value}) for value in (3, {"kan": 4, "default": None})]
found = [[(sweep.architecture.model, sweep.made_up) for sweep in each.sweeps()] for each in studies]
kept = resolve(config).sweeps()[0].to_dict()["made_up"]
errors = []
for wrong in ({"made_up": 0}, {"made_upp": 1}):
    try:
        resolve({**config, **wrong})
    except ConfigError as error:
        errors.append(str(error))
in_grid = ["made_up" in names for names in (studies[0].grid, studies[0].landscape_settings)]
print(json.dumps([found, kept, errors, in_grid]))
"""


def test_a_new_setting_is_a_new_field(tmp_path):
    """One edit: the schema, its words, the study, its sweeps and its jobs follow."""
    shutil.copytree(ROOT / "kancore", tmp_path / "kancore", ignore=shutil.ignore_patterns("*_cpp"))
    source = tmp_path / "kancore" / "schemes.py"
    field = "    clip_norm: Positive | None = None\n"
    text = source.read_text()
    assert field in text
    source.write_text(text.replace(field, f"    made_up: Count | None = None\n{field}"))
    command = [sys.executable, "-c", USE_A_NEW_SETTING]
    page = (ROOT / "config.yaml").read_text()
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
    done = subprocess.run(command, input=page, **options)
    (same, by_model), kept, (value, key), in_grid = json.loads(done.stdout)
    assert {made_up for _, made_up in same} == {3}
    assert {(model, made_up) for model, made_up in by_model} == {
        *(("kan", 4), ("mlp", None), ("wide_mlp", None)),
    }
    assert kept is None
    assert value.startswith("config: made_up is 0; expected null, or a whole number from 1")
    assert key.startswith("config: made_upp is 1; expected no such key; did you mean made_up?")
    assert in_grid == [True, False]


def test_products_are_in_bfloat16_in_the_models_that_ask_for_it():
    models = ["mlp", "wide_mlp", "kan", "networks:build"]
    sweeps = study(models=models, bfloat16={"default": True, "mlp": False}).sweeps()
    found = {sweep.architecture.model: sweep.architecture.bfloat16 for sweep in sweeps}
    assert found == {"mlp": False, "wide_mlp": True, "kan": True, "networks:build": False}
