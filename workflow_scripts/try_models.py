"""Try networks of the user's own: whether they can be trained, and what they need."""

from dataclasses import asdict
from pathlib import Path

import torch

from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.networks.own import load, measure


def main(models: list[list], out: Path) -> None:
    """Build each, write what it needs.

    Parameters
    ----------
    models
        Pairs of a model and widths; of a data set that is not there yet, these are empty.
    """
    torch.set_num_threads(1)
    found: list[dict | None] = []
    try:
        for model, widths in models:
            if widths:
                found.append(asdict(measure(model, widths)))
            else:
                load(model)
                found.append(None)
    except ValueError as error:
        # In one line, which is all that is read of it.
        raise SystemExit(" ".join(str(error).split())) from error
    write_json(out, found)


if __name__ == "__main__":
    program(main, planned=False)
