"""Trained networks from their files, as modules that take a data set's own features."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kancore import networks
from kancore.schemes import Architecture
from kancore.training.stored import read_networks


class Trained(nn.Module):
    """A trained network behind the scaling of its inputs.

    Attributes
    ----------
    network : kancore.networks.network.Stack
        The network, a stack of one: a `kancore.KAN`, a `kancore.MLP`, or one of the user's own.
    mean, std : Tensor
        ``[features]``, by which features become its inputs.
    about : dict
        What the file says of it: ``dataset``, ``model``, ``depth``, ``optimizer``,
        ``learning_rate``, ``initialization``, ``seed``, ``epoch``, ``test_accuracy`` and others.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, about: dict[str, Any]):
        super().__init__()
        self.network, self.about = network, about
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

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
            If there are other than the network's features.
        """
        if x.dim() != 2 or x.shape[1] != len(self.mean):
            raise ValueError(
                f"features have shape {tuple(x.shape)}, expected [batch, {len(self.mean)}]"
            )
        inputs = (x.to(self.mean.dtype) - self.mean) / self.std
        return self.network(inputs)[0]


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
    ValueError
        If the file is damaged, has no such network, or one that is not trusted.
    """
    held = read_networks(Path(path))
    found = [each for each in held if all(each.get(name) == chosen[name] for name in chosen)]
    if not found:
        wanted = ", ".join(f"{name} = {value!r}" for name, value in chosen.items())
        raise ValueError(f"{path}: holds {len(held)} networks, none with {wanted or 'any values'}")
    about = found[0]
    architecture = Architecture.from_dict(about.pop("architecture"))
    if architecture.own and not trust:
        raise ValueError(
            f"{path}: a network of {architecture.model}, which loading it would import and run; "
            "expected trust=True"
        )
    features, classes = about["features"], len(about["class_names"])
    about["outputs"] = architecture.outputs or classes
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = networks.build(architecture, features, classes, 1)
    state = {name: each[None] for name, each in about.pop("network").items()}
    network.load_state_dict(state, assign=True)  # whatever type is PyTorch's default
    return Trained(network, about.pop("mean"), about.pop("std"), about).eval()
