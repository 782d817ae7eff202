"""Draw one figure from a table."""

from functools import partial
from pathlib import Path

from kancore import figures
from kancore.figures.style import apply
from kancore.machine.files import write_atomically
from kancore.machine.program import program
from kancore.tables import SCHEMAS, read_table


def main(figure: str, table: Path, style: dict, out: list[Path]) -> None:
    """Draw it once for all files, PNG and SVG."""
    module = figures.load(figure)
    with apply(style):
        drawn = module.draw(read_table(table, SCHEMAS[module.TABLE]))
    for path in out:
        write_atomically(path, partial(figures.save, drawn, style=style))


if __name__ == "__main__":
    program(main, lambda figure: [f"kancore.figures.{figure}"])
