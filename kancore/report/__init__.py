"""The report of a study: its verdicts, figures, tables, configuration and where it came from.

`contents` collects what there is to say; `html` and `markdown` fill a template with it.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import unescape
from typing import Any

import pandas as pd
import yaml
from docutils.core import publish_parts
from docutils.utils import SystemMessage
from docutils.writers import html5_polyglot
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from kancore.analysis.statistics import SCHEME, best_schemes
from kancore.figures.declared import FIGURES
from kancore.figures.style import NOTHING, display_name, in_order
from kancore.report import audit as audit_tables
from kancore.report import firmness as firmness_table
from kancore.report import stability as stability_tables
from kancore.report import tables, verdicts
from kancore.status import duration
from kancore.studies.study import choose

_ARCHITECTURE = ("model", "depth", "activation", "degree", "grid_size")


def contents(
    *,
    study: str,
    settings: Mapping[str, Any],
    runs: pd.DataFrame,
    timings: pd.DataFrame,
    follow_ups: pd.DataFrame,
    claims: Sequence[Mapping[str, Any]],
    firmness: pd.DataFrame,
    published: pd.DataFrame,
    datasets: Sequence[Mapping[str, Any]],
    figures: Iterable[Mapping[str, str]],
    audit: Mapping[str, Any] | None = None,
    stability: Mapping[str, Any] | None = None,
    own_models: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Collect what a report shows.

    Parameters
    ----------
    study
        Name of the study.
    settings
        Settings of the study, plain values.
    runs, follow_ups
        Runs of the grid and of the follow-ups, with the columns of `kancore.analysis.tables.RUNS`.
    timings
        Sweeps of both, with the columns of `kancore.tables.TIMINGS`.
    claims
        Verdicts, from `kancore.claims.verdicts.judge`.
    firmness
        Verdicts by other choices, with the columns of `kancore.analysis.tables.FIRMNESS`.
    published
        Published figures.
    datasets
        Summaries of the data sets, from `kancore.data.dataset.summary`.
    figures
        For each figure its ``name``, its ``caption`` (reStructuredText, a title and then text), its
        image ``svg`` (the text of the file) and the ``experiment`` that it shows. A figure with
        nothing to draw is left out.
    audit
        If the study has one: its ``runs``; ``effects``, with the columns of
        `kancore.analysis.tables.AUDIT`; and ``claims``, verdicts by protocol.
    stability
        If the study has that experiment: its ``runs``; ``effects``, with the columns of
        `kancore.analysis.tables.STABILITY`; and the factors ``combined``.
    own_models
        Comparisons of models of the user's own, from `kancore.claims.own_models.compare`.

    Returns
    -------
    dict
        Values by the names that templates know; the same input gives the same values.
    """
    keys = tables.varying(runs)
    best = tables.in_reading_order(tables.with_best_on_test(best_schemes(runs), runs))
    by_experiment = {"grid": runs, **dict(iter(follow_ups.groupby("experiment")))}
    if audit:
        by_experiment["audit"] = audit["runs"]
    if stability:
        by_experiment["stability"] = stability["runs"]
    sizes = _sizes(datasets)
    trained, tested = (_taken(settings, sizes, part) for part in ("train", "test"))
    if trained != list(sizes["train"]) or tested != list(sizes["test"]):
        sizes = sizes.assign(trained=trained, tested=tested)
    return {
        "study": study,
        "facts": _facts(runs, follow_ups, timings),
        # On data of one's own what networks reach comes before what it says of the paper.
        "own_data": bool(set(sizes["name"]) & set(settings.get("data", {}).get("own", {}))),
        "verdicts": verdicts.overview(claims),
        "untested": [claim for claim in claims if claim["verdict"] == "not tested"],
        "claims": verdicts.details(claims),
        "firmness": firmness_table.variations(firmness),
        "own_models": verdicts.own_models(own_models) if own_models else None,
        "summary": tables.summary(best, keys),
        "cautions": tables.cautions(best, dict(zip(sizes["name"], tested, strict=True))),
        "figures": [
            {**figure, "sample": _sample_of(figure, by_experiment)}
            for figure in figures
            if not _shows(figure["svg"]).startswith(NOTHING)
        ],
        "datasets": tables.table(sizes, tables.DATASET_COLUMNS),
        "sections": [_section(row, runs, follow_ups, claims) for row in sizes.itertuples()],
        "schemes": tables.schemes(runs),
        "best": tables.table(
            tables.with_ties(best), {**keys, **tables.BEST_COLUMNS}, tables.highest(best)
        ),
        "runs": tables.table(tables.in_reading_order(runs), {**keys, **tables.RUN_COLUMNS}),
        "common": tables.common(runs),
        "follow_ups": _follow_ups(follow_ups),
        "published": tables.published(published, runs, timings),
        "audit": audit and _audit(audit),
        "stability": stability and _stability(stability, timings),
        "timings": tables.table(
            timings[~timings["experiment"].isin(["audit", "stability"])].sort_values(
                ["experiment", "sweep"]
            ),
            tables.TIMING_COLUMNS,
        ),
        "config": yaml.safe_dump(
            settings, sort_keys=False, default_flow_style=None, allow_unicode=True, width=80
        ),
        "provenance": _provenance(runs, follow_ups, timings, datasets),
    }


