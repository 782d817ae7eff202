"""Try parts of the user's own: whether networks can be trained with them, and what they need."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from kancore.machine import own_code
from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.networks.own import check_initialization, measure
from kancore.schemes import Architecture
from kancore.training.own_optimizers import check


def _model(name: str, widths: list[int]) -> dict | None:
    """Give what a network needs; of a data set that is not there yet, widths are empty."""
    if widths:
        return asdict(measure(name, widths))
    own_code.load(name)
    return None


def _initialization(name: str, architecture: dict, inputs: int, outputs: int) -> None:
    check_initialization(name, Architecture.from_dict(architecture), inputs, outputs)


_TRIALS: dict[str, Callable] = {
    "models": _model,
    "optimizers": check,
    "initializations": _initialization,
}


def main(parts: list[list], out: Path) -> None:
    """Try each, write what it needs.

    Parameters
    ----------
    parts
        Of each the key of a study that names it, its name, and what else its trial takes.
    """
    torch.set_num_threads(1)
    found = []
    for key, *arguments in parts:
        try:
            found.append(_TRIALS[key](*arguments))
        except ValueError as error:
            # In one line, which is all that is read of it.
            raise SystemExit(" ".join(f"{key}: {error}".split())) from error
    write_json(out, found)


if __name__ == "__main__":
    program(main, planned=False)
