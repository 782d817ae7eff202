import math
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import scipy.stats
import yaml

from kancore.analysis.statistics import SCHEME, best_kan_scheme, best_schemes, summarize_runs
from kancore.analysis.tables import FIRMNESS, RUNS
from kancore.claims.comparisons import measured
from kancore.claims.verdicts import ANSWERS, judge
from kancore.figures import best_accuracy, style
from kancore.figures.declared import FIGURES
from kancore.figures.style import display_name
from kancore.intrinsic_dimension.estimates import paper_dimensions
from kancore.report import contents, html, markdown
from kancore.report.tables import (
    as_good_for_follow_ups,
    cautions,
    one_more,
    published,
    summary,
    with_ties,
)
from kancore.report.verdicts import measured as measured_with_interval
from kancore.report.verdicts import turns

REPORT = Path(__file__).parents[3] / "report"
TEMPLATE = (REPORT / "report.html.j2").read_text(encoding="utf-8")
MARKDOWN = (REPORT / "report.md.j2").read_text(encoding="utf-8")
PUBLISHED = pd.read_csv(REPORT.parent / "published" / "accuracies.csv")
COMPARISONS = pd.read_csv(REPORT.parent / "published" / "comparisons.csv")
DIMENSIONS = paper_dimensions(pd.read_csv(REPORT.parent / "published" / "intrinsic_dimension.csv"))
CAPTION = "A <title>\n=========\n\nText with *emphasis*.\n"
NASTY = '<script>alert("1 & 2")</script>'
MISSING = "\N{EN DASH}"
VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """Every element with its attributes, text of cells by table, ids; checks the nesting."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.tables, self.cell = [], [], {}, None
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows = self.tables[attributes["id"]] = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = tag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == self.cell:
            self.cell = None

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def dataset(name):
    """The summary of a data set of two classes."""
    return {
        **{"name": name, "features": 784, "class_names": ["0", "1"], "source": "made up"},
        **{"train_counts": [30, 20], "test_counts": [6, 4], "checksum": "c0ffee" * 8},
    }


def figure(name="a", caption=CAPTION, svg="<svg></svg>", experiment="grid"):
    return {"name": name, "caption": caption, "svg": svg, "experiment": experiment}


def caption_of(name):
    return (REPORT / f"{name}.rst").read_text(encoding="utf-8")


def verdicts_on(runs, follow_ups):
    return judge(measured(runs, follow_ups, DIMENSIONS), COMPARISONS, other=())


@cache
def untested():
    """Verdicts on no runs, the same for all pages that are not about them."""
    nothing = RUNS.empty_table().to_pandas()
    return verdicts_on(nothing, nothing)


def contents_of(runs, timings, **changes):
    nothing = runs.iloc[:0]
    given = {
        "study": "made_up",
        "settings": {"epochs": 20, "datasets": ["mnist"]},
        "figures": [figure()],
        "follow_ups": nothing,
        "claims": changes.get("claims") or untested(),
        "firmness": pd.DataFrame(columns=FIRMNESS.names),
        "published": PUBLISHED,
        "datasets": [dataset(name) for name in dict.fromkeys(runs["dataset"])],
        **changes,
    }
    return contents(runs=runs, timings=timings, **given)


def page_of(runs, timings, **changes):
    return html(TEMPLATE, contents_of(runs, timings, **changes))


@pytest.fixture(scope="module")
def few(runs):
    """Runs of one data set, for pages that are looked at for something else."""
    return runs[runs["dataset"] == "mnist"]


@pytest.fixture(scope="module")
def shown(runs, timings, follow_ups):
    claims = verdicts_on(runs, follow_ups)
    return contents_of(runs, timings, follow_ups=follow_ups, claims=claims)


@pytest.fixture(scope="module")
def page(shown):
    return html(TEMPLATE, shown)


@pytest.mark.slow
def test_tables_hold_every_run_architecture_and_job(page, runs, timings):
    tables = Page(page).tables
    assert len(tables["runs"]) == 1 + len(runs)
    assert len(tables["best"]) == 1 + 3 * 9
    assert [row[1] for row in tables["timings"][1:]] == sorted(timings["sweep"])
    headings, first = tables["best"][:2]
    row = dict(zip(headings, first, strict=True))
    best = (
        best_schemes(runs).set_index(["dataset", "model", "depth"]).loc["mnist", "mlp", "2layers"]
    )
    assert (row["Data set"], row["Model"], row["Depth"]) == ("MNIST", "MLP", "2 layers")
    assert row["Test, %"] == f"{100 * best['test_accuracy']:.2f}"
    assert (row["Parameters"], row["Diverged"]) == ("25,408", "3")
    same_in_all_runs = {"Activation", "Degree", "Grid"}
    assert not same_in_all_runs & set(headings)
    assert (
        "<p>All runs of the grid that have it share: protocol clean, objective backpropagation, "
        "activation GELU, " in page
    )
    assert "degree 3, grid 5, seed 0.</p>" in page


@pytest.mark.slow
def test_missing_values_are_en_dashes(page, runs):
    headings, *rows = Page(page).tables["runs"]
    test, diverged = headings.index("Test, %"), headings.index("Diverged")
    assert sum(row[test] == MISSING for row in rows) == runs["test_accuracy"].isna().sum() > 0
    assert sum(row[diverged] == "yes" for row in rows) == runs["diverged"].sum()


@pytest.mark.slow
def test_best_on_test_stands_beside_the_best_on_validation(make_history, timings):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1)))
    headings, *rows = Page(page_of(runs, timings)).tables["best"]
    column = headings.index("Best on test, %")
    for row in rows:
        by_scheme = {}
        for run in runs.itertuples():
            if (display_name(run.model), display_name(run.depth)) == tuple(row[:2]):
                scheme = (run.initialization, run.optimizer, run.learning_rate)
                by_scheme.setdefault(scheme, []).append(run.best_test_accuracy)
        means = [sum(values) / len(values) for values in by_scheme.values()]
        highest = max(mean for mean in means if mean == mean)
        assert len(means) == 27
        assert row[column] == f"{100 * highest:.2f}"
        assert float(row[column]) >= float(row[headings.index("Test, %")])


def test_summary_has_the_best_architecture_of_each_model(page, runs):
    headings, *rows = Page(page).tables["summary"]
    assert headings == ["Data set", "MLP", "KAN", "Wide MLP"]
    assert [row[0] for row in rows] == ["MNIST", "Fashion-MNIST", "CIFAR-10"]
    best = best_schemes(runs)
    best = best[(best["dataset"] == "mnist") & (best["model"] == "kan")]
    expected = best.loc[best["validation_accuracy"].idxmax(), "test_accuracy"]
    assert rows[0][2] == f"{100 * expected:.2f}"


def test_ties_and_small_test_parts_are_told_beside_the_numbers(runs):
    """Intervals are Wilson's, from the formula; other data sets have enough examples."""
    digits = runs[(runs["dataset"] == "mnist") & ~runs["diverged"]].assign(dataset="digits")
    mlp = (digits["model"] == "mlp") & (digits["depth"] == "2layers")
    tied = digits[mlp].nlargest(6, "test_accuracy").index
    digits.loc[tied, "validation_accuracy"] = 1.0
    best = best_schemes(pd.concat([digits, runs]))
    ranked = best[(best["dataset"] == "digits")]
    found = cautions(best, {"digits": 360, "mnist": 10**6, "cifar10": 10**6})
    p, n, z = ranked["test_accuracy"].max(), 360, 1.959964
    p = round(p * n) / n
    middle, half = p + z**2 / 2 / n, z * (p * (1 - p) / n + (z / 2 / n) ** 2) ** 0.5
    low, high = (100 * (middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    reached = 100 * digits.loc[tied, "test_accuracy"]
    assert found == [
        "Digits, 8 by 8, backpropagation, MLP: 6 schemes tie for the best validation accuracy, "
        f"100.00%; their test accuracies are {reached.min():.2f} to {reached.max():.2f}%.",
        "Digits, 8 by 8: one of its 360 test examples is 0.28 points, and "
        f"the 95% interval of {100 * ranked['test_accuracy'].max():.2f}% over such examples is "
        f"{low:.1f} to {high:.1f}%.",
    ]
    rows = with_ties(best)
    told = rows[rows["tied"].notna()]
    assert told["tied_range"].tolist() == [f"{reached.min():.2f} to {reached.max():.2f}"]
    assert told["tied"].tolist() == [6]
    assert "tied" not in with_ties(best[best["dataset"] == "mnist"])
    assert "schemes" in rows  # of Digits there are fewer
    rows = with_ties(best[best["dataset"] == "mnist"])
    assert "schemes" not in rows
    assert "diverged_schemes" in rows
    assert "diverged_schemes" not in with_ties(best[best["dataset"] == "digits"])


def test_architectures_that_tie_are_told_and_the_one_whose_network_is_kept_is_shown(runs):
    """The tie goes to the earlier best epoch, then to the higher training accuracy."""
    digits = runs[(runs["dataset"] == "mnist") & ~runs["diverged"]].assign(dataset="digits")
    mlp = digits["model"] == "mlp"
    tied = [
        digits[mlp & (digits["depth"] == depth)].index[:count]
        for depth, count in (("2layers", 1), ("3layers", 2), ("4layers", 1))
    ]
    every = tied[0].union(tied[1]).union(tied[2])
    digits.loc[every, "validation_accuracy"] = 1.0
    digits.loc[every, "best_epoch"] = 4
    digits.loc[every, "train_accuracy"] = [0.9, 0.95, 0.9, 0.9]
    best = best_schemes(digits)
    reached = 100 * digits.loc[every, "test_accuracy"]
    assert cautions(best, {}) == [
        "Digits, 8 by 8, backpropagation, MLP: 4 schemes of 3 architectures tie for the best "
        "validation accuracy, 100.00%; their test accuracies are "
        f"{reached.min():.2f} to {reached.max():.2f}%."
    ]
    (row,) = summary(best, {}).rows
    highest = digits.loc[every, "train_accuracy"].idxmax()
    assert row[1] == f"{100 * digits.loc[highest, 'test_accuracy']:.2f}"
    digits.loc[tied[2], "best_epoch"] = 2
    (row,) = summary(best_schemes(digits), {}).rows
    assert row[1] == f"{100 * digits.loc[tied[2][0], 'test_accuracy']:.2f}"


def test_schemes_that_might_have_been_chosen_for_follow_ups_are_counted(runs):
    mnist = runs[(runs["dataset"] == "mnist") & (runs["experiment"] == "grid")]
    chosen = best_kan_scheme(mnist, "mnist")
    assert as_good_for_follow_ups(mnist, "mnist", chosen) == 0
    own = (mnist[list(SCHEME)] == pd.Series(vars(chosen))[list(SCHEME)]).all(axis=1)
    same = own | ((mnist["optimizer"] == "sgd") & (mnist["learning_rate"] == 0.0005))
    tied = mnist.assign(validation_accuracy=mnist["validation_accuracy"].mask(same, 1.0))
    assert as_good_for_follow_ups(tied, "mnist", best_kan_scheme(tied, "mnist")) == 3


def test_facts_count_the_study(page):
    for fact in ("729", "252", "81 (8.3%)", "10 min 21 s", "x86_64 AVX2", "0123456789ab"):
        assert f"<dd>{fact}</dd>" in page


def test_provenance_names_code_versions_device_and_seeds(page, runs):
    shown = page.split('id="provenance"')[1]
    pairs = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", shown))
    assert pairs["Revision"] == "0123456789ab"
    assert (pairs["PyTorch"], pairs["Python"], pairs["kancore"]) == ("2.9.0", "3.11.9", "0.1.0")
    assert (pairs["Device"], pairs["Seeds"]) == ("x86_64 AVX2", "0, 1")
    code = runs.loc[runs["model"] == "mlp", "code"].unique().tolist()
    assert [pairs["Training code, MLP (backprop)"]] == code
    assert pairs["Data, MNIST"] == "c0ffeec0ffeec0ff"


@pytest.mark.slow
def test_page_is_whole_and_the_same_each_time(page, runs, timings, follow_ups):
    parsed = Page(page)
    sources = [a.get("src", a.get("href")) for _, a in parsed.elements if {"src", "href"} & set(a)]
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for source in sources:
        assert source.startswith("data:image/svg+xml;base64,") or source[1:] in ids
    assert parsed.all("link") == []
    claims = verdicts_on(runs, follow_ups)
    assert page == page_of(runs, timings, follow_ups=follow_ups, claims=claims)


def test_page_is_accessible(page):
    parsed = Page(page)
    ids = {a["id"] for _, a in parsed.elements if "id" in a}
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(a["scope"] == "col" for a in parsed.all("th"))
    assert sum("aria-sort" in a for a in parsed.all("th")) == len(parsed.all("button")) > 0
    sortable = [a["id"] for a in parsed.all("table") if "sortable" in a["class"]]
    assert all(a["aria-labelledby"] in ids for _, a in parsed.elements if "aria-labelledby" in a)
    assert [a["for"] for a in parsed.all("label")] == [f"{name}-filter" for name in sortable]
    assert parsed.all("html") == [{"lang": "en"}]


def test_page_escapes_what_it_shows(runs, timings, shown):
    runs = runs[runs["dataset"] == "mnist"].assign(dataset=NASTY, code=NASTY)
    timings = timings.assign(device=NASTY, sweep=NASTY, git_revision=NASTY)
    nasty = figure(caption=f"{NASTY}\n{'=' * 40}\n\n{NASTY}\n", svg=NASTY)
    changes = {
        "study": NASTY,
        "settings": {NASTY: NASTY},
        "figures": [nasty],
        "datasets": [{**dataset("mnist"), "source": NASTY}],
        "claims": [{**claim, "statement": NASTY, "reason": NASTY} for claim in untested()],
    }
    page = page_of(runs, timings, **changes)
    parsed = Page(page)
    assert NASTY not in page
    assert len(parsed.all("script")) == 1
    assert NASTY in {row[1] for row in parsed.tables["timings"]}


def test_configuration_is_shown_as_yaml(few, timings):
    settings = {"epochs": {"default": 3}, "grid_range": [-1, 1], "train_examples": None}
    page = page_of(few, timings, settings=settings)
    shown = page.split("<code>")[1].split("</code>")[0]
    assert yaml.safe_load(shown) == settings


@pytest.mark.slow
def test_two_objectives_and_several_seeds(make_history, timings, tmp_path):
    history = make_history(datasets=("mnist",), objectives=("backprop", "hsic"), seeds=(0, 1))
    runs, svg = summarize_runs(history), tmp_path / "a.svg"
    style.save(best_accuracy.draw(runs), svg, style.STYLE)
    page = page_of(runs, timings, figures=[figure(svg=svg.read_text())])
    assert "With the HSIC bottleneck" in page
    tables = Page(page).tables
    assert tables["summary"][0][:2] == ["Data set", "Objective"]
    assert [row[1] for row in tables["summary"][1:]] == ["backpropagation", "HSIC bottleneck"]
    assert "Seed" in tables["runs"][0]
    assert "Seed" not in tables["best"][0]


def test_a_study_that_diverged_has_a_report(runs, timings):
    at_once = runs[runs["test_accuracy"].isna()]
    tables = Page(page_of(at_once, timings)).tables
    assert {row[-1] for row in tables["runs"][1:]} == {"yes"}
    assert set(tables["summary"][1][1:]) == {MISSING}


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("Only text.\n", "caption of a: expected a title"),
        ("T\n=\n\n*open\n", "caption of a: .*start"),
    ],
)
def test_bad_caption_is_named(few, timings, caption, message):
    with pytest.raises(ValueError, match=message):
        page_of(few, timings, figures=[figure(caption=caption)])