def html(template: str, contents: Mapping[str, Any]) -> str:
    """Fill in a template of one HTML page that needs no other file; what it shows is escaped.

    Raises
    ------
    ValueError
        If a caption is no valid reStructuredText or has no title.
    """
    figures = [_html_figure(figure) for figure in contents["figures"]]
    return _compiled(template, autoescape=True).render(**contents, images=figures)


def markdown(template: str, contents: Mapping[str, Any]) -> str:
    """Fill in a template of a Markdown file; images are the files ``figures/NAME.svg`` beside it.

    Raises
    ------
    ValueError
        If a caption has no title.
    """
    figures = [_markdown_figure(figure) for figure in contents["figures"]]
    return _compiled(template, autoescape=False).render(**contents, images=figures)


@cache
def _compiled(template: str, autoescape: bool) -> Template:
    """Compile a template, once for all pages."""
    environment = Environment(
        autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = _markdown_text
    return environment.from_string(template)


def _markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a cell of a table too."""
    return re.sub(r"([\\`*_|<>\[\]#~])", r"\\\1", " ".join(text.split()))


def _facts(
    runs: pd.DataFrame, follow_ups: pd.DataFrame, timings: pd.DataFrame
) -> list[tuple[str, str]]:
    """Say in a few numbers what was run."""

    def count(names: Iterable[str]) -> str:
        return f"{len(runs.drop_duplicates(list(names))):,}"

    everything = len(runs) + len(follow_ups)
    diverged = int(runs["diverged"].sum() + follow_ups["diverged"].sum())
    share = f" ({diverged / everything:.1%})" if diverged else ""
    return [
        ("Data sets", "; ".join(map(display_name, in_order(runs["dataset"])))),
        ("Architectures of a data set", f"{_most(runs, [*_ARCHITECTURE, 'hidden_widths']):,}"),
        ("Schemes", count(SCHEME)),
        ("Seeds", count(["seed"])),
        ("Runs of the grid", f"{len(runs):,}"),
        ("Runs of follow-ups", f"{len(follow_ups):,}"),
        ("Diverged", f"{diverged:,}{share}"),
        ("Time of all jobs", duration(timings["seconds"].sum())),
        ("Devices", "; ".join(sorted(set(timings["device"])))),
    ]


def _sample_of(figure: Mapping[str, str], by_experiment: Mapping[str, pd.DataFrame]) -> str:
    """Say from what a figure is drawn; of intrinsic dimensions, from no runs of the grid."""
    table = FIGURES[figure["name"]].table if figure["name"] in FIGURES else ""
    if table in ("landscapes", "intrinsic_dimension"):
        return ""
    sample = _sample(by_experiment[figure["experiment"]])
    if table in ("verdicts", "firmness"):
        apart = ("grid", "audit", "stability")
        more = sum(len(runs) for name, runs in by_experiment.items() if name not in apart)
        return f"{sample} Follow-ups: {more:,} runs." if more else sample
    if table in ("confusion", "class_accuracy", "edges", "first_layers"):
        return f"The networks are chosen among these: {sample}"
    return sample


def _sample(runs: pd.DataFrame) -> str:
    """Say from how many runs of what a figure is drawn."""
    counts = {
        "data set": runs["dataset"].nunique(),
        "architecture": _most(runs, [*_ARCHITECTURE, "hidden_widths"]),
        "scheme": _most(runs, SCHEME),
        "objective": runs["objective"].nunique(),
        "seed": runs["seed"].nunique(),
    }
    datasets, architectures, schemes, objectives, seeds = (
        f"{n:,} {name}{'s' * (n != 1)}" for name, n in counts.items()
    )
    runs_of = f"{len(runs):,} run{'s' * (len(runs) != 1)}"
    each = f"{architectures} and {schemes} of each, {objectives}, {seeds}"
    return f"n = {runs_of}: {datasets}, {each}."


def _most(runs: pd.DataFrame, names: Iterable[str]) -> int:
    """Count the architectures or schemes of a data set, of that which has most."""
    different = runs.drop_duplicates(["dataset", *names])
    return int(different["dataset"].value_counts().max()) if len(different) else 0


def _sizes(datasets: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a data set: name, features, classes, examples, largest class on test data, source."""
    return pd.DataFrame(
        [
            {
                "name": summary["name"],
                "features": summary["features"],
                "classes": len(summary["class_names"]),
                "train": sum(summary["train_counts"]),
                "test": sum(summary["test_counts"]),
                "largest": max(summary["test_counts"]) / sum(summary["test_counts"]),
                "source": summary["source"],
            }
            for summary in datasets
        ]
    )


def _taken(settings: Mapping[str, Any], sizes: pd.DataFrame, part: str) -> list[int]:
    """Count the examples of each data set that a study takes: the fewest of any model."""
    taken, models = settings.get(f"{part}_examples"), settings.get("models", ("",))
    return [
        min([there, *filter(None, (choose(taken, model, name) for model in models))])
        for name, there in zip(sizes["name"], sizes[part], strict=True)
    ]


def _section(
    row: Any, runs: pd.DataFrame, follow_ups: pd.DataFrame, claims: Sequence
) -> dict[str, Any]:
    """Collect what a report shows of one data set."""
    facts = [
        ("Features", f"{row.features:,}"),
        ("Classes", f"{row.classes:,}"),
        ("Training + test examples", f"{row.train:,} + {row.test:,}"),
    ]
    used = getattr(row, "trained", row.train), getattr(row, "tested", row.test)
    if used != (row.train, row.test):
        facts.append(("Of these used", "{:,} + {:,}".format(*used)))
    chosen = follow_ups.loc[follow_ups["dataset"] == row.name, list(SCHEME)].head(1)
    for scheme in chosen.itertuples():
        words = display_name(scheme.initialization), display_name(scheme.optimizer)
        others = tables.as_good_for_follow_ups(runs, row.name, scheme)
        tie = f" ({others} {'other is' if others == 1 else 'others are'} as good)" if others else ""
        of = f"{', '.join(words)}, {scheme.learning_rate:g}{tie}"
        facts.append(("Scheme of the follow-ups", of))
    return {
        "name": row.name,
        "title": display_name(row.name),
        "facts": facts,
        "claims": verdicts.of_dataset(claims, row.name),
    }


def _follow_ups(follow_ups: pd.DataFrame) -> tables.Table | None:
    if follow_ups.empty:
        return None
    columns = {**tables.varying(follow_ups), **tables.RUN_COLUMNS}
    return tables.table(tables.in_reading_order(follow_ups), columns)


def _audit(found: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what a report shows of the audit."""
    return {
        "sample": _sample(found["runs"]),
        "effects": audit_tables.effects(found["effects"]),
        "claims": audit_tables.claims(found["claims"]),
    }


def _stability(found: Mapping[str, Any], timings: pd.DataFrame) -> dict[str, Any]:
    """Collect what a report shows of the experiment on stability."""
    timings = timings[timings["experiment"] == "stability"]
    return {
        "sample": _sample(found["runs"]),
        "advice": stability_tables.advice(found["effects"], found["combined"]),
        "factors": stability_tables.factors(found["effects"], timings, found["combined"]),
        "outside": stability_tables.outside(found["effects"], found["combined"]),
    }


def _html_figure(figure: Mapping[str, str]) -> dict[str, str]:
    """Turn a caption into HTML and an image into a data URI; say where the figure stands."""
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
    known = FIGURES.get(figure["name"])
    return {
        "name": figure["name"],
        "category": known.category if known else "Others",
        "title": Markup(parts["title"]),
        "caption": Markup(parts["fragment"]),
        "shows": _shows(figure["svg"]),
        "sample": figure["sample"],
        "source": f"data:image/svg+xml;base64,{image}",
    }


def _shows(svg: str) -> str:
    """Read what a figure says of itself; see `kancore.figures.style.describe`."""
    found = re.search("<dc:description>(.*?)</dc:description>", svg, re.DOTALL)
    return unescape(found[1]) if found else ""


def _markdown_figure(figure: Mapping[str, str]) -> dict[str, str]:
    """Split a caption; paragraphs of plain reStructuredText are paragraphs of Markdown too."""
    title, line, *text = figure["caption"].splitlines()
    if not line.startswith("==="):
        raise ValueError(f"caption of {figure['name']}: expected a title above the text")
    return {
        "name": figure["name"],
        "title": title,
        "caption": "\n".join(text).strip(),
        "shows": _shows(figure["svg"]),
        "sample": figure["sample"],
    }


def _provenance(
    runs: pd.DataFrame,
    follow_ups: pd.DataFrame,
    timings: pd.DataFrame,
    datasets: Sequence[Mapping[str, Any]],
) -> list[tuple[str, str]]:
    """Name the code, the data and the versions that made the tables."""
    versions = {
        "Revision": "git_revision",
        "kancore": "kancore",
        "PyTorch": "torch",
        "Python": "python",
        "Device": "device",
    }
    trained = pd.concat([runs, follow_ups])
    trained["own"] = [
        "".join(f", {name}" for name in names if ":" in name)
        for names in zip(trained["optimizer"], trained["initialization"], strict=True)
    ]
    code = trained.groupby(["model", "objective", "own"])["code"].unique()
    return [
        *((heading, "; ".join(sorted(set(timings[name])))) for heading, name in versions.items()),
        ("Seeds", ", ".join(map(str, sorted(set(runs["seed"]) | set(follow_ups["seed"]))))),
        *(
            (f"Training code, {display_name(model)} ({objective}{own})", ", ".join(sorted(digests)))
            for (model, objective, own), digests in code.items()
        ),
        *((f"Data, {display_name(data['name'])}", data["checksum"][:16]) for data in datasets),
    ]
