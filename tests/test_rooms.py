"""Imports within kancore lead one way: between its rooms as between its modules."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "kancore").rglob("*.py")
}


def imports(module):
    """Modules of kancore that a module imports, at any place in its code."""
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kancore"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in FILES else node.module for name in names)


def room(module):
    """Name of a folder of kancore, or of a module that stands above them."""
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("of", [room, str], ids=["rooms", "modules"])
def test_no_circle(of):
    graph = defaultdict(set)
    for module in FILES:
        graph[of(module)] |= {of(other) for other in imports(module)} - {of(module)}
    TopologicalSorter(graph).prepare()  # raises a CycleError that names the circle
