"""One HTML file that shows a study: its figures, tables, configuration and where it came from."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml
from docutils.core import publish_parts
from docutils.utils import SystemMessage
from docutils.writers import html5_polyglot
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from kancore.figures.style import display_name, in_order
from kancore.statistics import SCHEME, SETTING, best_schemes

_MISSING = "\N{EN DASH}"

# How a column is written: its heading, and how one of its values is.
_FORMATS = {
    "name": lambda value: display_name(str(value)),
    "text": str,
    "number": lambda value: f"{value:g}",
    "count": lambda value: f"{value:,.0f}",
    "percent": lambda value: f"{100 * value:.2f}",
    "seconds": lambda value: f"{value:,.1f}",
    "flag": lambda value: "yes" if value else "",
}
_KEY_COLUMNS = {
    "study": ("Study", "text"),
    "dataset": ("Data set", "name"),
    "objective": ("Objective", "name"),
    "model": ("Model", "name"),
    "depth": ("Depth", "name"),
    "hidden_widths": ("Hidden widths", "text"),
    "activation": ("Activation", "text"),
    "degree": ("Degree", "number"),
    "grid_size": ("Grid", "number"),
    "initialization": ("Initialization", "name"),
    "optimizer": ("Optimizer", "name"),
    "learning_rate": ("Learning rate", "number"),
    "seed": ("Seed", "number"),
}
# Data sets give the same architecture different widths, so widths do not count here.
_ARCHITECTURE = ("model", "depth", "activation", "degree", "grid_size")
_RUN_COLUMNS = {
    "parameters": ("Parameters", "count"),
    "best_epoch": ("Best epoch", "number"),
    "train_accuracy": ("Train, %", "percent"),
    "validation_accuracy": ("Validation, %", "percent"),
    "test_accuracy": ("Test, %", "percent"),
    "best_test_accuracy": ("Best on test, %", "percent"),
    "generalization_gap": ("Gap, %", "percent"),
    "diverged": ("Diverged", "flag"),
}
_BEST_COLUMNS = {
    "test_accuracy": ("Test, %", "percent"),
    "best_on_test": ("Best on test, %", "percent"),
    "validation_accuracy": ("Validation, %", "percent"),
    "median": ("Median, %", "percent"),
    "generalization_gap": ("Gap, %", "percent"),
    "best_epoch": ("Best epoch", "number"),
    "parameters": ("Parameters", "count"),
    "schemes": ("Schemes", "count"),
    "diverged_schemes": ("Diverged", "count"),
}
_TIMING_COLUMNS = {
    "sweep": ("Sweep", "text"),
    "schemes": ("Schemes", "count"),
    "epochs": ("Epochs", "count"),
    "steps": ("Steps", "count"),
    "seconds": ("Total, s", "seconds"),
    "training_seconds": ("Training, s", "seconds"),
    "evaluation_seconds": ("Evaluation, s", "seconds"),
    "resumes": ("Resumes", "count"),
    "device": ("Device", "text"),
    "threads": ("Threads", "count"),
}


@dataclass(frozen=True)
class Table:
    """A table as written: headings, cells, which columns hold numbers, which rows stand out."""

    headings: list[str]
    numeric: list[bool]
    rows: list[tuple[str, ...]]
    top: list[bool]


def render(
    template: str,
    *,
    study: str,
    settings: dict[str, Any],
    runs: pd.DataFrame,
    timings: pd.DataFrame,
    figures: Iterable[dict[str, str]],
) -> str:
    """Fill in the template of the report.

    Parameters
    ----------
    template
        Jinja template of an HTML page; whatever it shows is escaped.
    study
        Name of the study.
    settings
        Settings of the study, plain values.
    runs
        Runs, with the columns of `kancore.tables.RUNS`.
    timings
        Jobs, with the columns of `kancore.tables.TIMINGS`.
    figures
        For each figure its ``name``, its ``caption`` (reStructuredText, a title and then text) and
        its image ``svg`` (the text of the file).

    Returns
    -------
    str
        One HTML page that needs no other file; the same input gives the same page.

    Raises
    ------
    ValueError
        If a caption is no valid reStructuredText or has no title.
    """
    keys = _varying(runs)
    best = _in_reading_order(_with_best_on_test(best_schemes(runs), runs))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        study=study,
        facts=_facts(runs, timings),
        summary=_summary(best, keys),
        figures=[_figure(figure) for figure in figures],
        best=_table(best, {**keys, **_BEST_COLUMNS}, _highest(best)),
        runs=_table(_in_reading_order(runs), {**keys, **_RUN_COLUMNS}),
        common=_common(runs),
        timings=_table(timings.sort_values("sweep"), _TIMING_COLUMNS),
        config=yaml.safe_dump(
            settings, sort_keys=False, default_flow_style=None, allow_unicode=True, width=80
        ),
        provenance=_provenance(runs, timings),
    )


def _in_reading_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort data sets, objectives, models and depths as in the figures; keep the rest as it is."""
    names = [name for name in ("dataset", "objective", "model", "depth") if name in table]
    rank = {name: pd.Index(in_order(table[name])) for name in names}
    return table.sort_values(names, key=lambda column: rank[column.name].get_indexer(column))


