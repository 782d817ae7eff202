"""What an evaluation measures of the networks of a stack."""

from collections.abc import Callable, Iterator
from types import ModuleType

import torch
from torch import Tensor, nn

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
) -> tuple[list[dict], nn.Module | None]:
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
    rows : list of dict
        One row a network: its scheme, the epoch, and whether it has diverged; loss and accuracy on
        each split that has examples, ``layer_nhsic`` and ``outside_grid``, which are ``None`` where
        nothing is measured, or the network has diverged.
    readout : Module or None
        What turns the networks' outputs into logits, unless they are.

    Raises
    ------
    Stopped
        If `should_stop` says so.
    """
    state.network.eval()
    epoch = state.step // splits.steps_per_epoch
    measured, readout = _measure(state, splits, sweep, objective, should_stop)
    losses = [values for name, values in measured.items() if name.endswith("_loss")]
    finite = torch.stack([state.loss, *losses]).isfinite().all(0).tolist()
    columns = {name: values.tolist() for name, values in measured.items()}
    columns["layer_nhsic"] = _layer_nhsic(state, splits, sweep, objective)
    columns["outside_grid"] = _outside_grid(state, splits, epoch == sweep.epochs)
    rows = [
        {
            **vars(scheme),
            "epoch": epoch,
            "diverged": not finite[index],
            **{name: values[index] if finite[index] else None for name, values in columns.items()},
        }
        for index, scheme in enumerate(state.schemes)
    ]
    return rows, readout


@torch.inference_mode()
def _measure(
    state: State,
    splits: Splits,
    sweep: Trained,
    objective: ModuleType,
    should_stop: Callable[[], bool],
) -> tuple[dict[str, Tensor], nn.Module | None]:
    """Mean loss and accuracy of each network on each split, all ``[S]`` in float64; readout."""
    size = evaluation_batch(sweep, len(state.loss), splits.features, splits.gpu_bytes)

    def outputs_of(split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Give all networks' outputs, ``[S, batch, classes]``, and labels."""
        for x, y in splits.in_order(split, size):
            if should_stop():
                raise Stopped
            yield state.network(x), y

    find = getattr(objective, "readout", None)
    readout = find(outputs_of("train"), sweep) if find else None
    found: dict[str, Tensor] = {}
    for split, examples in splits.sizes.items():
        if not examples:
            continue
        loss, correct = state.loss.new_zeros(2, len(state.loss), dtype=torch.float64)
        for outputs, y in outputs_of(split):
            logits = outputs if readout is None else readout(outputs)
            loss += cross_entropy(logits, y).double() * len(y)
            correct += (logits.argmax(-1) == y).sum(1)
        found |= {f"{split}_loss": loss / examples, f"{split}_accuracy": correct / examples}
    return found, readout


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
