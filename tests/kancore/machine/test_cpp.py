"""C++ by its tokens: what a compiler tells apart, and what it does not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kancore.machine.cpp import source_digest, tokens

LAYERS = Path(__file__).resolve().parents[3] / "kancore" / "layers"
SOURCES = sorted(LAYERS.glob("*_cpp/*"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("int a = 1;", "int  a=1 ; // one"),
        ("a + +b", "a+\n  +b"),
        ("a /* b */ c", "a\nc"),
        ("f(x, /* // */ y)", "f(x,y)"),
        ("A<B<int>> c", "A<B<int> > c"),
        ("x >>= 2", "x >>=2"),
        ("#define F(x) x\ny", "#  define   F( x )  x // all\n\n y"),
        ("#define F(x) \\\n  x + 1", "#define F(x) x + 1"),
        ("#if A /* of\ntwo */ && B\nc", "#if A&&B\nc"),
        ('f("a") // "b"', 'f( "a" )'),
        ("'\\''; // '", "'\\'' ;"),
        ("1'000 'a'", "1'000  'a'"),
        ("// a \\\n b\nc", "c"),
        ("a;\r\nb;".replace("\r\n", "\n"), "a; b;"),
    ],
)
def test_layout_and_comments_do_not_count(one, other):
    assert tokens(one) == tokens(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a + +b", "a ++b"),
        ("a - -b", "a --b"),
        ("a & &b", "a &&b"),
        ("a < < b", "a << b"),
        ("a = = b", "a == b"),
        ("a / b", "a // b"),
        ("int a", "inta"),
        ("1.f", "1. f"),
        ("1e-3", "1e - 3"),
        ('"a // b"', '"a"'),
        ('"a  b"', '"a b"'),
        ('"/* a */"', '""'),
        (r'"\"//" + a', r'"\"//"'),
        ("'\"' // a\n", '\'"\' "a"'),
        ("' '", "'  '"),
        ('L"a"', 'L "a"'),
        ('R"(a // b)"', 'R"(a)"'),
        ('R"x(a)" b)x"', 'R"x(a)"  b)x"'),
        ('R"(a\\\nb)"', 'R"(ab)"'),
        ("#define F(x) x", "#define F (x) x"),
        ("#define A\nb", "#define A b"),
        ("#if A\n#endif", "#if A #endif"),
        ("a // \\\nb", "a\nb"),
    ],
)
def test_what_a_compiler_tells_apart_counts(one, other):
    assert tokens(one) != tokens(other)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize("module", ["local_support", "products"])
def test_a_compiler_makes_the_same_of_the_tokens(module, tmp_path):
    for file in SOURCES:
        copy = tmp_path / file.relative_to(LAYERS)
        copy.parent.mkdir(exist_ok=True)
        # All that the tokens say, with a line of its own for each, but in directives.
        lines, directive = "", False
        for token in tokens(file.read_text()):
            if token == "#" and not directive:
                lines, directive = lines + "\n", True
            lines += token + (" " if directive else "\n")
            directive &= token != "\n"
        # But shifts are two tokens, and blanks would be part of the name of what is included.
        lines = lines.replace(">\n>", ">>")
        copy.write_text(lines.replace("< ", "<").replace(" >", ">").replace(" . ", "."))
    made = []
    for folder in (LAYERS, tmp_path):
        options = ["-std=c++17", "-fno-math-errno", "-S", "-o-", '-DKANCORE_SOURCE=""']
        command = ["g++", *options, folder / f"{module}_cpp" / "library.cpp"]
        made.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert "kancore_forward" in made[0]
    assert made[0] == made[1]


def test_the_sources_make_no_strings_of_what_they_say():
    for file in SOURCES:
        found = tokens(file.read_text())
        assert not {"__LINE__", "__FILE__", "__COUNTER__", "assert"} & {*found}
        signs = [place for place, token in enumerate(found) if token == "#"]
        directives = {
            "include",
            "define",
            "undef",
            "if",
            "ifdef",
            "elif",
            "else",
            "endif",
            "pragma",
        }
        assert {found[place + 1] for place in signs} <= directives


def test_a_digest_is_of_the_files_in_their_order(tmp_path):
    one, other = tmp_path / "one.h", tmp_path / "other.h"
    one.write_text("int a;")
    other.write_text("int b;")
    found = {source_digest(files) for files in ((one, other), (other, one), (one,))}
    assert len(found) == 3