def _with_best_on_test(best: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Add the accuracy of each setting that is found if test data choose epoch and scheme.

    So the published runs were chosen; schemes that diverged count with what they had reached.
    """
    schemes = runs.groupby([*SETTING, *SCHEME], dropna=False)["best_test_accuracy"].mean()
    highest = schemes.groupby(list(SETTING), dropna=False).max().rename("best_on_test")
    return best.merge(highest.reset_index(), on=list(SETTING), how="left")


def _highest(best: pd.DataFrame) -> pd.Series:
    """Whether a row has the highest test accuracy of its data set and objective."""
    group = best.groupby(["dataset", "objective"])["test_accuracy"]
    return best["test_accuracy"] == group.transform("max")


def _table(
    frame: pd.DataFrame, columns: dict[str, tuple[str, str]], top: pd.Series | None = None
) -> Table:
    """Write those of `columns` that `frame` has; rows where `top` is true stand out."""
    columns = {name: column for name, column in columns.items() if name in frame}
    cells = [_write(frame[name], kind) for name, (_, kind) in columns.items()]
    return Table(
        headings=[heading for heading, _ in columns.values()],
        numeric=[kind not in ("name", "text", "flag") for _, kind in columns.values()],
        rows=list(zip(*cells, strict=True)),
        top=[False] * len(frame) if top is None else top.tolist(),
    )


def _write(values: pd.Series, kind: str) -> list[str]:
    write = _FORMATS[kind]
    return [
        _MISSING if missing else write(value)
        for value, missing in zip(values, values.isna(), strict=True)
    ]


def _varying(runs: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Columns of the key that tell runs apart; which have no degree and grid, the model tells."""
    varying = runs[list(_KEY_COLUMNS)].nunique() > 1
    return {name: column for name, column in _KEY_COLUMNS.items() if varying[name]}


def _common(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Headings and values of the key columns that all runs share, but for missing ones."""
    varying = _varying(runs)
    return [
        (heading, value)
        for name, (heading, kind) in _KEY_COLUMNS.items()
        if name not in ("study", *varying) and runs[name].notna().any()
        for value in _write(runs[name].head(1), kind)
    ]


def _facts(runs: pd.DataFrame, timings: pd.DataFrame) -> list[tuple[str, str]]:
    """Say in a few numbers what was run."""

    def count(names: Iterable[str]) -> str:
        return f"{len(runs.drop_duplicates(list(names))):,}"

    diverged = int(runs["diverged"].sum())
    share = f" ({diverged / len(runs):.1%})" if diverged else ""
    return [
        ("Data sets", ", ".join(map(display_name, in_order(runs["dataset"])))),
        ("Architectures", count(_ARCHITECTURE)),
        ("Schemes", count(SCHEME)),
        ("Seeds", count(["seed"])),
        ("Runs", f"{len(runs):,}"),
        ("Diverged", f"{diverged:,}{share}"),
        ("Time of all jobs", _duration(timings["seconds"].sum())),
        ("Devices", ", ".join(sorted(set(timings["device"])))),
    ]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _summary(best: pd.DataFrame, keys: dict[str, tuple[str, str]]) -> Table:
    """Put side by side what the best architecture of each model reaches on each data set."""
    score = best["validation_accuracy"].fillna(best["test_accuracy"])
    ranked = best.assign(score=score).sort_values("score", ascending=False, kind="stable")
    ranked = ranked.drop_duplicates(["dataset", "objective", "model"])
    wide = ranked.pivot(index=["dataset", "objective"], columns="model", values="test_accuracy")
    models = {model: (display_name(model), "percent") for model in in_order(best["model"])}
    columns = {"dataset": _KEY_COLUMNS["dataset"]}
    if "objective" in keys:
        columns["objective"] = keys["objective"]
    return _table(_in_reading_order(wide.reset_index()), {**columns, **models})


def _figure(figure: dict[str, str]) -> dict[str, str]:
    """Turn a caption into HTML and an image into a data URI."""
    settings = {
        "_disable_config": True,
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "halt_level": 2,  # what docutils warns of is an error here
        "warning_stream": False,
    }
    try:
        parts = publish_parts(
            figure["caption"], writer=html5_polyglot.Writer(), settings_overrides=settings
        )
    except SystemMessage as error:
        raise ValueError(f"caption of {figure['name']}: {error}") from error
    if not parts["title"]:
        raise ValueError(f"caption of {figure['name']}: expected a title above the text")
    image = base64.b64encode(figure["svg"].encode()).decode()
    return {
        "name": figure["name"],
        "title": Markup(parts["title"]),
        "caption": Markup(parts["fragment"]),
        "image": f"data:image/svg+xml;base64,{image}",
    }


def _provenance(runs: pd.DataFrame, timings: pd.DataFrame) -> list[tuple[str, str]]:
    """Name the code and the versions that made the tables."""
    versions = {
        "Revision": "git_revision",
        "kancore": "kancore",
        "PyTorch": "torch",
        "Python": "python",
        "Device": "device",
    }
    code = runs.groupby(["model", "objective"])["code"].unique()
    return [
        *((heading, ", ".join(sorted(set(timings[name])))) for heading, name in versions.items()),
        ("Seeds", ", ".join(map(str, sorted(set(runs["seed"]))))),
        *(
            (f"Training code, {display_name(model)} ({objective})", ", ".join(sorted(digests)))
            for (model, objective), digests in code.items()
        ),
    ]
