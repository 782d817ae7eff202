"""Write the report of a study: one HTML file, and the same as Markdown beside the figures."""

from operator import methodcaller
from pathlib import Path

import pandas as pd

from kancore.analysis.tables import AUDIT, FIRMNESS, RUNS, STABILITY
from kancore.machine.files import read_json, write_atomically
from kancore.machine.program import program
from kancore.report import contents, html, markdown
from kancore.tables import TIMINGS, read_table


def read_audit(runs: Path, effects: Path, claims: Path) -> dict:
    """Read what the report shows of the audit."""
    return {
        "runs": read_table(runs, RUNS),
        "effects": read_table(effects, AUDIT),
        "claims": read_json(claims),
    }


def read_stability(effects: Path, combination: Path, runs: Path) -> dict:
    """Read what the report shows of the experiment on stability."""
    return {
        "effects": read_table(effects, STABILITY),
        "combined": read_json(combination)["factors"],
        "runs": read_table(runs, RUNS),
    }


def main(
    study: dict,
    runs: list[Path],
    timings: list[Path],
    claims: Path,
    firmness: Path,
    published: Path,
    data: list[Path],
    figures: list[Path],
    captions: list[Path],
    experiments: list[str],
    templates: list[Path],
    out: list[Path],
    audit: list[Path] | None = None,
    stability: list[Path] | None = None,
) -> None:
    """Read all that a study has made, fill in the templates.

    Parameters
    ----------
    runs
        Of the grid, and of the follow-ups if there are any.
    timings
        Of the same, then of the audit and the experiment on stability.
    data
        Summaries of data sets.
    experiments
        What each figure shows; captions are in the same order.
    audit
        Table of runs, table of effects, and verdicts.
    stability
        Table of effects, combination of factors, and table of runs.
    """
    grid, *follow_ups = [read_table(path, RUNS) for path in runs]
    judged = read_json(claims)
    found = contents(
        study=study["name"],
        settings=study["settings"],
        runs=grid,
        timings=pd.concat([read_table(path, TIMINGS) for path in timings]),
        follow_ups=follow_ups[0] if follow_ups else grid.iloc[:0],
        claims=judged["claims"],
        firmness=read_table(firmness, FIRMNESS),
        own_models=judged.get("own_models", []),
        published=pd.read_csv(published),
        datasets=[read_json(path) for path in data],
        figures=[
            {
                "name": figure.stem,
                "caption": caption.read_text(encoding="utf-8"),
                "svg": figure.read_text(encoding="utf-8"),
                "experiment": experiment,
            }
            for figure, caption, experiment in zip(figures, captions, experiments, strict=True)
        ],
        audit=read_audit(*audit) if audit else None,
        stability=read_stability(*stability) if stability else None,
    )
    for fill, template, path in zip((html, markdown), templates, out, strict=True):
        text = fill(template.read_text(encoding="utf-8"), found)
        write_atomically(path, methodcaller("write_text", text, encoding="utf-8"))


if __name__ == "__main__":
    program(main)
