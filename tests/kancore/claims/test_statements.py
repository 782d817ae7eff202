"""The paper's statements: quoted letter by letter from the sections that they name."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from kancore.claims.declared import CLAIMS
from kancore.claims.statements import FINDING, HYPOTHESIS, RECOMMENDATION, STATEMENTS, TOPICS

# The paper's text, one paragraph a line, with the titles of sections, where it lies at hand.
PLACES = [folder / "shared" / "paper.txt" for folder in Path(__file__).resolve().parents]
# Digests of all sequences of `LENGTH` words, spaces and marks of each of its sections, in order.
DIGESTS = json.loads((Path(__file__).parent / "paper.json").read_text(encoding="utf-8"))
LENGTH = 7
QUOTES = [(name, *quote) for name, each in STATEMENTS.items() for quote in each.quotes]


def digests(text):
    words = re.findall(r"\w+|\s|[^\w\s]", text)
    windows = ("".join(words[at : at + LENGTH]) for at in range(len(words) - LENGTH + 1))
    return [sha256(window.encode()).hexdigest()[:6] for window in windows]


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
def test_quotations_stand_in_the_paper_in_their_section(name, words, section):
    """The paper's text is not needed: each quotation's digests stand in its section in a row."""
    own = digests(words)
    assert own
    assert "".join(own) in DIGESTS[section]


def test_a_word_that_is_not_the_papers_is_seen():
    words, section = STATEMENTS["C1"].quotes[0]
    for other in (words.replace("comparable", "similar"), words.replace(" a ", " the "), words[1:]):
        assert "".join(digests(other)) not in DIGESTS[section]


def test_digests_are_those_of_the_text(sections):
    del sections["References"], sections[None]
    assert {section: "".join(digests(text)) for section, text in sections.items()} == DIGESTS
    for _, words, section in QUOTES:
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
