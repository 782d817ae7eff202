"""What a value of a configuration may be, in words for messages, from its type."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from kancore.studies.settings import Config

# A node of a JSON Schema, as pydantic makes them.
_Node = dict[str, Any]


def expected(path: Sequence[str | int]) -> str:
    """Say what the value at a path may be; of what a list holds, what the list may be."""
    said = ""
    for end in range(len(path) + 1):
        node = _at(path[:end])
        said = node.get("description", said)
    if "description" in node or any(form.get("type") != "object" for form in _forms(node)):
        return _words(node)
    return f"a mapping of {', '.join(known)}" if (known := keys(path)) else said


def keys(path: Sequence[str | int]) -> list[str]:
    """List the keys that the mapping at a path may have."""
    return [key for form in _forms(_at(path)) for key in form.get("properties", ())]


@cache
def _schema() -> _Node:
    return Config.model_json_schema()


def _at(path: Sequence[str | int]) -> _Node:
    node = _schema()
    for key in path:
        if isinstance(key, int):
            break
        parts = [part for form in _forms(node) for part in _inside(form, key)]
        node = parts[0] if len(parts) == 1 else {"anyOf": parts}
    return node


def _inside(form: _Node, key: str) -> Iterator[_Node]:
    named = form.get("properties", {}).get(key)
    parts = named, form.get("additionalProperties"), *form.get("patternProperties", {}).values()
    yield from (part for part in parts if isinstance(part, dict))


def _forms(node: _Node) -> list[_Node]:
    """Give the forms that a value may have, one by one."""
    if "$ref" in node:
        node = {**_schema()["$defs"][node["$ref"].rpartition("/")[2]], **node}
    parts = node.get("anyOf") or node.get("oneOf")
    return [form for part in parts for form in _forms(part)] if parts else [node]


def _words(node: _Node) -> str:
    if "description" in node:
        return node["description"]
    forms = _forms(node)
    # Without what is by name, which has the same values.
    alone = [form for form in forms if not isinstance(form.get("additionalProperties"), dict)]
    names = [*dict.fromkeys(name for form in alone for name in _names(form))]
    known = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    others = dict.fromkeys(_words_of(form) for form in alone if not _names(form))
    words = ", or ".join(filter(None, [known, *others]))
    return words if alone == forms else f"{words}, or one for each model or data set, and a default"


def _names(form: _Node) -> list[str]:
    """List the values of a form that has few."""
    kinds = {"null": ["null"], "boolean": ["true", "false"]}
    few = form.get("enum", [form["const"]] if "const" in form else kinds.get(form.get("type", "")))
    return [*map(str, few or ())]


def _words_of(form: _Node) -> str:
    if "description" in form:
        return form["description"]
    if form.get("type") != "array":
        return f"a {_number(form)}"
    items = _forms(form["items"])
    names = [name for item in items for name in _names(item)]
    held = f"names: {', '.join(names)}" if names else _number(items[0], "s")
    return f"a list of {'different ' if form.get('uniqueItems') else ''}{held}"


def _number(form: _Node, plural: str = "") -> str:
    words = f"{'whole ' if form['type'] == 'integer' else ''}number{plural}"
    limits = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "to below",
        "maximum": "to" if "minimum" in form else "up to",
    }
    found = (f"{word} {form[key]}" for key, word in limits.items() if key in form)
    return " ".join([words, *found])