@pytest.fixture(scope="module")
def captioned(shown):
    """Pages with all figures and their captions: of a study, on own data, and in Markdown."""
    found = {
        **shown,
        "figures": [{**figure(name, caption_of(name)), "sample": ""} for name in FIGURES],
    }
    own = {**found, "own_data": True}
    return html(TEMPLATE, found), html(TEMPLATE, own), markdown(MARKDOWN, found)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_caption(name, captioned):
    caption = caption_of(name)
    title = caption.splitlines()[0]
    page, own, text = captioned
    level = "h3" if name == "verdicts" else "h4"
    assert page.count(f">{title}</h") == page.count(f"<{level}>{title}</{level}>") == 1
    level = "h3" if name in ("verdicts", "best_accuracy") else "h4"
    assert own.count(f">{title}</h") == own.count(f"<{level}>{title}</{level}>") == 1
    assert "{{" not in caption
    assert f"### {title}\n\n![{title}](figures/{name}.svg)\n" in text


@pytest.mark.slow
def test_a_report_needs_no_torch():
    code = "import sys, kancore.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_verdicts_stand_on_top_of_the_page(page, shown):
    summary = page.split('id="overview-title"')[1].split("</section>")[0]
    found = re.findall(
        r'class="verdict ([\w-]+)"><span aria-hidden="true">(\S+)</span> ([\w :]+)<', summary
    )
    verdicts = [claim["verdict"] for claim in shown["verdicts"]]
    assert [style for style, *_ in found] == [name.replace(" ", "-") for name in verdicts]
    for (*_, words), name in zip(found, verdicts, strict=True):
        assert words in (name, ANSWERS.get(name))  # hypotheses are answered
    assert len(found) + len(shown["untested"]) == 29
    (line,) = re.findall(r"<p>Not tested with these runs: (.*)\.</p>", summary)
    assert line.split(", ") == [claim["name"] for claim in shown["untested"]]
    for claim in shown["untested"]:
        assert claim["reason"] in page


