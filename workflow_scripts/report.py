"""Write the report of a study: one HTML file."""

import argparse
import json
from pathlib import Path

from kancore.files import run_plainly, write_atomically
from kancore.provenance import check_code
from kancore.report import render
from kancore.tables import RUNS, TIMINGS, read_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--runs", type=Path, required=True, help="table of runs")
    parser.add_argument("--timings", type=Path, required=True, help="table of jobs")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="SVG files")
    parser.add_argument("--captions", type=Path, nargs="+", required=True, help="in their order")
    parser.add_argument("--template", type=Path, required=True, help="Jinja template of the page")
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)

    page = render(
        args.template.read_text(encoding="utf-8"),
        study=args.study["name"],
        settings=args.study["settings"],
        runs=read_table(args.runs, RUNS),
        timings=read_table(args.timings, TIMINGS),
        figures=[
            {
                "name": figure.stem,
                "caption": caption.read_text(encoding="utf-8"),
                "svg": figure.read_text(encoding="utf-8"),
            }
            for figure, caption in zip(args.figures, args.captions, strict=True)
        ],
    )
    write_atomically(args.out, lambda part: part.write_text(page, encoding="utf-8"))


if __name__ == "__main__":
    run_plainly(main)
