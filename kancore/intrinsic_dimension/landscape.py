"""Training in random subspaces of a network's parameters, all dimensions of a grid as one stack.

Li et al. 2018 (arXiv:1804.08838): theta = theta_0 + P z, where only z, of d numbers, is trained,
from 0 and by Adam. The gradient with respect to z is P^T times that with respect to theta, and a
step of z moves theta by P times that step; so the stack trains in its own parameters, with the
first layers of all networks still one product, and autograd never sees P.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from kancore import networks
from kancore.data.dataset import Dataset
from kancore.intrinsic_dimension.projections import (
    DenseProjection,
    FastfoodProjection,
    Projection,
    SparseProjection,
    WholeSpace,
)
from kancore.intrinsic_dimension.search import refine, thresholds
from kancore.intrinsic_dimension.subspaces import Landscape, Subspace
from kancore.networks.network import Stack
from kancore.schemes import derive_seed
from kancore.training.builder import Builder
from kancore.training.loop import Training
from kancore.training.optimizers import ADAM_EPSILON, BETAS

_PROJECTIONS: dict[str, Callable[[int, int, int], Projection]] = {
    "dense": DenseProjection,
    "sparse": SparseProjection,
    "fastfood": FastfoodProjection,
}


class SubspaceAdam:
    """Adam (Kingma & Ba 2015) on the coordinates of each network of a stack in its own subspace.

    Parameters
    ----------
    parameters
        Parameters of the stack, each ``[S, ...]``.
    schemes
        What each of the S networks trains in.
    projections
        Projection of each network, with ``dimension`` and ``adjoint``.
    learning_rate
        Learning rate of all.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        schemes: Sequence[Subspace],
        projections: Sequence[Projection],
        learning_rate: float,
    ):
        self.parameters, self.schemes = list(parameters), tuple(schemes)
        self.projections, self.learning_rate = list(projections), learning_rate
        coordinates = [projection.dimension for projection in self.projections]
        self._mean = [self.parameters[0].new_zeros(d) for d in coordinates]
        self._square = [self.parameters[0].new_zeros(d) for d in coordinates]
        self._steps = torch.zeros((), device=self.parameters[0].device)

    def fuse(self, network: nn.Module) -> None:
        """Leave the layers as they are: a step is known only once all of them have gradients."""

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Move the stacked parameters by P times Adam's step, from gradients of their shapes.

        Those of parameters that nothing depends on are ``None``.
        """
        by_network = torch.cat(
            [
                (torch.zeros_like(parameter) if gradient is None else gradient).reshape(
                    len(self.schemes), -1
                )
                for parameter, gradient in zip(self.parameters, gradients, strict=True)
            ],
            dim=1,
        )
        pairs = zip(self.projections, by_network, strict=True)
        moves = self._moves([projection.adjoint(gradient) for projection, gradient in pairs])
        shapes = [parameter.shape[1:] for parameter in self.parameters]
        for index, projection in enumerate(self.projections):
            pieces = projection(moves[index]).split([shape.numel() for shape in shapes])
            for parameter, piece, shape in zip(self.parameters, pieces, shapes, strict=True):
                parameter[index] += piece.view(shape)

    def _moves(self, gradients: list[Tensor]) -> list[Tensor]:
        """Adam's step in the coordinates of each subspace."""
        self._steps += 1
        moves = [torch.zeros_like(gradient) for gradient in gradients]
        # Called directly for the reason that kancore.training.optimizers gives.
        torch._fused_adam_(
            moves,
            [gradient.contiguous() for gradient in gradients],
            self._mean,
            self._square,
            [],
            [self._steps] * len(moves),
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=ADAM_EPSILON,
            amsgrad=False,
            maximize=False,
        )
        return moves

    def state_dict(self) -> dict:
        """State of the updates, of tensors."""
        return {"steps": self._steps, "mean": self._mean, "square": self._square}

    def load_state_dict(
        self, state: dict, schemes: Sequence[Subspace], keep: Sequence[int]
    ) -> None:
        """Take over a state made by `state_dict` for `schemes`, of which those `keep` are here."""
        self._steps.copy_(state["steps"])
        for mine, saved in ((self._mean, state["mean"]), (self._square, state["square"])):
            for buffer, place in zip(mine, keep, strict=True):
                buffer.copy_(saved[place])

    def select(self, keep: Sequence[int], parameters: Sequence[Tensor]) -> "SubspaceAdam":
        """Go on with the networks `keep` only, whose parameters are `parameters`."""
        kept = SubspaceAdam(
            parameters,
            [self.schemes[index] for index in keep],
            [self.projections[index] for index in keep],
            self.learning_rate,
        )
        kept._steps = self._steps
        kept._mean = [self._mean[index] for index in keep]
        kept._square = [self._square[index] for index in keep]
        return kept