def test_bounds_stand_beside_numbers_and_what_agrees_has_two_columns(page):
    headings, *rows = Page(page).tables["verdicts"]
    row = dict(zip(headings, next(row for row in rows if row[0] == "C1"), strict=True))
    assert row["Needed"] == "-2.00 to +2.00"
    assert re.fullmatch(r"-\d\.\d\d", row["Measured [95%]"])
    assert row["Published (pairs)"] == "-0.49 (15)"
    assert row["Our numbers"] in ("agree", "same side", "other side")
    assert row["The paper's words"] == "hold"


def test_on_own_data_results_come_before_the_paper(few, timings):
    names = ("verdicts", "best_accuracy")
    figures = [figure(name, f"{name}\n{'=' * 20}\n\nText.\n") for name in names]
    settings = {"datasets": ["mnist"], "data": {"own": {"mnist": "mnist.parquet"}}}
    for name, first in (("own", "best_accuracy"), ("paper", "verdicts")):
        given = settings if name == "own" else {"datasets": ["mnist"]}
        found = contents_of(few, timings, settings=given, figures=figures)
        page = html(TEMPLATE, found)
        assert re.findall(r'<figure id="figure-(\w+)">', page)[0] == first
        assert (page.index('id="summary"') < page.index('id="figure-verdicts"')) == (name == "own")
        text = markdown(MARKDOWN, found)
        assert (text.index("### Accuracy") < text.index("### verdicts")) == (name == "own")


