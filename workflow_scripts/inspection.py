"""Look into the best network of each model on each data set: its confusions, edges, first layer."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kancore import networks as models
from kancore.analysis import inspection
from kancore.analysis.tables import CLASS_ACCURACY, CONFUSION, EDGES, FIRST_LAYERS
from kancore.data.dataset import load
from kancore.machine.files import read_json
from kancore.machine.interruption import repeatable
from kancore.machine.last_words import last_words
from kancore.machine.memory import keep_freed_memory, usable_mb
from kancore.machine.program import program
from kancore.schemes import Sweep
from kancore.tables import read_table, write_csv, write_table
from kancore.trained import load as load_network
from kancore.training.splits import Splits
from kancore.training.stored import read_networks

SCHEMAS = CONFUSION, CLASS_ACCURACY, EDGES, FIRST_LAYERS


def main(
    sweeps: Path, networks: list[Path], data: list[Path], out: Sequence[Path], csv: Sequence[Path]
) -> None:
    """Read networks and data, write tables, the first of them as CSV too.

    Parameters
    ----------
    sweeps
        JSON file: what has trained each of the files of networks, with any of its seeds.
    networks
        Files of networks.
    data
        Prepared data sets.
    out
        Tables of confusions, accuracies of classes, edges and first layers.
    """
    keep_freed_memory()
    with repeatable(), last_words(usable_mb()):
        rows = _inspect([Sweep.from_dict(each) for each in read_json(sweeps)], networks, data)
    for target, found, schema in zip(out, rows, SCHEMAS, strict=True):
        write_table(target, found, schema)
    for target, table, schema in zip(csv, out, SCHEMAS, strict=False):
        write_csv(target, read_table(table, schema))


def _inspect(
    trained: Sequence[Sweep], networks: Sequence[Path], data: Sequence[Path]
) -> list[list[dict[str, Any]]]:
    """Rows of all tables."""
    files = defaultdict(list)
    for sweep, path in zip(trained, networks, strict=True):
        if read_networks(path):  # else all have diverged
            files[sweep.dataset].append((load_network(path, trust=True), sweep))
    rows: list[list[dict[str, Any]]] = [[] for _ in SCHEMAS]
    for path in data:
        dataset = load(path)
        of = {id(network): sweep for network, sweep in files[dataset.name]}
        for network in inspection.best_of_models(network for network, _ in files[dataset.name]):
            sweep = replace(of[id(network)], seed=network.about["seed"])
            splits = Splits(sweep, dataset, torch.device("cpu"))
            counts = inspection.confusion(network, splits)
            rows[0] += inspection.confusion_rows(network, counts)
            rows[1] += inspection.class_rows(network, counts)
            rows[2] += inspection.edge_rows(network, dataset, splits)
            rows[3] += inspection.first_layer_rows(network, dataset, splits)
    return rows


def modules(sweeps: Path) -> set[str]:
    """Modules of the models."""
    trained = map(Sweep.from_dict, read_json(sweeps))
    return {name for sweep in trained for name in models.modules(sweep.architecture.model)}


if __name__ == "__main__":
    program(main, modules)
