"""Files of trained networks: each with its architecture, the scaling of its inputs, its classes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

import kancore
from kancore.data.dataset import Dataset
from kancore.machine.files import write_atomically
from kancore.tables import sweep_key
from kancore.training.loop import Training

# What is several tensors, by their names.
_PARTS = "network", "readout"


def described(training: Training, dataset: Dataset, **origin: Any) -> list[dict]:
    """Describe the networks that a training has kept, for `write_networks`.

    Parameters
    ----------
    training
        A sweep that has ended.
    dataset
        Its data set.
    **origin
        The study, the experiment, the protocol and the digest of the code.
    """
    sweep, splits = training.sweep, training.splits
    common = {
        **origin,
        **sweep_key(sweep),
        "architecture": sweep.to_dict()["architecture"],
        "scaling": sweep.scaling,
        "features": dataset.features,
        "class_names": dataset.class_names,
        "image_shape": dataset.image_shape,
        "feature_names": dataset.feature_names,
        "data": dataset.checksum,
        "version": kancore.__version__,
    }
    mean, std = (each.cpu() for each in splits.moments)
    scaling = {"mean": mean, "std": std}
    if dataset.offset is not None:
        scaling["offset"] = dataset.offset
    return [
        {
            **common,
            **{name: value for name, value in kept.items() if name != "scheme"},
            **kept["scheme"],
            **scaling,
        }
        for kept in training.state.kept
    ]


def write_networks(path: Path, networks: Sequence[Mapping[str, Any]]) -> None:
    """Write networks as one safetensors file, best first.

    Tensors of network ``n`` are ``n.mean``, ``n.std``, ``n.network.NAME`` and, where features were
    counted from another number than 0, ``n.offset``; where HSIC has trained the output units,
    ``n.readout.NAME`` of `kancore.objectives.hsic_bottleneck.Readout`. The header's entry
    ``networks`` says in JSON what each is; `kancore.load` reads it.
    """
    ranked = sorted(networks, key=lambda each: each["rank"], reverse=True)
    arrays: dict[str, np.ndarray] = {}
    header = []
    for number, network in enumerate(ranked):
        held = {name: each for name, each in network.items() if isinstance(each, Tensor)}
        parts = [part for part in _PARTS if part in network]
        for part in parts:
            held |= {f"{part}.{name}": each for name, each in network[part].items()}
        arrays |= {f"{number}.{name}": each.contiguous().numpy() for name, each in held.items()}
        header.append({name: network[name] for name in network if name not in {*held, *parts}})
    content = save(arrays, {"networks": json.dumps(header)})
    write_atomically(path, lambda part: part.write_bytes(content))


def read_networks(path: Path) -> list[dict]:
    """Read what `write_networks` wrote, as it was given.

    Raises
    ------
    ValueError
        If the file is damaged, or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["networks"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for network in header:
            network["network"] = {}
        for name, tensor in tensors.items():
            number, _, rest = name.partition(".")
            kind, _, own = rest.partition(".")
            if own:
                header[int(number)].setdefault(kind, {})[own] = tensor
            else:
                header[int(number)][kind] = tensor
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: not a file of networks ({error})") from error
    return header