def test_only_one_section_is_unfolded_and_contents_lead_into_each(page):
    parsed = Page(page)
    sections = [a for a in parsed.all("details") if a.get("name") == "section"]
    assert len(sections) >= 9
    assert not any("open" in a for a in sections)
    links = [a["href"][1:] for a in parsed.all("a")]
    assert set(links) <= {a["id"] for _, a in parsed.elements if "id" in a}
    titles = re.findall(r'<summary><h2 id="([\w-]+)">', page)
    assert set(titles) <= set(links)


@pytest.mark.slow
def test_markdown_of_a_whole_study_stays_small(make_history, timings):
    """Five data sets, two objectives, three seeds; its tables beyond that are linked."""
    names = ("mnist", "fashion_mnist", "cifar10", "imdb", "higgs")
    history = make_history(names, ("backprop", "hsic"))
    shown = contents_of(
        summarize_runs(history),
        timings,
        figures=[figure(name, caption_of(name)) for name in FIGURES],
    )
    assert len(markdown(MARKDOWN, shown).encode()) < 60_000


def test_tests_of_claims_are_written_with_their_units(page):
    headings, *rows = Page(page).tables["claims"]
    rows = [dict(zip(headings, row, strict=True)) for row in rows]
    first = next(row for row in rows if row["Claim"] == "C1")
    assert first["Needed"] == "-2.00 to +2.00"
    assert re.fullmatch(r"-\d\.\d\d", first["Measured [95%]"])  # one seed gives no interval
    assert first["Published (pairs)"] == "-0.49 (15)"
    of_each = first["By data set"].split("; ")
    alone = r"-\d\.\d\d \(\N{MULTIPLICATION X}\)"
    for name, words in zip(("MNIST", "Fashion-MNIST", "CIFAR-10"), of_each, strict=True):
        assert re.fullmatch(f"{name} {alone}", words)
    assert {row["Verdict"] for row in rows if row["Claim"] == "C6"} == {"not tested"}
    efficiency = next(row for row in rows if row["Claim"] == "C9")
    assert efficiency["Needed"] == "above \N{MULTIPLICATION SIGN}1.00"
    share = next(row for row in rows if row["Claim"] == "C7")
    assert next(row for row in rows if row["Claim"] == "C3")["Needed"] == "above 0"
    assert (share["Needed"], share["Measured [95%]"]) == ("above 75%", "100%")
    interval = {"effect": -0.0306, "effect_low": -0.041, "effect_high": 0.002}
    part = {"summary": "effect", "unit": "accuracy", **interval}
    assert measured_with_interval(part) == "-3.06 [-4.10, +0.20]"


