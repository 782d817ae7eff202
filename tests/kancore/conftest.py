"""A small made-up study in the real schemas, and plain PyTorch to compare with."""

from itertools import pairwise, product
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
import torch

from kancore.analysis.stability import effects
from kancore.analysis.statistics import SCHEME, summarize_runs
from kancore.analysis.tables import (
    AUDIT,
    CLASS_ACCURACY,
    CONFUSION,
    EDGES,
    FIRMNESS,
    FIRST_LAYERS,
    RUNS,
    STABILITY,
    VERDICTS,
)
from kancore.data.preparation import make_dataset
from kancore.schemes import INITIALIZATIONS, MODELS, OPTIMIZERS, derive_seed
from kancore.tables import HISTORY, KEY_NAMES, TIMINGS, read_table, write_table

CEILINGS = {"mnist": 0.98, "fashion_mnist": 0.89, "cifar10": 0.55}
DEPTHS = {"2layers": (32,), "3layers": (64, 32), "4layers": (128, 64, 32)}
RATES = (0.05, 0.005, 0.0005)
EPOCHS = np.arange(2, 14, 2)
SLOWNESS = {"sgd": 0.02, "sgd_momentum": 0.2, "adam": 2.0}


def _make_history(
    datasets=tuple(CEILINGS), objectives=("backprop",), seeds=(0,), validation=True, **changes
):
    """Evaluations of every architecture and scheme; `changes` replace columns."""
    rows = []
    grid = product(datasets, objectives, MODELS, DEPTHS, INITIALIZATIONS, OPTIMIZERS, RATES, seeds)
    for dataset, objective, model, depth, initialization, optimizer, rate, seed in grid:
        kan = model == "kan"
        widths = [width * (10 if model == "wide_mlp" else 1) for width in DEPTHS[depth]]
        inputs = 3072 if dataset == "cifar10" else 784
        edges = sum(a * b for a, b in zip([inputs, *widths], [*widths, 10], strict=True))
        key = {
            "study": "made_up",
            "experiment": "grid",
            "protocol": "clean",
            "dataset": dataset,
            "objective": objective,
            "model": model,
            "depth": depth,
            "hidden_widths": "x".join(map(str, widths)),
            "activation": "gelu",
            "degree": 3 if kan else None,
            "grid_size": 5 if kan else None,
            "initialization": initialization,
            "optimizer": optimizer,
            "learning_rate": rate,
            "seed": seed,
            "parameters": edges * (10 if kan else 1),
            "code": f"{derive_seed(model, objective):016x}"[:16],
        }
        rows += [{**key, **values, **changes} for values in _evaluations(key, validation)]
    return _as_read(rows, HISTORY)


def _evaluations(key, validation):
    random = np.random.default_rng(derive_seed(*map(str, key.values())))
    speed = SLOWNESS[key["optimizer"]] * (key["learning_rate"] / 0.005) ** 0.5
    ceiling = CEILINGS.get(key["dataset"], 0.8) - 0.03 * (key["model"] == "kan")
    ceiling -= 0.04 * (key["objective"] == "hsic") + 0.01 * (key["depth"] == "2layers")
    test = (
        0.1 + (ceiling - 0.1) * (1 - np.exp(-speed * EPOCHS)) + random.normal(0, 0.003, len(EPOCHS))
    )
    train = test + 0.004 * EPOCHS * (2 if key["model"] == "kan" else 1)
    if diverges := key["optimizer"] == "sgd_momentum" and key["learning_rate"] == 0.05:
        test = test[: 3 * (key["initialization"] == "orthogonal")]
    for epoch, on_train, on_test in zip(EPOCHS, train.clip(0, 1), test.clip(0, 1), strict=False):
        accuracies = {
            "train_accuracy": on_train,
            "validation_accuracy": min(1.0, on_test + 0.005) if validation else None,
            "test_accuracy": on_test,
        }
        losses = {
            name.replace("accuracy", "loss"): None if value is None else 1 - value
            for name, value in accuracies.items()
        }
        yield {"epoch": int(epoch), **accuracies, **losses, "diverged": False}
    if diverges:
        nothing = dict.fromkeys(set(HISTORY.names) - set(key) - {"epoch", "diverged"})
        yield {"epoch": int(EPOCHS[len(test)]), **nothing, "diverged": True}


