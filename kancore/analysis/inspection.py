"""What trained networks do: the classes that they confuse, their strongest edges, first layers.

All is measured on the examples that a network's own sweep has tested and trained it on.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from kancore.data.dataset import Dataset
from kancore.layers.activations import FUNCTIONS
from kancore.layers.dense import Placement
from kancore.layers.kolmogorov_arnold import KALayer
from kancore.layers.linear import Linear
from kancore.layers.splines import basis
from kancore.networks.parts import EVALUATION_BATCH
from kancore.tables import KEY_NAMES
from kancore.trained import Trained
from kancore.training.splits import Splits

# Training examples that tell how strong an edge is, strongest edges, units of a first layer.
_EXAMPLES, _EDGES, _UNITS = 4096, 8, 6
# Points at which an edge is sampled, and intervals in which its input's values are counted.
_POINTS, _BINS = 100, 20


def best_of_models(networks: Iterable[Trained]) -> list[Trained]:
    """Give the best network of each model, over depths, objectives, schemes and seeds.

    As everywhere, best is the highest accuracy on validation data; see `kancore.training.kept`.
    """
    best: dict[str, Trained] = {}
    for network in networks:
        other = best.setdefault(network.about["model"], network)
        if network.about["rank"] > other.about["rank"]:
            best[network.about["model"]] = network
    return list(best.values())


@torch.inference_mode()
def confusion(network: Trained, splits: Splits) -> np.ndarray:
    """Count the test examples of each class that a network takes for each class.

    Parameters
    ----------
    network
        From `kancore.load`.
    splits
        Of its sweep.

    Returns
    -------
    ndarray
        int64 ``[classes, classes + 1]``: true classes by those told, the last of which is none.
    """
    classes = len(network.about["class_names"])
    counts = torch.zeros(classes * (classes + 1), dtype=torch.int64)
    for x, y in splits.in_order("test", EVALUATION_BATCH):
        told = network.scaled(x).argmax(-1).clamp(max=classes)
        counts += torch.bincount(y * (classes + 1) + told, minlength=len(counts))
    return counts.view(classes, classes + 1).numpy()


def confusion_rows(network: Trained, counts: np.ndarray) -> list[dict[str, Any]]:
    """One row for each pair of classes with examples, as `kancore.analysis.tables.CONFUSION`."""
    names = [*network.about["class_names"], "none"]
    return [
        {
            **_key(network),
            **{"label": label, "label_name": names[label]},
            **{"predicted": told, "predicted_name": names[told], "count": int(counts[label, told])},
        }
        for label, told in np.argwhere(counts).tolist()
    ]


def class_rows(network: Trained, counts: np.ndarray) -> list[dict[str, Any]]:
    """One row for each class with examples, as `kancore.analysis.tables.CLASS_ACCURACY`."""
    rows = []
    for label, (name, examples) in enumerate(
        zip(network.about["class_names"], counts.sum(1).tolist(), strict=True)
    ):
        if not examples:
            continue
        correct = int(counts[label, label])
        interval = binomtest(correct, examples).proportion_ci(method="wilson")
        ends = {"low": float(interval.low), "high": float(interval.high)}
        found = {"correct": correct, "examples": examples, "accuracy": correct / examples, **ends}
        rows.append({**_key(network), "label": label, "label_name": name, **found})
    return rows


@torch.inference_mode()
def edge_functions(layer: KALayer, place: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate the edges from one input to all units, of the first network of a stack.

    Parameters
    ----------
    layer
        The layer.
    place
        Number of the input.
    x
        Values of that input, ``[n]``.

    Returns
    -------
    base, spline : Tensor
        The two terms of `KALayer`, ``[n, out]`` each.
    """
    places = x.unsqueeze(1)
    if layer.moving_grid:
        where = layer.grid_centre[0, place], layer.grid_stretch[0, place]
        places = Placement(*where).on_grid(places)
    splines = basis(places, *layer.grid)[..., 0]
    base = FUNCTIONS[layer.activation](x).unsqueeze(1) * layer.base_weight[0, place]
    return base, splines @ _spline_weights(layer)[place]