def test_what_turns_a_verdict_is_one_sentence():
    found = [
        ("optimizer", "adam", "supported", 0.0036),
        ("dispersion", "quartiles", "contradicted", -0.05),
        ("alone", "higgs", "contradicted", -0.01),
    ]
    names = ("choice", "setting", "verdict", "value")
    part = {"summary": "effect", "unit": "accuracy", "declared": "supported"}
    part["turns_on"] = [dict(zip(names, each, strict=True)) for each in found]
    assert turns(part) == (
        "depends on the measure of dispersion and the data set: supported by AdamW alone (+0.36); "
        "contradicted by spread as interquartile range (-5.00), HIGGS alone (-1.00)"
    )
    undecided = turns({**part, "declared": "inconclusive"})
    assert undecided.startswith(
        "depends on the optimizer and the measure of dispersion and the data set: supported by "
    )
    assert turns({**part, "turns_on": []}) == ""


def test_every_data_set_has_a_section(page, shown):
    tables = Page(page).tables
    assert [row[0] for row in tables["datasets"][1:]] == ["CIFAR-10", "Fashion-MNIST", "MNIST"]
    assert tables["datasets"][1][1:5] == ["784", "2", "50", "10"]
    claims = {row[0] for row in tables["mnist-claims"][1:]}
    assert claims == {f"C{number}" for number in range(1, 30)} - {"C6", "C11", "C14", "C17", "C18"}
    (first, *_) = tables["mnist-claims"][1:]
    assert re.fullmatch(r"-\d\.\d\d", first[2])  # and no interval of one seed
    assert first[3:] == ["3", "(\N{MULTIPLICATION X}) doubted"]
    assert "<dd>orthogonal, AdamW, 0.005</dd>" in page