def _as_read(rows, schema):
    """Give `rows` the types that they have when read from a file."""
    with TemporaryDirectory() as folder:
        write_table(f"{folder}/table.parquet", rows, schema)
        return read_table(f"{folder}/table.parquet", schema)


@pytest.fixture(scope="session")
def dataset():
    """Three noisy clusters in six dimensions."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 6, generator=generator)
    y = torch.arange(3).repeat(80)
    x = centres[y] + 0.8 * torch.randn(240, 6, generator=generator)
    names = ("a", "b", "c")
    return make_dataset(
        "clusters", x[:180], y[:180], x[180:], y[180:], class_names=names, source="made here"
    )


@pytest.fixture(scope="session")
def make_history():
    return _make_history


@pytest.fixture(scope="session")
def history():
    return _make_history()


@pytest.fixture(scope="session")
def runs(history):
    return _as_read(summarize_runs(history), RUNS)


def _follow_up_architectures():
    """Pairs of an experiment and what of an architecture it varies."""
    for depth, widths in DEPTHS.items():
        hidden = "x".join(map(str, widths))
        for activation in ("gelu", "silu", "elu", "relu", "cosine"):
            yield "activation", depth, hidden, activation, 3, 5
        for grid_size in (3, 5, 10):
            yield "grid_size", depth, hidden, "gelu", 3, grid_size
    for width, degree in product((8, 16, 32), (1, 2, 3)):
        yield "width_degree", "2layers", f"{width}", "gelu", degree, 5
        yield "width_degree", "3layers", f"{width}x{width}", "gelu", degree, 5


@pytest.fixture(scope="session")
def follow_ups():
    """Runs of follow-ups: GELU is best, width and layers help, degrees and finer grids do not."""
    rows = []
    for dataset, seed, varied in product(CEILINGS, (0, 1), _follow_up_architectures()):
        experiment, depth, hidden, activation, degree, grid_size = varied
        widths = [784, *map(int, hidden.split("x")), 10]
        edges = sum(a * b for a, b in pairwise(widths))
        random = np.random.default_rng(derive_seed(dataset, seed, *varied))
        accuracy = CEILINGS[dataset] - 0.1 / len(hidden) - 0.2 / int(hidden.split("x")[0])
        accuracy += 0.02 * (activation == "gelu") + random.normal(0, 0.001)
        rows.append(
            {
                **{"study": "made_up", "experiment": experiment, "protocol": "clean"},
                **{"dataset": dataset},
                **{"objective": "backprop", "model": "kan", "depth": depth},
                **{"hidden_widths": hidden, "activation": activation, "degree": degree},
                **{"grid_size": grid_size, "initialization": "orthogonal", "optimizer": "adam"},
                **{"learning_rate": 0.005, "seed": seed, "epochs": 12, "best_epoch": 10},
                **{"train_accuracy": accuracy + 0.01, "validation_accuracy": accuracy + 0.005},
                **{"test_accuracy": accuracy, "best_test_epoch": 10},
                **{"best_test_accuracy": accuracy, "generalization_gap": 0.01},
                **{"last_test_accuracy": accuracy, "mean_fall": 0.001},
                **{"diverged": False, "parameters": edges * (grid_size + degree + 2)},
                "code": "0123456789abcdef",
            }
        )
    return _as_read(rows, RUNS)


@pytest.fixture(scope="session")
def audit():
    """Effects on two data sets: of all departures, of a warm start, and of one for KANs alone."""
    protocols = ("published", "warm_start", "output_initialization")
    measures = ("best_accuracy", "test_accuracy", "gap", "log_efficiency")
    rows = []
    for place, (dataset, protocol, model, measure) in enumerate(
        product(("mnist", "digits"), protocols, MODELS, measures)
    ):
        trained = protocol != "output_initialization" or model == "kan"
        effect = (0.01 + 0.001 * place) * trained
        key = {"study": "made_up", "dataset": dataset, "protocol": protocol, "model": model}
        interval = {"low": effect - 0.01 * trained, "high": effect + 0.02 * trained}
        values = {"clean": 0.9, "effect": effect, **interval, "pairs": 36, "trained": trained}
        rows.append({**key, "measure": measure, **values})
    nothing = {"clean": None, "effect": None, "low": None, "high": None, "pairs": 0}
    return _as_read([*rows[:-1], {**rows[-1], **nothing}], AUDIT)


@pytest.fixture(scope="session")
def firmness():
    """Verdicts on two claims of a test each by other choices, one of which changes the first."""
    settings = [("declared", "declared"), ("correction", "holm"), ("budget", "0.25")]
    settings += [("without", "mnist"), ("objective", "hsic"), ("diverged", "dropped")]
    nothing = dict.fromkeys(("value", "low", "high", "p", "pairs", "seeds"))
    measured = {"value": 0.01, "low": 0.0, "high": 0.02, "p": 0.01, "pairs": 9, "seeds": 3}
    rows = [
        {
            **{"study": "made_up", "variation": variation, "setting": setting, "claim": claim},
            **{"part": part, "verdict": "inconclusive" if setting == "mnist" else verdict},
            **(measured if part else nothing),
        }
        for variation, setting in settings
        for claim, verdict in (("C1", "supported"), ("C2", "inconclusive"))
        for part in (0, 1)
    ]
    moved = {**rows[0], "variation": "comparable", "setting": "0.01", "verdict": "contradicted"}
    return _as_read([*rows, moved], FIRMNESS)


@pytest.fixture(scope="session")
def verdicts():
    """Tests of four claims: of a difference, of a share, of a factor, and one not made."""
    nothing = dict.fromkeys(VERDICTS.names)
    about = {"study": "made_up", "part": 1, "summary": "effect", "unit": "accuracy"}
    rows = [
        {
            **{"topic": "Accuracy", "claim": "C1", "claim_verdict": "supported"},
            **{"statement": "KANs and MLPs reach comparable accuracy.", "verdict": "supported"},
            **{"value": -0.004, "low": -0.009, "high": 0.001, "above": -0.02, "below": 0.02},
            "published": -0.005,
        },
        {
            **{"topic": "Overfitting", "claim": "C3", "claim_verdict": "doubted", "unit": "gap"},
            **{"statement": "KANs overfit more than MLPs.", "verdict": "suggested"},
            **{"value": 0.01, "above": 0.0},
        },
        {
            **{"topic": "Overfitting", "claim": "C3", "claim_verdict": "doubted", "unit": "gap"},
            **{"statement": "KANs overfit more than MLPs.", "verdict": "doubted", "part": 2},
            **{"value": 0.7, "above": 0.9, "summary": "share"},
        },
        {
            **{"topic": "Efficiency", "claim": "C9", "claim_verdict": "depends"},
            **{"statement": "KANs are more efficient.", "verdict": "depends", "above": 0.0},
            **{"value": float(np.log(2)), "unit": "log_efficiency"},
        },
        {
            **{"topic": "Efficiency", "claim": "C16", "claim_verdict": "not tested"},
            **{"statement": "A small MLP is the most efficient.", "verdict": "not tested"},
        },
    ]
    return _as_read([{**nothing, **about, **row} for row in rows], VERDICTS)


# What each factor adds to accuracies, in fractions, by data set.
FACTORS = {
    "baseline": {"mnist": 0.0, "digits": 0.0},
    "residual": {"mnist": 0.02, "digits": 0.03},
    "layer_norm": {"mnist": 0.01, "digits": 0.01},
    "clipping": {"mnist": -0.03, "digits": -0.02},
    "warm_up": {"mnist": 0.01, "digits": -0.01},
}


@pytest.fixture(scope="session")
def stability_history():
    """Evaluations of KANs under made-up factors, three seeds; half of them with few inputs lost."""
    parts = []
    for factor, gains in FACTORS.items():
        rows = _make_history(
            datasets=tuple(gains), seeds=(0, 1, 2), experiment="stability", protocol=factor
        )
        rows = rows[(rows["model"] == "kan") & (rows["depth"] != "3layers")].copy()
        noise = [derive_seed(factor, str(seed)) % 1000 / 1e6 for seed in rows["seed"]]
        for part in ("train", "validation", "test"):
            rows[f"{part}_accuracy"] += rows["dataset"].map(gains) + noise
        last = (rows["epoch"] == EPOCHS[-1]) & ~rows["diverged"]
        shares = [
            [0.5] + [0.1 if factor == "layer_norm" else 0.3] * (int(depth[0]) - 1) if ends else None
            for depth, ends in zip(rows["depth"], last, strict=True)
        ]
        parts.append(rows.assign(outside_grid=pd.Series(shares, index=rows.index, dtype=object)))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def stability(stability_history):
    """What the made-up factors change, all that help combined."""
    residual = stability_history[stability_history["protocol"] == "residual"]
    history = pd.concat([stability_history, residual.assign(protocol="combined")])
    return _as_read(effects(history, _as_read(summarize_runs(history), RUNS)), STABILITY)


def _best_network(model, dataset="mnist"):
    """Columns that say which network it is."""
    return {
        **{"study": "made_up", "experiment": "grid", "protocol": "clean", "dataset": dataset},
        **{"objective": "backprop", "model": model, "depth": "3layers", "hidden_widths": "64x32"},
        **{"activation": "gelu", "degree": 3, "grid_size": 5, "initialization": "kaiming_normal"},
        **{"optimizer": "sgd_momentum", "learning_rate": 0.0005, "seed": 1, "epoch": 10},
        **{"validation_accuracy": 0.95, "test_accuracy": 0.94},
    }


CLASSES = ("T-shirt/top", "Ankle boot", *map(str, range(2, 10)))


@pytest.fixture(scope="session")
def confusion():
    """Ten classes of 200 examples, a few of which are taken for the next one."""
    rows = [
        {
            **_best_network(model),
            **{"label": label, "label_name": name, "count": count},
            **{"predicted": told, "predicted_name": CLASSES[told]},
        }
        for model, (label, name) in product(MODELS, enumerate(CLASSES))
        for told, count in ((label, 190 - label), ((label + 1) % 10, 10 + label))
    ]
    return _as_read(rows, CONFUSION)


@pytest.fixture(scope="session")
def class_accuracy():
    """Accuracies on ten classes, with intervals."""
    rows = [
        {
            **_best_network(model),
            **{"label": label, "label_name": name, "correct": 190 - label, "examples": 200},
            **{"accuracy": (190 - label) / 200, "low": 0.88, "high": 0.97},
        }
        for model, (label, name) in product(MODELS, enumerate(CLASSES))
    ]
    return _as_read(rows, CLASS_ACCURACY)


@pytest.fixture(scope="session")
def edges():
    """Eight edges, all of one shape."""
    x = np.linspace(-0.99, 0.99, 100)
    rows = [
        {
            **_best_network("kan"),
            **{"edge": edge, "input": f"pixel 12, {edge}, channel 3", "unit": 101, "strength": 0.5},
            **{"x": at, "base": at / 4, "spline": at**2 / edge, "density": 0.25 + 0.5 * (at > 0)},
        }
        for edge, at in product(range(1, 9), x)
    ]
    return _as_read(rows, EDGES)


@pytest.fixture(scope="session")
def first_layers():
    """Weights of six units on images of 4 by 5 pixels."""
    rows = [
        {
            **_best_network(model),
            **{"branch": branch, "unit": unit, "channels": 1, "height": 4, "width": 5},
            "values": [unit * (place - 9) / 10 for place in range(20)],
        }
        for model in MODELS
        for branch in (("base", "spline") if model == "kan" else ("weight",))
        for unit in range(101, 107)
    ]
    return _as_read(rows, FIRST_LAYERS)


@pytest.fixture(scope="session")
def timings(runs):
    sweeps = runs.drop_duplicates(["dataset", "objective", "model", "depth"])
    return _as_read(
        [
            {
                **{name: getattr(run, name) for name in KEY_NAMES if name not in SCHEME},
                "parameters": run.parameters,
                "sweep": f"{run.dataset}/{run.objective}/{run.model}-{run.hidden_widths}/all/seed0",
                "schemes": 27,
                "steps": 300,
                "epochs": 20,
                "seconds": 10.0 + number,
                "training_seconds": 8.0 + number,
                "evaluation_seconds": 1.5,
                "resumes": 0,
                "device": "x86_64 AVX2",
                "threads": 1,
                "python": "3.11.9",
                "torch": "2.9.0",
                "kancore": "0.1.0",
                "git_revision": "0123456789ab",
            }
            for number, run in enumerate(sweeps.itertuples())
        ],
        TIMINGS,
    )


@pytest.fixture
def plain_mlp():
    """Make a PyTorch network of the first MLP of a stack, without its dropout."""

    def make(stack):
        layers = []
        for module in stack.modules():
            if hasattr(module, "bias"):
                layer = torch.nn.Linear(module.weight.shape[2], module.weight.shape[1])
                layer.load_state_dict({"weight": module.weight[0], "bias": module.bias[0]})
                layers += [layer, torch.nn.GELU()]
        return torch.nn.Sequential(*layers[:-1])

    return make
