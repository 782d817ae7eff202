"""C++ sources as a compiler reads them: comments, white space and line breaks do not count.

``setup.py`` loads this file by its path, so it imports nothing of the package.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_PREFIX = r"(?:u8|[uUL])?"
_RAW = _PREFIX + r'R"(?P<delimiter>[^()\\\s"]{0,16})\(.*?\)(?P=delimiter)"'
# Lines that a backslash joins; in raw strings it joins none.
_JOINT = re.compile(rf"(?P<raw>{_RAW})|\\\n", re.DOTALL)
# Where nothing else matters, what is frequent comes first. Two ``>`` stay apart, as they may end
# two templates; where they are a shift, nothing may stand between them.
_TOKEN = re.compile(
    rf"""
    (
        [^\W\d]\w*\b(?!["'])
        | [](){{}};,[]
        | \.?\d(?:[eEpP][+-]|'?[\w.])*
        | {_RAW}\w*
        | {_PREFIX}"(?:\\.|[^"\\\n])*"\w*
        | {_PREFIX}'(?:\\.|[^'\\\n])*'\w*
        # A parenthesis that follows its name at once makes a macro a function.
        | \#[^\S\n]*define[^\S\n]+\w+\(?
        | \w+
        | <=> | <<= | ->\* | \.\.\. | :: | -> | \.\* | \+\+ | -- | << | && | \|\| | \#\#
        | [-+*%&|^<>=!]= | /=
        | /(?![/*]) | [^/\s] | \n
    )[^\S\n]*
    | //[^\n]* | /\*.*?\*/ | [^\S\n]+
    """,
    re.DOTALL | re.VERBOSE,
)


def tokens(text: str) -> list[str]:
    """Split C++ into what a compiler tells apart.

    A line break is a token only where it ends a directive of the preprocessor. Macros that make
    strings of their arguments (``#x``) would see white space that is lost here.
    """
    if 'R"' in text:
        joined = _JOINT.sub(lambda found: found["raw"] or "", text)
    else:
        joined = text.replace("\\\n", "")
    found: list[str] = []
    directive, begins = False, True
    for token, _ in _TOKEN.findall(joined):
        if token == "\n":
            if directive:
                found.append(token)
            directive, begins = False, True
        elif token:
            directive |= begins and token[0] == "#"
            begins = False
            if token[0] == "#" and len(token) > 2:  # a macro's definition
                _, define, macro = token.partition("define")
                found += ["#", define, macro.strip()]
            else:
                found.append(token)
    return found


@cache
def _content(file: Path) -> str:
    found = tokens(file.read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(found).encode()).hexdigest()


def source_digest(files: Iterable[Path]) -> str:
    """Digest of sources, in their order, by their tokens: 16 hexadecimal digits."""
    return hashlib.sha256(" ".join(map(_content, files)).encode()).hexdigest()[:16]
