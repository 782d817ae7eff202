"""Draw one figure from a table."""

from functools import partial
from importlib import import_module
from pathlib import Path

from kancore.analysis.tables import SCHEMAS
from kancore.figures.style import apply, save
from kancore.machine.files import write_atomically
from kancore.machine.program import program
from kancore.tables import read_table


def main(figure: str, table: Path, schema: str, style: dict, out: list[Path]) -> None:
    """Draw it once for all files."""
    module = import_module(f"kancore.figures.{figure}")
    with apply(style):
        drawn = module.draw(read_table(table, SCHEMAS[schema]))
    for path in out:
        write_atomically(path, partial(save, drawn, style=style))


if __name__ == "__main__":
    program(main, lambda figure: [f"kancore.figures.{figure}"])