def test_schemes_have_the_mean_of_each_model(page, runs):
    headings, *rows = Page(page).tables["schemes"]
    assert len(rows) == 27
    row = dict(zip(headings, rows[0], strict=True))
    kans = runs[(runs["model"] == "kan") & (runs["optimizer"] == "adam")]
    kans = kans[(kans["initialization"] == "kaiming_normal") & (kans["learning_rate"] == 0.0005)]
    assert row["KAN"] == f"{100 * kans['test_accuracy'].mean():.2f}"


def test_captions_say_n(page):
    words = (
        "n = 729 runs: 3 data sets, 9 architectures and 27 schemes of each, 1 objective, 1 seed."
    )
    assert f'<p class="soft">{words}</p></details></figcaption>' in page
    assert "<dt>Architectures of a data set</dt><dd>9</dd>" in page


def test_n_is_of_what_a_figure_is_drawn_from(runs, timings, follow_ups):
    """Each data set has one scheme of its own in follow-ups; intrinsic dimensions take no runs."""
    experiments = {name: FIGURES[name].experiment for name in FIGURES}
    names = ("activation_accuracy", "verdicts", "confusion", "dimension_accuracy")
    figures = [figure(name, experiment=experiments[name]) for name in names]
    shown = contents_of(runs, timings, follow_ups=follow_ups, figures=figures)
    activation, verdicts, confusion, dimension = (each["sample"] for each in shown["figures"])
    one = follow_ups[follow_ups["experiment"] == "activation"]
    assert one.groupby("dataset")["learning_rate"].nunique().eq(1).all()
    assert activation.startswith(f"n = {len(one)} runs: 3 data sets, ")
    assert " and 1 scheme of each, " in activation
    assert verdicts.endswith(f"1 objective, 1 seed. Follow-ups: {len(follow_ups)} runs.")
    assert confusion.startswith("The networks are chosen among these: n = 729 runs")
    assert dimension == ""


def test_examples_that_a_study_uses_stand_beside_those_prepared(runs, timings):
    settings = {"train_examples": {"default": None, "mnist": 20}, "models": ["mlp", "kan"]}
    shown = contents_of(runs, timings, settings=settings)
    headings, *rows = Page(html(TEMPLATE, shown)).tables["datasets"]
    used = headings.index("Training, used"), headings.index("Test, used")
    by_name = {row[0]: tuple(row[place] for place in used) for row in rows}
    assert by_name == {
        "MNIST": ("20", "10"),
        "Fashion-MNIST": ("50", "10"),
        "CIFAR-10": ("50", "10"),
    }
    assert ("Of these used", "20 + 10") in next(
        section["facts"] for section in shown["sections"] if section["name"] == "mnist"
    )
    whole = contents_of(runs, timings, settings={"models": ["mlp", "kan"]})
    assert "Training, used" not in whole["datasets"].headings


def test_the_words_of_the_table_of_verdicts_are_explained(shown):
    for text in (html(TEMPLATE, shown), markdown(MARKDOWN, shown)):
        assert {row["numbers"] for row in shown["verdicts"]} & {"same side", "other side"}
        assert "both lie on the same side" in " ".join(text.split())


def test_captions_say_what_the_figure_says_of_itself(few, timings):
    svg = "<svg><dc:description>In 3 of 4 pairs &amp; more.</dc:description></svg>"
    found = contents_of(few, timings, figures=[figure(svg=svg)])
    page = html(TEMPLATE, found)
    assert "<p>In 3 of 4 pairs &amp; more.</p>" in page
    assert 'alt="A &lt;title&gt;. In 3 of 4 pairs &amp; more."' in page
    assert "**In 3 of 4 pairs & more.**" in markdown(MARKDOWN, found)


