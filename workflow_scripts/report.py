"""Write the report of a study: one HTML file, and the same as Markdown beside the figures."""

import argparse
import json
from pathlib import Path

import pandas as pd

from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.report import contents, html, markdown
from kancore.tables import AUDIT, FIRMNESS, RUNS, STABILITY, TIMINGS, read_table


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="grid, follow-ups")
    parser.add_argument(
        "--timings", type=Path, nargs="+", required=True, help="in their order, audit, stability"
    )
    parser.add_argument("--claims", type=Path, required=True, help="verdicts, JSON")
    parser.add_argument("--firmness", type=Path, required=True, help="verdicts by other choices")
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="summaries, JSON")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="SVG files")
    parser.add_argument("--captions", type=Path, nargs="+", required=True, help="in their order")
    parser.add_argument("--experiments", nargs="+", required=True, help="that they show")
    parser.add_argument("--audit", type=Path, nargs=3, help="its runs, effects and verdicts")
    parser.add_argument("--stability", type=Path, nargs=3, help="effects, combination, runs")
    parser.add_argument("--templates", type=Path, nargs=2, required=True, help="HTML, Markdown")
    parser.add_argument("--out", type=Path, nargs=2, required=True, help="HTML, Markdown")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    return parser.parse_args()


def read_audit(runs: Path, effects: Path, claims: Path) -> dict:
    """Read what the report shows of the audit."""
    return {
        "runs": read_table(runs, RUNS),
        "effects": read_table(effects, AUDIT),
        "claims": json.loads(claims.read_text()),
    }


def read_stability(effects: Path, combination: Path, runs: Path) -> dict:
    """Read what the report shows of the experiment on stability."""
    return {
        "effects": read_table(effects, STABILITY),
        "combined": json.loads(combination.read_text())["factors"],
        "runs": read_table(runs, RUNS),
    }


def main() -> None:
    """Run the command line."""
    args = arguments()
    check_code(__file__, args.code)
    runs, *follow_ups = [read_table(path, RUNS) for path in args.runs]
    judged = json.loads(args.claims.read_text())
    figures = zip(args.figures, args.captions, args.experiments, strict=True)
    found = contents(
        study=args.study["name"],
        settings=args.study["settings"],
        runs=runs,
        timings=pd.concat([read_table(path, TIMINGS) for path in args.timings]),
        follow_ups=follow_ups[0] if follow_ups else runs.iloc[:0],
        claims=judged["claims"],
        firmness=read_table(args.firmness, FIRMNESS),
        own_models=judged.get("own_models", []),
        published=pd.read_csv(args.published),
        datasets=[json.loads(path.read_text()) for path in args.data],
        figures=[
            {
                "name": figure.stem,
                "caption": caption.read_text(encoding="utf-8"),
                "svg": figure.read_text(encoding="utf-8"),
                "experiment": experiment,
            }
            for figure, caption, experiment in figures
        ],
        audit=args.audit and read_audit(*args.audit),
        stability=args.stability and read_stability(*args.stability),
    )
    for fill, template, path in zip((html, markdown), args.templates, args.out, strict=True):
        text = fill(template.read_text(encoding="utf-8"), found)
        write_atomically(path, lambda part, text=text: part.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    run_plainly(main)
