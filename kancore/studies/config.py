"""From a configuration to a study: every key checked, every axis spelled out."""

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product
from math import isfinite
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from kancore.data import DATASETS
from kancore.schemes import AXES
from kancore.studies.changes import BASELINE, COMBINED, audit_plan, audited, changed_by
from kancore.studies.protocols import CLEAN, PUBLISHED, departures
from kancore.studies.study import PER_DATASET, PER_MODEL, Study, choose, merge


class ConfigError(ValueError):
    """A configuration that names no study; the message is for the person who wrote it."""


def resolve(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Study:
    """Check a configuration and spell out the study that it picks.

    Parameters
    ----------
    config
        Keys ``study``, ``defaults`` and ``studies``, and any key of a study to override it. Text in
        an overriding value that looks like a number, ``true``, ``false`` or ``null`` is read as
        such: command lines hand over lists of text.
    schema
        JSON Schema of the configuration.

    Returns
    -------
    Study
        Defaults, under the study's own keys, under the departures of its protocol, under the
        overriding keys.

    Raises
    ------
    ConfigError
        Naming the key, its value and what was expected.
    """
    keys = schema["$defs"]["study"]["properties"]
    _check_keys(config, [])
    overrides = _typed({key: value for key, value in config.items() if key in keys})
    config = {**config, **overrides}
    _validate(config, schema)
    if config["study"] not in config["studies"]:
        raise _error(["study"], config["study"], f"one of {', '.join(config['studies'])}")
    if missing := [key for key in keys if key not in config["defaults"]]:
        raise _error(["defaults"], "no value", f"a value for {', '.join(missing)}")
    settings = merge(merge(config["defaults"], config["studies"][config["study"]]), overrides)
    study = Study(config["study"], settings)
    made = _departures(settings)
    study = Study(study.name, merge(study.under(made).settings, overrides))
    _check_together(study.settings)
    _check_audit(study)
    _check_stability(study)
    return study


def _departures(settings: Mapping[str, Any]) -> list[str]:
    """Name the departures that the settings' protocol makes."""
    known = settings["departures"]
    for name, changes in known.items():
        if inner := set(changes) & _NOT_CHANGED:
            key = min(inner)
            raise _error(["departures", name, key], changes[key], "no such key in a departure")
    made = departures(settings["protocol"], known)
    for where, names in (("protocol", made), ("audit.departures", settings["audit"]["departures"])):
        for name in names:
            if name not in known:
                expected = f"departures: {', '.join(known)}"
                also = "clean, published, or " if where == "protocol" else ""
                raise _error([where], settings["protocol"] if also else name, also + expected)
    return made


# Keys that neither departures nor factors may set.
_NOT_CHANGED = {"protocol", "departures", "audit", "stability"}
# Nor factors, of what pairs networks and names their jobs.
_KEPT = {
    *_NOT_CHANGED,
    *AXES.values(),
    *("datasets", "models", "objectives", "depths", "seeds", "stack", "depths_in_turn"),
    *("activations", "degrees", "grid_sizes", "hidden_widths"),
}


def _check_stability(study: Study) -> None:
    """Check the settings of the experiment on stability under each factor, as those of a study."""
    stability = study.settings["stability"]
    known = stability["factors"]
    for name, changes in known.items():
        if name in (BASELINE, COMBINED):
            raise _error(["stability", "factors", name], changes, "another name for a factor")
        if inner := set(changes) & _KEPT:
            key = min(inner)
            raise _error(
                ["stability", "factors", name, key], changes[key], "no such key in a factor"
            )
    for name in stability["train"]:
        if name not in known:
            expected = f"stability.factors: {', '.join(known)}"
            raise _error(["stability", "train"], name, expected)
    if not stability["train"]:
        return
    settings = changed_by(study, []).settings
    for key, needed in (("models", ["kan"]), ("objectives", ["backprop"])):
        if settings[key] != needed:
            raise _error(["stability", "settings", key], settings[key], f"{needed}")
    for name in stability["train"]:
        _check_together(changed_by(study, [name]).settings)


def _check_audit(study: Study) -> None:
    """Check the settings of the audit under every protocol, as those of a study."""
    if not any(audit_plan(study)):
        return
    clean = audited(study, CLEAN)
    for protocol in (CLEAN, PUBLISHED, *study.settings["audit"]["departures"]):
        settings = audited(study, protocol).settings
        _check_together(settings)
        for name in settings["datasets"]:
            if settings["data"].get(name) != clean.settings["data"].get(name):
                path = ["audit", "settings", "datasets"]
                expected = f"data sets that the protocol {protocol} prepares alike"
                raise _error(path, settings["datasets"], expected)


# Further keys with one value, or one for each data set and a default.
_OTHERS = ("outputs", "flips", "wide_depths", *AXES.values())


def _known(own: Mapping[str, str]) -> str:
    return ", ".join([*(name for name in DATASETS if name != "own"), *own])


def _typed(value: Any) -> Any:
    """Read the text inside a value as YAML would, but for names of data sets."""
    if isinstance(value, Mapping):
        return {key: part if key == "datasets" else _typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_typed(part) for part in value]
    if not isinstance(value, str):
        return value
    words = {"true": True, "false": False, "null": None}
    for read in (int, float, words.__getitem__):
        try:
            return read(value)
        except (ValueError, KeyError):
            continue
    return value


def _check_together(settings: Mapping[str, Any]) -> None:
    """Check what single keys cannot tell."""
    _check_finite(settings, [])
    low, high = settings["grid_range"]
    if not low < high:
        raise _error(["grid_range"], [low, high], "two numbers, the lower one first")
    tried = settings["intrinsic_dimension"]["dimensions"]
    if not tried["lowest"] <= tried["highest"]:
        path = ["intrinsic_dimension", "dimensions", "highest"]
        raise _error(
            path, tried["highest"], f"a whole number, at least the lowest, {tried['lowest']}"
        )
    own = settings["data"]["own"]
    for name in own:
        if name in DATASETS:
            raise _error(["data", "own", name], own[name], f"a name other than {_known({})}")
    for position, dataset in enumerate(settings["datasets"]):
        if dataset not in own and (dataset not in DATASETS or dataset == "own"):
            raise _error(["datasets", position], dataset, f"one of {_known(own)}")
    if "hsic" in settings["objectives"] and all(":" in name for name in settings["models"]):
        expected = "backprop alone, as models of your own are trained by backpropagation"
        raise _error(["objectives"], settings["objectives"], expected)
    if settings["warm_start"] and not {"optimizer", "learning_rate"} <= set(settings["stack"]):
        expected = "optimizer and learning_rate among them, as warm_start is true"
        raise _error(["stack"], settings["stack"], expected)
    keys = *PER_DATASET, "hidden_widths", *_OTHERS
    by_dataset: dict[tuple[str, ...], Any] = {(key,): settings[key] for key in keys}
    by_dataset |= {
        (key, model): value
        for key in PER_MODEL
        if isinstance(settings[key], Mapping)
        for model, value in settings[key].items()
    }
    for part in ("hsic", "intrinsic_dimension"):
        by_dataset |= {(part, key): settings[part][key] for key in ("batch_size", "epochs")}
    for (path, value), dataset in product(by_dataset.items(), settings["datasets"]):
        if isinstance(value, Mapping) and dataset not in value and "default" not in value:
            raise _error([*path], value, f"a value for {dataset}, or a default")
    for dataset, depth in product(settings["datasets"], settings["depths"]):
        widths = choose(settings["hidden_widths"], dataset).get(depth)
        needed = int(depth.removesuffix("layers")) - 1
        if widths is None or len(widths) != needed:
            key = dataset if dataset in settings["hidden_widths"] else "default"
            raise _error(["hidden_widths", key, depth], widths, f"a list of {needed} widths")


def _check_keys(value: Any, path: list) -> None:
    """Check that keys are text, which numbers and words such as null and yes are not to YAML."""
    for key, part in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(key, str):
            raise _error([*path, key], part, "a key that is text, so in quotes")
        _check_keys(part, [*path, key])


def _check_finite(value: Any, path: list) -> None:
    if isinstance(value, Mapping | list):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            _check_finite(part, [*path, key])
    elif isinstance(value, float) and not isfinite(value):
        raise _error(path, value, "a finite number")


def _validate(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    errors = list(Draft202012Validator(schema).iter_errors(config))
    if not errors:
        return
    error = _innermost(
        min(errors, key=lambda e: (e.validator == "unevaluatedProperties", len(e.path)))
    )
    path = list(error.absolute_path)
    if error.validator in ("unevaluatedProperties", "additionalProperties"):
        key, value, allowed = _unknown_key(error, schema)
        close = get_close_matches(key, allowed, 1)
        hint = f"did you mean {close[0]}? Allowed: " if close else "one of "
        raise _error([*path, key], value, f"no such key; {hint}{', '.join(allowed)}")
    raise _error(path, error.instance, _description(schema, path) or error.message)


def _innermost(error: ValidationError) -> ValidationError:
    """Where a value may have several forms, and has one but for a part of it, find that part."""
    while error.validator == "anyOf":
        forms: dict[str | int, list[ValidationError]] = {}
        for part in error.context:
            forms.setdefault(part.relative_schema_path[0], []).append(part)
        close = [parts for parts in forms.values() if all(part.relative_path for part in parts)]
        if len(close) != 1:
            break
        error = close[0][0]
    return error


def _unknown_key(error: ValidationError, schema: Mapping[str, Any]) -> tuple[str, Any, list[str]]:
    """Find the first key that is not allowed, its value, and the keys that are."""
    found, expected = error.instance, error.schema
    assert isinstance(found, Mapping)  # nothing else has keys
    assert isinstance(expected, Mapping)
    study = list(schema["$defs"]["study"]["properties"])
    own = expected.get("properties", {})
    allowed = [*own, *study] if error.validator == "unevaluatedProperties" else list(own)
    return next((key, value, allowed) for key, value in found.items() if key not in allowed)


def _description(schema: Mapping[str, Any], path: list) -> str | None:
    """Look up the description of the innermost key of `path` that has one."""
    study = schema["$defs"]["study"]["properties"]
    description, node = None, schema
    for key in path:
        others = node.get("additionalProperties")
        others = others if isinstance(others, Mapping) else {}
        node = node.get("properties", {}).get(key) or study.get(key) or others
        description = node.get("description", description)
    return description


def _error(path: list, value: Any, expected: str) -> ConfigError:
    key = ".".join(map(str, path)) or "(the whole file)"
    return ConfigError(f"config: {key} is {value!r}; expected {expected}")
