"""What an evaluation measures of the networks of a stack."""

from collections.abc import Callable, Iterator
from types import ModuleType

import torch
from torch import Tensor

from kancore.machine.interruption import Stopped
from kancore.networks.parts import EVALUATION_BATCH, evaluation_batch
from kancore.objectives.backprop import cross_entropy
from kancore.schemes import Trained
from kancore.training.splits import Splits
from kancore.training.state import State


def evaluate(
    state: State,
    splits: Splits,
    sweep: Trained,
    objective: ModuleType,
    should_stop: Callable[[], bool],
) -> list[dict]:
    """Evaluate all networks of a stack after an epoch.

    Parameters
    ----------
    state, splits, sweep
        What is trained, and on what.
    objective
        Its module, one of `kancore.objectives.MODULES`.
    should_stop
        Asked before each batch.

    Returns
    -------
    list of dict
        One row a network: its scheme, the epoch, and whether it has diverged; loss and accuracy on
        each split that has examples, ``layer_nhsic`` and ``outside_grid``, which are ``None`` where
        nothing is measured, or the network has diverged.

    Raises
    ------
    Stopped
        If `should_stop` says so.
    """
    state.network.eval()
    epoch = state.step // splits.steps_per_epoch
    measured = _measure(state, splits, sweep, objective, should_stop)
    losses = [values for name, values in measured.items() if name.endswith("_loss")]
    finite = torch.stack([state.loss, *losses]).isfinite().all(0).tolist()
    columns = {name: values.tolist() for name, values in measured.items()}
    columns["layer_nhsic"] = _layer_nhsic(state, splits, sweep, objective)
    columns["outside_grid"] = _outside_grid(state, splits, epoch == sweep.epochs)
    return [
        {
            **vars(scheme),
            "epoch": epoch,
            "diverged": not finite[index],
            **{name: values[index] if finite[index] else None for name, values in columns.items()},
        }
        for index, scheme in enumerate(state.schemes)
    ]


@torch.inference_mode()
def _measure(
    state: State,
    splits: Splits,
    sweep: Trained,
    objective: ModuleType,
    should_stop: Callable[[], bool],
) -> dict[str, Tensor]:
    """Mean loss and accuracy of each network on each split, all ``[S]`` in float64."""
    size = evaluation_batch(sweep, len(state.loss), splits.features, splits.gpu_bytes)

    def outputs_of(split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Give all networks' outputs, ``[S, batch, classes]``, and labels."""
        for x, y in splits.in_order(split, size):
            if should_stop():
                raise Stopped
            yield state.network(x), y

    find = getattr(objective, "readout", None)
    read = find(outputs_of("train"), sweep) if find else lambda outputs: outputs
    found: dict[str, Tensor] = {}
    for split, examples in splits.sizes.items():
        if not examples:
            continue
        loss, correct = state.loss.new_zeros(2, len(state.loss), dtype=torch.float64)
        for outputs, y in outputs_of(split):
            logits = read(outputs)
            loss += cross_entropy(logits, y).double() * len(y)
            correct += (logits.argmax(-1) == y).sum(1)
        found |= {f"{split}_loss": loss / examples, f"{split}_accuracy": correct / examples}
    return found


def _layer_nhsic(
    state: State, splits: Splits, sweep: Trained, objective: ModuleType
) -> list[list[float]] | list[None]:
    """Measure layers that have losses of their own, on the first training batch."""
    measure = getattr(objective, "layer_nhsic", None)
    if measure is None:
        return [None] * len(state.schemes)
    return measure(state.network, *splits.first(sweep.batch_size), sweep).tolist()


def _outside_grid(state: State, splits: Splits, at_end: bool) -> list[list[float]] | list[None]:
    """Measure at the end how far inputs of a KAN's layers leave the grid."""
    measure = getattr(state.network, "outside_grid", None)
    if measure is None or not at_end:
        return [None] * len(state.schemes)
    x, _ = splits.first(EVALUATION_BATCH)
    return measure(x).tolist()