def edge_rows(network: Trained, dataset: Dataset, splits: Splits) -> Iterator[dict[str, Any]]:
    """Sample the strongest edges of a KAN's first layer, as `kancore.analysis.tables.EDGES`.

    An edge is as strong as the standard deviation of its function over training examples.
    """
    layer = _first_layer(network)
    if not isinstance(layer, KALayer) or dataset.sparse:
        return
    x, _ = splits.first(_EXAMPLES)
    strengths = _strengths(layer, x)
    order = strengths.flatten().argsort(descending=True, stable=True)[:_EDGES]
    for number, edge in enumerate(order.tolist(), start=1):
        place, unit = divmod(edge, layer.outputs)
        density, ends = np.histogram(x[:, place].numpy(), bins=_BINS, density=True)
        cells = np.linspace(ends[0], ends[-1], _POINTS + 1)
        points = (cells[:-1] + cells[1:]) / 2
        base, spline = edge_functions(layer, place, torch.from_numpy(points).to(x.dtype))
        columns = points, base[:, unit], spline[:, unit], density.repeat(_POINTS // _BINS)
        about = {"edge": number, "input": _input_name(dataset, place), "unit": unit + 1}
        about["strength"] = strengths[place, unit].item()
        for values in zip(*(each.tolist() for each in columns), strict=True):
            yield {**_key(network), **about, **_named(("x", "base", "spline", "density"), values)}


def first_layer_rows(network: Trained, dataset: Dataset, splits: Splits) -> Iterator[dict]:
    """Take the weights of a first layer's strongest units as images.

    Parameters
    ----------
    network
        From `kancore.load`.
    dataset
        The data set of the network; of one without images there are no rows.
    splits
        Of its sweep.

    Yields
    ------
    dict
        A row of `kancore.analysis.tables.FIRST_LAYERS`.
    """
    layer = _first_layer(network)
    if dataset.image_shape is None or layer is None:
        return
    x, _ = splits.first(_EXAMPLES)
    units = _strengths(layer, x).square().sum(0).argsort(descending=True, stable=True)[:_UNITS]
    with torch.inference_mode():
        if isinstance(layer, KALayer):
            norms = torch.linalg.vector_norm(_spline_weights(layer), dim=1)
            branches = {"base": layer.base_weight[0], "spline": norms}
        else:
            branches = {"weight": layer.weight[0].T}
    shape = _named(("channels", "height", "width"), dataset.image_shape)
    for branch, values in branches.items():
        for unit in units.tolist():
            about = {"branch": branch, "unit": unit + 1, **shape}
            yield {**_key(network), **about, "values": values[:, unit].tolist()}


def _key(network: Trained) -> dict[str, Any]:
    """Columns that say which network it is."""
    names = *KEY_NAMES, "epoch", "validation_accuracy", "test_accuracy"
    return {name: network.about[name] for name in names}


def _named(names: Iterable[str], values: Iterable[Any]) -> Mapping[str, Any]:
    return dict(zip(names, values, strict=True))


def _first_layer(network: Trained) -> KALayer | Linear | None:
    """Find the first layer; there is none in networks of the user's own."""
    layers = (each for each in network.network.modules() if isinstance(each, KALayer | Linear))
    return next(layers, None)


@torch.inference_mode()
def _strengths(layer: KALayer | Linear, x: Tensor) -> Tensor:
    """Measure the standard deviation of each edge over examples, ``[in, out]``."""
    if isinstance(layer, Linear):
        return layer.weight[0].abs().T * x.std(0, correction=0).unsqueeze(1)
    strengths = []
    for place, values in enumerate(x.unbind(1)):
        base, spline = edge_functions(layer, place, values)
        strengths.append((base + spline).std(0, correction=0))
    return torch.stack(strengths)


def _spline_weights(layer: KALayer) -> Tensor:
    """Coefficients with their scale, ``[in, G + k, out]``."""
    if layer.spline_scale is None:
        return layer.coefficients[0]
    return layer.spline_scale[0].unsqueeze(1) * layer.coefficients[0]


def _input_name(dataset: Dataset, place: int) -> str:
    """Say which feature or pixel an input is, counted from 1."""
    if dataset.image_shape is None:
        return f"feature {place + 1}"
    channel, row, column = (int(n) + 1 for n in np.unravel_index(place, dataset.image_shape))
    name = f"pixel {row}, {column}"
    return name if dataset.image_shape[0] == 1 else f"{name}, channel {channel}"