def test_a_figure_with_nothing_to_draw_is_left_out(few, timings, tmp_path):
    style.save(style.nothing("no network is kept"), tmp_path / "a.svg", style.STYLE)
    found = contents_of(few, timings, figures=[figure(svg=(tmp_path / "a.svg").read_text())])
    assert found["figures"] == []
    assert "<figure" not in html(TEMPLATE, found)


def test_markdown_says_the_same(shown):
    text = markdown(MARKDOWN, shown)
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:  # every row has the cells of its heading
        lines = [re.sub(r"\\\|", "", line) for line in table.strip().splitlines()]
        assert len({line.count("|") for line in lines}) == 1, table
    best = next(table for table in tables if table.startswith("| Data set | Model | Depth"))
    assert len(best.splitlines()) == 2 + len(shown["best"].rows)
    for claim in shown["verdicts"]:
        assert f"| {claim['name']} | " in text
        assert f"{claim['mark']} {claim['verdict']} |" in text
    assert "![A <title>](figures/a.svg)" in text
    assert yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])["epochs"] == 20
    assert "](tables/follow_ups/runs.csv)" in text


def test_markdown_escapes_cells(few, timings):
    datasets = [{**dataset("mnist"), "source": "a|b <i>*c*"}]
    text = markdown(MARKDOWN, contents_of(few, timings, datasets=datasets))
    assert r"a\|b \<i\>\*c\*" in text


def test_published_figures_have_ours_beside_them(page, runs, timings):
    headings, *rows = Page(page).tables["published"]
    rows = [dict(zip(headings, row, strict=True)) for row in rows]
    row = next(
        row
        for row in rows
        if (row["Data set"], row["Model"], row["Depth"]) == ("MNIST", "KAN", "3 layers")
        and row["Objective"] == "backpropagation"
        and row["Runs"] != MISSING
    )
    own = runs[(runs["dataset"] == "mnist") & (runs["model"] == "kan")]
    own = own[own["depth"] == "3layers"]
    assert row["Best, %"] == "96.53"
    assert row["Best here, %"] == f"{100 * own['best_test_accuracy'].max():.2f}"
    accuracies = own["best_test_accuracy"].fillna(0)  # runs that were never evaluated
    assert row["Median here, %"] == f"{100 * accuracies.median():.2f}"
    assert row["Gap here, %"] == f"{100 * own['generalization_gap'].mean():.2f}"
    job = timings[timings["sweep"].str.startswith("mnist/backprop/kan-64x32/")].iloc[0]
    assert row["Epoch here, s"] == f"{job['seconds'] / 20 / 27:.3g}"
    lost = next(row for row in rows if row["Data set"] == "IMDB")
    assert lost["Best here, %"] == MISSING
    # Of as many layers, but 32 to 128 units wide where the published ones have 256 to 1,024.
    others = [row for row in rows if row["Data set"] == "CIFAR-10"]
    assert {row["Best here, %"] for row in others} == {MISSING}
    # The paper's table has no sizes; its networks are those of the runs.
    by_paper = next(
        row
        for row in rows
        if row["Parameters"] == MISSING and (row["Data set"], row["Degree"]) == ("MNIST", "3")
    )
    assert by_paper["Best here, %"] != MISSING
    assert not any("one more seed" in heading for heading in headings)


def test_published_figures_of_several_seeds_have_the_interval_of_one_more(make_history, timings):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1, 2)))
    shown = published(PUBLISHED, runs, timings)
    rows = [dict(zip(shown.headings, row, strict=True)) for row in shown.rows]
    row = next(row for row in rows if row["Parameters"] == "525,440")
    own = runs[(runs["model"] == "kan") & (runs["depth"] == "3layers")]
    for name, of_schemes in (("Best", "max"), ("Median", "median")):
        seeds = own.fillna({"best_test_accuracy": 0}).groupby("seed")["best_test_accuracy"]
        values = 100 * seeds.agg(of_schemes)
        low, high = scipy.stats.t.interval(
            0.95, df=2, loc=values.mean(), scale=values.std(ddof=1) * math.sqrt(4 / 3)
        )
        assert row[f"{name} here, %"] == f"{values.mean():.2f}"
        assert row[f"{name} of one more seed, %"] == f"{max(low, 0):.1f} to {min(high, 100):.1f}"


