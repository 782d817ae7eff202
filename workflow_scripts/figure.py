"""Draw one figure from a table."""

import argparse
import json
from functools import partial
from pathlib import Path

from kancore import figures
from kancore.figures.style import apply
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.tables import SCHEMAS, read_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", choices=figures.FIGURES, required=True)
    parser.add_argument("--table", type=Path, required=True, help="the table it is drawn from")
    parser.add_argument("--style", type=json.loads, required=True, help="its style, as JSON")
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="PNG and SVG to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code, f"kancore.figures.{args.figure}")

    module = figures.load(args.figure)
    with apply(args.style):
        figure = module.draw(read_table(args.table, SCHEMAS[module.TABLE]))
    for path in args.out:
        write_atomically(path, partial(figures.save, figure, style=args.style))


if __name__ == "__main__":
    run_plainly(main)