class _SubspaceBuilder(Builder):
    """Builds stacks of networks that each train in a subspace of its own."""

    sweep: Landscape

    def optimizer(self, network: Stack, schemes: Sequence[Subspace]) -> SubspaceAdam:
        """Make the optimizer of a stack, with the projection of each network."""
        parameters = list(network.parameters())
        projections = [
            self._projection(each.dimension, network.num_parameters).to(parameters[0].device)
            for each in schemes
        ]
        return SubspaceAdam(parameters, schemes, projections, self.sweep.learning_rate)

    def stack_sizes(self, schemes: Sequence[Subspace], device: torch.device) -> list[int]:
        """Begin with all networks side by side: what projections take is not estimated."""
        return [len(schemes)]

    def _projection(self, dimension: int | None, size: int) -> Projection:
        if dimension is None:
            return WholeSpace(size)
        landscape = self.sweep
        seed = derive_seed(
            "projection", landscape.dataset, landscape.architecture.name, dimension, landscape.seed
        )
        return _PROJECTIONS[landscape.projection](dimension, size, seed)


class SubspaceTraining(Training):
    """Train one network of a landscape in each of its subspaces, from the same weights.

    The parameters are those of `kancore.training.loop.Training`, with a landscape for the sweep. A
    network whose accuracy is no longer rising, as the landscape's `patience` has it, is trained no
    further, while the others go on.
    """

    sweep: Landscape
    builder = _SubspaceBuilder

    def _goes_on(self, row: dict) -> bool:
        return super()._goes_on(row) and self._rises(row)

    def _rises(self, row: dict) -> bool:
        """Tell whether a network has had a new best accuracy within the last `patience` epochs."""
        if self.sweep.patience is None:
            return True
        own = [each for each in self.state.rows if each["dimension"] == row["dimension"]]
        best = _best(own)["best_epoch"]
        assert best is not None  # this row at least is of a network that has not diverged
        return row["epoch"] - best < self.sweep.patience


def measure_landscape(
    landscape: Landscape,
    dataset: Dataset,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    checkpoint_seconds: float = 60.0,
    identity: str = "",
    report: Callable[[Training], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Measure accuracy against the dimension of the subspace that a network trains in.

    A first stack holds the geometric grid and the directly trained network, and each refinement is
    a stack of the dimensions that `kancore.intrinsic_dimension.search.refine` asks for.

    Parameters
    ----------
    landscape
        What to train.
    dataset
        The data set that it names.
    device
        Where to train.
    folder
        Where the checkpoint of each stack is kept, or ``None`` for none. Called again with the same
        folder, it goes on where it was stopped.
    checkpoint_seconds, identity, should_stop
        As for `kancore.training.loop.Training`.
    report
        Called after each epoch.

    Returns
    -------
    list of dict
        One a subspace, in order of dimension; the directly trained network, whose dimension is the
        number D of its parameters, last. `epochs` is how many each was trained for. The
        best epoch is the first of the best validation accuracy, or of the best test accuracy where
        there is no validation data.
    """
    network = networks.build(landscape.architecture, dataset.features, dataset.classes, 1)
    size = network.num_parameters
    stack = replace(landscape, dimensions=tuple(d for d in landscape.dimensions if d < size))
    found = []
    for number in range(landscape.refinements + 1):
        checkpoint = folder and folder / f"checkpoint{number}.pt"
        training = SubspaceTraining(
            stack, dataset, device, checkpoint, checkpoint_seconds, identity, should_stop
        )
        found += _summarize(training.run(report), size)
        if checkpoint:
            training.stacks.save()  # of a stack that has ended: it is not trained again
        curve = {row["dimension"]: row["test_accuracy"] for row in found if not row["diverged"]}
        dimensions = refine(curve, thresholds(curve.get(size)).values())
        if not dimensions:
            break
        stack = replace(stack, dimensions=dimensions, direct=False)
    return sorted(found, key=lambda row: row["dimension"])


def _summarize(rows: list[dict], size: int) -> list[dict]:
    """Sum up the evaluations of each subspace in one row."""
    by_dimension: dict[int | None, list[dict]] = {}
    for row in rows:
        by_dimension.setdefault(row["dimension"], []).append(row)
    return [
        {
            "dimension": size if dimension is None else dimension,
            "direct": dimension is None,
            "parameters": size,
            "epochs": evaluations[-1]["epoch"],
            **_best(evaluations),
            "diverged": evaluations[-1]["diverged"],
        }
        for dimension, evaluations in by_dimension.items()
    ]


def _best(evaluations: list[dict]) -> dict[str, float | None]:
    """Pick the first best epoch and its accuracies; null where a run diverged at once."""

    def score(row: dict) -> float:
        chosen_by = row.get("validation_accuracy")
        return row["test_accuracy"] if chosen_by is None else chosen_by

    finite = [row for row in evaluations if not row["diverged"]]
    best = max(finite, key=score) if finite else {}
    accuracies = ("train_accuracy", "validation_accuracy", "test_accuracy")
    return {"best_epoch": best.get("epoch"), **{name: best.get(name) for name in accuracies}}
