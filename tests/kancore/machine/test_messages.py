"""What messages show: no secret of an address, no folder of the user's, nothing terminals obey."""

import errno
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kancore.machine.messages import first_line, is_address, plain, reason, shown, tell, told


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://me:secret@host:8080/a/b?token=secret#secret", "https://host:8080/a/b"),
        ("HTTPS://secret@host/a", "https://host/a"),
        ("http://host/a@b/c", "http://host/a@b/c"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("https://me:se/cret@host/a", "https://..."),
        ("https://me:secret@[::1/a", "https://..."),
        ("https://me:secret@host:port/a", "https://..."),
        ("/home/secret/data.npz", ".../data.npz"),
        ("/", "..."),
        ("data/mine.npz", "data/mine.npz"),
        ("a\x1b[2Jb.npz", r"a\x1b[2Jb.npz"),
    ],
)
def test_what_is_shown_of_a_source(source, expected):
    assert shown(source) == expected


def test_values_are_told_without_secrets():
    value = {
        "mirror": ["https://me:s3cret@h/m?t=1"],
        "https://me:s3cret@h": "/home/me/a.csv",
        "n": 1,
    }
    assert told(value) == {"mirror": ["https://h/m"], "https://h": ".../a.csv", "n": 1}


def test_paths_below_the_working_folder_are_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "results" / "a.npz") == "results/a.npz"
    assert shown(Path("results", "a.npz")) == "results/a.npz"


@given(
    st.text(st.characters(exclude_characters="/?#"), min_size=1),
    st.text(st.characters(exclude_characters="#"), min_size=1),
)
def test_no_secret_of_an_address_is_shown(user, query):
    marked = f"https://<<{user}>>@host/path?<<{query}>>"
    assert is_address(marked)
    assert "<<" not in shown(marked)
    assert ">>" not in shown(marked)


@given(st.text())
def test_plain_text_has_no_character_that_terminals_obey(text):
    found = plain(text)
    assert not [
        c for c in found if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"
    ]
    found.encode()
    if text.isprintable():
        assert found == text


def test_reasons_are_one_line_without_paths():
    number = errno.ENOENT
    assert reason(OSError(number, os.strerror(number), "/home/me/x")) == "No such file or directory"
    assert reason(ValueError("a\n b\x07")) == r"a b\x07"
    assert reason(KeyError()) == "KeyError"
    assert len(reason(ValueError("x" * 10**6))) == 1003


def test_what_is_told_is_plain(capsys):
    tell("\x1b]0;title\x07")
    assert capsys.readouterr().err == "\\x1b]0;title\\x07\n"


def test_the_first_line_of_an_error_is_its_type_where_it_has_no_words():
    assert first_line(RuntimeError("\nCUDA error: no kernel image\nCompile with ...")) == (
        "CUDA error: no kernel image"
    )
    assert first_line(AssertionError()) == "AssertionError"
