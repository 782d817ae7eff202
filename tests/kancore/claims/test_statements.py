"""The paper's statements: quoted letter by letter from the sections that they name."""

import re
from pathlib import Path

import pytest

from kancore.claims.declared import CLAIMS
from kancore.claims.statements import FINDING, HYPOTHESIS, RECOMMENDATION, STATEMENTS, TOPICS

# The paper's text, one paragraph a line, with the titles of sections, where it lies at hand.
PLACES = [folder / "shared" / "paper.txt" for folder in Path(__file__).resolve().parents]
QUOTES = [(name, *quote) for name, each in STATEMENTS.items() for quote in each.quotes]


@pytest.fixture(scope="module")
def sections():
    paper = next((place for place in PLACES if place.exists()), None)
    if paper is None:
        pytest.skip("no shared/paper.txt beside the project's folder")
    titles = re.compile(r"^(Abstract|References|\d(?:\.\d)*)(?: [A-Z].*)?$")
    found, section = {}, None
    for line in paper.read_text(encoding="utf-8").splitlines():
        if title := titles.match(line):
            section = title[1]
        found[section] = f"{found.get(section, '')} {line}"
    return found


@pytest.mark.parametrize(("name", "words", "section"), QUOTES)
def test_quotations_stand_in_the_paper_in_their_section(name, words, section, sections):
    assert words in sections[section]


def test_every_statement_has_tests_and_every_test_a_statement():
    assert [claim.name for claim in CLAIMS] == list(STATEMENTS)
    assert all(claim.statement is STATEMENTS[claim.name] for claim in CLAIMS)
    assert all(claim.parts for claim in CLAIMS)


def test_what_the_paper_poses_or_expects_is_a_hypothesis():
    for statement in STATEMENTS.values():
        words = " ".join(quote for quote, _ in statement.quotes)
        posed = re.search(r"hypothesi[sz]e|we expect|may not", words) is not None
        assert (statement.kind == HYPOTHESIS) == posed
        assert statement.kind in (FINDING, HYPOTHESIS, RECOMMENDATION)


def test_every_statement_is_about_one_topic():
    assert sorted(name for names in TOPICS.values() for name in names) == sorted(STATEMENTS)
