"""What the documentation names exists: functions, modules, files, headings that links lead to."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from kancore.figures.declared import FIGURES

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def _pages():
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]


@pytest.mark.parametrize("page", _pages())
def test_names_of_the_library_exist(page):
    for name in re.findall(r"`(kancore(?:\.\w+)+)[`(]", page.read_text()):
        resolve_name(name)


@pytest.mark.parametrize("page", _pages())
def test_files_of_the_project_exist(page):
    folders = "docs|kancore|profiles|published|report|rules|tests|workflow_scripts|envs"
    names = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    named = [name for name in names if "NAME" not in name]  # which stands for one of the reader's
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", _pages())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http:", "https:")):
            continue
        name, _, heading = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if heading:
            lines = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]
            assert heading in anchors, target


def test_every_figure_is_told_beside_those_of_the_paper():
    text = (ROOT / "docs/study.md").read_text()
    section = text.split("## The paper's figures")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) == set(FIGURES)


def test_one_accuracy_passes_every_stage():
    """The page that follows an accuracy names a file of each stage that it passes."""
    text = (ROOT / "docs/one_accuracy.md").read_text()
    for stage in ("data", "training"):
        assert f"`rules/{stage}.smk`" in text
    for program in ("fetch", "prepare", "train", "tables", "report"):
        assert f"`workflow_scripts/{program}.py`" in text