def test_seeds_that_agree_tell_nothing_of_one_more():
    assert one_more(pd.Series([0.9])) is None
    assert one_more(pd.Series([0.9, 0.9, 0.9])) is None


def audit_of(runs, effects):
    verdicts = verdicts_on(runs, runs.iloc[:0])
    return {"runs": runs, "effects": effects, "claims": {"clean": verdicts, "published": verdicts}}


@pytest.mark.slow
def test_an_audit_is_two_tables_of_effects_and_of_verdicts(runs, timings, audit):
    again = timings.assign(experiment="audit")
    both = pd.concat([timings, again])
    given = audit_of(runs, audit)
    found = contents_of(runs, both, audit=given)
    tables = Page(html(TEMPLATE, found)).tables
    assert len(tables["timings"]) == 1 + len(timings)
    headings, first = tables["audit-effects"][:2]
    row = dict(zip(headings, first, strict=True))
    assert (row["Departure"], row["Data set"]) == ("All departures (published)", "MNIST")
    own = audit[(audit["protocol"] == "published") & (audit["dataset"] == "mnist")]
    own = own[own["model"] == "mlp"].set_index("measure")
    effect, low, high = (f"{100 * own.loc['gap', name]:+.2f}" for name in ("effect", "low", "high"))
    assert row["Gap"] == f"{effect} [{low}, {high}]"
    factor = math.exp(own.loc["log_efficiency", "effect"])
    assert row["Efficiency"].startswith(f"\N{MULTIPLICATION SIGN}{factor:.2f} [")
    as_clean = [row for row in tables["audit-effects"] if "as clean" in row]
    assert {row[2] for row in as_clean} == {"MLP", "Wide MLP"}
    names, clean, published_one = tables["audit-claims"]
    assert names[:5] == ["Protocol", "C1", "C3.1", "C3.2", "C5"]
    assert (clean[0], published_one[0]) == ("Clean", "All departures (published)")
    assert clean[1:] == published_one[1:]
    part = given["claims"]["clean"][0]["parts"][0]
    assert clean[1].startswith(f"{100 * part['effect']:+.2f} ")
    text = markdown(MARKDOWN, found)
    assert "## Departures of the published code" in text
    assert "](tables/audit.csv)" in text


def test_recommendations_say_what_helps_by_how_much_and_where_not(runs, timings, stability):
    kans = timings[timings["model"] == "kan"].assign(experiment="stability", seed=0)
    factors = stability["factor"].unique()
    own = pd.concat([kans.assign(protocol=factor) for factor in factors])
    own.loc[own["protocol"] == "residual", "training_seconds"] *= 1.5
    found = {"runs": runs, "effects": stability, "combined": ["residual"]}
    shown = contents_of(runs, pd.concat([timings, own]), stability=found)
    tables = Page(html(TEMPLATE, shown)).tables
    assert len(tables["timings"]) == 1 + len(timings)
    headings, *rows = tables["stability-factors"]
    values = {row[0]: dict(zip(headings, row, strict=True)) for row in rows}
    assert values["Residual connections"]["Time of a step"] == "\N{MULTIPLICATION SIGN}1.50"
    assert values["Layer normalization"]["Outside grid, %"] == "10.0"
    assert values["Baseline"]["Outside grid, %"] == "30.0"
    assert tables["stability-outside"][0][1:3] == ["2 layers, layer 1, %", "2 layers, layer 2, %"]
    text = markdown(MARKDOWN, shown)
    pooled = stability[(stability["dataset"] == "all") & (stability["depth"] == "all")]
    rows = pooled[pooled["measure"] == "median"].set_index("factor")
    effect = f"{100 * rows.loc['clipping', 'effect']:+.2f}"
    assert "**Gradients clipped to norm 1** (hurts): median scheme " + effect in text
    assert "**Combined (Residual connections)** (helps): median scheme +" in text
    warm_up = next(line for line in text.splitlines() if "**Warm-up of one epoch**" in line)
    assert "(no difference): median scheme " in warm_up
    assert "The reverse holds for" in warm_up


def test_a_combination_of_no_factor_is_no_row(runs, timings, stability):
    kans = timings[timings["model"] == "kan"].assign(experiment="stability", seed=0)
    own = pd.concat([kans.assign(protocol=factor) for factor in stability["factor"].unique()])
    found = {"runs": runs, "effects": stability, "combined": []}
    shown = contents_of(runs, pd.concat([timings, own]), stability=found)["stability"]
    for table in (shown["factors"], shown["outside"]):
        names = [row[0] for row in table.rows]
        assert "Baseline" in names
        assert "Combined" not in names
