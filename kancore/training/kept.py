"""Networks of a sweep as they were at their best evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from kancore.schemes import Keep
from kancore.training.state import State

# What is told of the accuracies of a network.
_ACCURACIES = ("train_accuracy", "validation_accuracy", "test_accuracy")


def keep_best(
    state: State, rows: Sequence[Mapping[str, Any]], keep: Keep, readout: nn.Module | None
) -> None:
    """Keep networks that have now done better than ever before, as copies in the CPU's memory.

    The best evaluation is that with the highest accuracy on validation data, or on test data where
    there are none; of equally good ones the earliest, and then the one with the higher accuracy in
    training.

    Parameters
    ----------
    state
        Networks; what is kept goes to its `kept`.
    rows
        Of an evaluation of all of them, in their order.
    keep
        Of each scheme ``all`` keeps its best, ``best`` keeps the best of all.
    readout
        What turns the networks' outputs into logits, unless they are; kept beside each.
    """
    found = [(_rank(row), index) for index, row in enumerate(rows) if not row["diverged"]]
    if keep == "best" and found:
        # Of equal ones the first in the stack.
        found = [max(found, key=lambda pair: pair[0])]
    parts = {"network": state.network} | ({} if readout is None else {"readout": readout})
    values = {name: part.state_dict() for name, part in parts.items()} if keep != "none" else {}
    for rank, index in found if keep != "none" else ():
        row, scheme = rows[index], vars(state.schemes[index])
        others = [each for each in state.kept if keep == "all" and each["scheme"] != scheme]
        before = [each["rank"] for each in state.kept if keep == "best" or each["scheme"] == scheme]
        if before and rank <= max(before):
            continue
        state.kept = others
        state.kept.append(
            {
                "rank": rank,
                "scheme": dict(scheme),
                "epoch": row["epoch"],
                **{name: row.get(name) for name in _ACCURACIES},
                **{
                    part: {name: each[index].cpu().clone() for name, each in of_part.items()}
                    for part, of_part in values.items()
                },
            }
        )


def _rank(row: Mapping[str, Any]) -> list[float]:
    score = row.get("validation_accuracy")
    return [
        row["test_accuracy"] if score is None else score,
        -row["epoch"],
        row["train_accuracy"],
    ]
