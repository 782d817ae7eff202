"""Trained networks from their files, as modules that take a data set's own features."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import MinLen
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from kancore import networks
from kancore.data.labels import listed
from kancore.machine.messages import reason
from kancore.objectives.hsic_bottleneck import Readout
from kancore.schemes import Architecture, Count
from kancore.training.stored import read_networks

# What a network is built of, by what its file says.
_BUILT_OF: dict[str, TypeAdapter] = {
    "architecture": TypeAdapter(Architecture),
    "features": TypeAdapter(Count),
    "class_names": TypeAdapter(Annotated[list[str], MinLen(2)]),
    # Of networks that no table has trained there are none.
    "feature_names": TypeAdapter(list[str] | None),
}


class Trained(nn.Module):
    """A trained network behind the scaling of its inputs.

    Attributes
    ----------
    network : kancore.networks.network.Stack
        The network, a stack of one: a `kancore.KAN`, a `kancore.MLP`, or one of the user's own.
    mean, std : Tensor
        ``[features]``, by which prepared features become its inputs.
    offset : Tensor or None
        float64 ``[features]``, what is taken from features to prepare them, if anything.
    readout : kancore.objectives.hsic_bottleneck.Readout or None
        What turns the network's outputs into logits, where HSIC has trained its output units.
    about : dict
        What the file says of it: ``dataset``, ``model``, ``depth``, ``optimizer``,
        ``learning_rate``, ``initialization``, ``seed``, ``epoch``, ``test_accuracy`` and others.
    """

    mean: Tensor
    std: Tensor
    offset: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        mean: Tensor,
        std: Tensor,
        about: dict[str, Any],
        offset: Tensor | None = None,
        readout: Readout | None = None,
    ):
        super().__init__()
        self.network, self.about, self.readout = network, about, readout
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("offset", offset)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the outputs; of outputs for none, ``none``."""
        outputs = self.about["outputs"] - len(self.about["class_names"])
        return [*self.about["class_names"], *["none"] * outputs]

    def forward(self, x: Tensor) -> Tensor:
        """Map features ``[batch, features]``, as in the data set, to logits ``[batch, outputs]``.

        Raises
        ------
        ValueError
            If there are other than the network's features, or one had too many digits for float64
            when it was prepared.
        """
        if x.dim() != 2 or x.shape[1] != len(self.mean):
            raise ValueError(
                f"features have shape {tuple(x.shape)}, expected [batch, {len(self.mean)}]"
            )
        if self.offset is None:
            return self.prepared(x)
        if unknown := self.offset.isnan().nonzero().flatten().tolist():
            raise ValueError(
                f"features {listed(map(str, unknown))} had numbers beyond 2**53 in training, where "
                "they were counted from their lowest, which is not kept; expected features that "
                "are counted from a number of your own"
            )
        return self.prepared(x.double() - self.offset)

    def prepared(self, x: Tensor) -> Tensor:
        """Map features as they lie in a prepared data set, without `offset`, to logits."""
        return self.scaled((x.to(self.mean.dtype) - self.mean) / self.std)

    def scaled(self, x: Tensor) -> Tensor:
        """Map the network's inputs, which are scaled, to logits."""
        outputs = self.network(x)
        return (outputs if self.readout is None else self.readout(outputs))[0]


def load(path: str | Path, trust: bool = False, **chosen: Any) -> Trained:
    """Load a network that a study has kept: the best one of a file, or the best of those chosen.

    Parameters
    ----------
    path
        A file below ``results/STUDY/networks``.
    trust
        Whether a network of somebody's own may be loaded, which imports and runs the function that
        the file names.
    **chosen
        What is to hold of it, such as ``seed=1``, ``optimizer="adam"``; keys of `Trained.about`.

    Returns
    -------
    Trained
        In evaluation mode, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, has no such network, or one that is not trusted.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected one of networks")
    try:
        return _chosen(read_networks(path), trust, chosen)
    except ValueError as error:
        raise ValueError(f"{path}: {reason(error).removeprefix(f'{path}: ')}") from error
    except Exception as error:  # whatever damage makes of the readers
        raise ValueError(f"{path}: not a file of networks ({reason(error)})") from error


def _chosen(held: list[dict[str, Any]], trust: bool, chosen: dict[str, Any]) -> Trained:
    """Build the first of some networks of which something holds."""
    found = [each for each in held if all(each.get(name) == chosen[name] for name in chosen)]
    if not found:
        if not held:
            raise ValueError("holds no network, as all runs have diverged")
        wanted = ", ".join(f"{name} = {value!r}" for name, value in chosen.items())
        raise ValueError(f"holds {len(held)} networks, none with {wanted}")
    about = found[0]
    state, mean, std = (about.pop(name) for name in ("network", "mean", "std"))
    offset, readout = about.pop("offset", None), about.pop("readout", None)
    for name in _BUILT_OF:
        _check(name, about.get(name))
    architecture = Architecture.from_dict(about.pop("architecture"))
    features, classes = about["features"], len(about["class_names"])
    if architecture.own and not trust:
        raise ValueError(
            f"a network of {architecture.model}, which loading it would import and run; "
            "expected trust=True"
        )
    about["outputs"] = architecture.outputs or classes
    _check_tensors(architecture, architecture.widths(features, classes), state, mean, std)
    if offset is not None and (offset.dtype != torch.float64 or offset.shape != mean.shape):
        raise ValueError(
            f"offset is {offset.dtype} {tuple(offset.shape)}, expected float64 {tuple(mean.shape)}"
        )
    if readout is not None:
        _check_readout(readout, about["outputs"])
        readout = Readout(**{name: each[None] for name, each in readout.items()})
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = networks.build(architecture, features, classes, 1)
    # Whatever type is PyTorch's default.
    network.load_state_dict({name: each[None] for name, each in state.items()}, assign=True)
    return Trained(network, mean, std, about, offset, readout).eval()


def _check(name: str, value: Any) -> None:
    try:
        _BUILT_OF[name].validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (name, *first["loc"])))
        raise ValueError(f"not a file of networks ({where}: {first['msg']})") from error


def _check_readout(readout: dict[str, Tensor], outputs: int) -> None:
    types = {"mean": torch.float64, "std": torch.float64, "units": torch.int64}
    expected = {name: (dtype, (1, outputs)) for name, dtype in types.items()}
    found = {name: (each.dtype, tuple(each.shape)) for name, each in readout.items()}
    if found != expected or not 0 <= readout["units"].min() <= readout["units"].max() < outputs:
        raise ValueError(f"readout is {found}, expected {expected} and units below {outputs}")


def _check_tensors(
    architecture: Architecture,
    widths: tuple[int, ...],
    state: dict[str, Tensor],
    mean: Tensor,
    std: Tensor,
) -> None:
    """Refuse tensors that do not fit together, before memory is taken for what they claim to be."""
    if not mean.shape == std.shape == widths[:1]:
        shapes = tuple(mean.shape), tuple(std.shape)
        raise ValueError(f"mean and std have shapes {shapes}, expected {widths[:1]} for both")
    if architecture.own:
        return
    # Counts of batches alone are whole numbers.
    kinds = {mean.dtype, std.dtype, *(each.dtype for each in state.values() if each.dim())}
    if len(kinds) > 1 or not mean.is_floating_point():
        raise ValueError(f"has tensors of {listed(map(str, kinds))}, expected one real type")
    there = sum(each.numel() for each in state.values())
    edges = sum(before * after for before, after in pairwise(widths))
    if (needed := edges * (architecture.grid_size or 1)) > there:
        raise ValueError(f"holds {there:,} weights, expected {needed:,} at least of {widths}")
