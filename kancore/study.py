"""From a configuration to a study: every key checked, every axis spelled out, every sweep named."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import product
from math import isfinite
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from kancore.datasets import DATASETS
from kancore.follow_ups import FollowUp
from kancore.intrinsic_dimension.subspaces import REFERENCE, Landscape, geometric_grid
from kancore.schemes import AXES, Architecture, HsicBottleneck, Sweep

# Keys that `Study.sweeps` does not need: where data come from, how a study runs, how it looks.
_NOT_GRID = (
    "data",
    "device",
    "threads",
    "checkpoint_seconds",
    "tf32",
    "compile",
    "figure_style",
    "follow_ups",
    "intrinsic_dimension",
)
# Keys of the grid that `Study.landscapes` does not need.
_OF_SWEEPS = ("objectives", "seeds", "stack", "hsic", *AXES.values())
# Keys with one value, or one for each data set and a default.
_PER_DATASET = ("epochs", "batch_size", "evaluate_every", "train_examples", "test_examples")


class ConfigError(ValueError):
    """A configuration that names no study; the message is for the person who wrote it."""


@dataclass(frozen=True)
class Study:
    """A study: its name and the value of every key, nothing left to defaults.

    Attributes
    ----------
    name : str
        Name of the study.
    settings : dict
        Plain values by key, as documented in the configuration.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def grid(self) -> dict[str, Any]:
        """The settings that make the grid: all that `sweeps` needs."""
        return {key: value for key, value in self.settings.items() if key not in _NOT_GRID}

    @property
    def landscape_settings(self) -> dict[str, Any]:
        """The settings that make landscapes: all that `landscapes` needs."""
        needed = {key: value for key, value in self.grid.items() if key not in _OF_SWEEPS}
        return {**needed, "intrinsic_dimension": self.settings["intrinsic_dimension"]}

    def sweeps(self) -> list[Sweep]:
        """Every training job of the study, in a fixed order."""
        split_axes = [field for field in AXES if field not in self.settings["stack"]]
        return [
            part
            for dataset, objective in product(
                self.settings["datasets"], self.settings["objectives"]
            )
            for architecture in self._architectures(dataset)
            for seed in self.settings["seeds"]
            for part in self._sweep(dataset, objective, architecture, seed).split_by(split_axes)
        ]

    def follow_ups(self) -> list[FollowUp]:
        """Every job of the follow-up experiments; none unless the grid has KANs under backprop."""
        settings = self.settings["follow_ups"]
        if "kan" not in self.settings["models"] or "backprop" not in self.settings["objectives"]:
            return []
        return [
            FollowUp(
                experiment,
                dataset,
                seed,
                self._follow_up_architectures(experiment, dataset),
                self._options(dataset),
            )
            for experiment in settings["experiments"]
            for dataset in self.settings["datasets"]
            for seed in settings[experiment]["seeds"]
        ]

    def _follow_up_architectures(self, experiment: str, dataset: str) -> tuple[Architecture, ...]:
        """Vary what the experiment varies in the first KAN that the grid has of each depth."""
        axes = self.settings["follow_ups"][experiment]
        kans = {kan.depth: kan for kan in reversed([*self._architectures(dataset)]) if kan.degree}
        kans = [kans[depth] for depth in self.settings["depths"]]
        if experiment == "width_degree":
            return tuple(
                replace(kans[0], hidden_widths=(width,) * layers, degree=degree)
                for layers, width, degree in product((1, 2), axes["widths"], axes["degrees"])
            )
        values = axes["activations"] if experiment == "activation" else axes["grid_sizes"]
        return tuple(replace(kan, **{experiment: value}) for kan, value in product(kans, values))

    def landscapes(self) -> list[Landscape]:
        """Every loss landscape whose intrinsic dimension is measured, in a fixed order."""
        settings = self.settings["intrinsic_dimension"]
        return [
            self._landscape(dataset, architecture, seed)
            for dataset in self.settings["datasets"]
            for architecture in self._landscape_architectures(dataset)
            for seed in settings["seeds"]
        ]

    def _landscape_architectures(self, dataset: str) -> list[Architecture]:
        networks = self.settings["intrinsic_dimension"]["networks"]
        found = [REFERENCE] if "reference" in networks else []
        if "architectures" in networks:
            found += [other for other in self._architectures(dataset) if other not in found]
        return found

    def _landscape(self, dataset: str, architecture: Architecture, seed: int) -> Landscape:
        settings = self.settings["intrinsic_dimension"]
        options = self._options(dataset)
        options |= {key: _choose(settings[key], dataset) for key in ("epochs", "batch_size")}
        return Landscape(
            dataset=dataset,
            architecture=architecture,
            dimensions=geometric_grid(**settings["dimensions"]),
            seed=seed,
            **{key: settings[key] for key in ("projection", "refinements", "learning_rate")},
            **options,
        )

    def _options(self, dataset: str) -> dict[str, Any]:
        """Give what sweeps of a data set take beside schemes, architecture, objective and seed."""
        chosen = {key: _choose(self.settings[key], dataset) for key in _PER_DATASET}
        return {**chosen, "validation_fraction": self.settings["validation_fraction"]}

    def _sweep(self, dataset: str, objective: str, architecture: Architecture, seed: int) -> Sweep:
        settings = self.settings
        options = self._options(dataset)
        if objective == "hsic":
            hsic = dict(settings["hsic"])
            for key in ("epochs", "batch_size"):
                options[key] = _choose(hsic.pop(key), dataset) or options[key]
            options["hsic"] = HsicBottleneck(**hsic)
        return Sweep(
            dataset=dataset,
            objective=objective,
            architecture=architecture,
            seed=seed,
            **{axis: tuple(settings[axis]) for axis in AXES.values()},
            **options,
        )

    def _architectures(self, dataset: str) -> Iterator[Architecture]:
        settings = self.settings
        widths = _choose(settings["hidden_widths"], dataset)
        for model, depth, activation in product(
            settings["models"], settings["depths"], settings["activations"]
        ):
            factor = settings["wide_factor"] if model == "wide_mlp" else 1
            common = {
                "model": model,
                "hidden_widths": tuple(factor * width for width in widths[depth]),
                "activation": activation,
                "dropout": _choose(settings["dropout"], model),
                "batch_norm": _choose(settings["batch_norm"], model),
            }
            if model != "kan":
                yield Architecture(**common)
                continue
            for degree, grid_size in product(settings["degrees"], settings["grid_sizes"]):
                yield Architecture(
                    **common,
                    degree=degree,
                    grid_size=grid_size,
                    grid_range=tuple(settings["grid_range"]),
                )


def _choose(value: Any, name: str) -> Any:
    """Value for a data set or model: its own, or the default, or the only one there is."""
    if isinstance(value, Mapping):
        return value[name] if name in value else value["default"]
    return value


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
        Defaults, under the study's own keys, under the overriding ones.

    Raises
    ------
    ConfigError
        Naming the key, its value and what was expected.
    """
    keys = schema["$defs"]["study"]["properties"]
    overrides = {key: _typed(value) for key, value in config.items() if key in keys}
    config = {**config, **overrides}
    _validate(config, schema)
    if config["study"] not in config["studies"]:
        raise _error(["study"], config["study"], f"one of {', '.join(config['studies'])}")
    if missing := [key for key in keys if key not in config["defaults"]]:
        raise _error(["defaults"], "no value", f"a value for {', '.join(missing)}")
    settings = _merge(_merge(config["defaults"], config["studies"][config["study"]]), overrides)
    _check_together(settings)
    return Study(config["study"], settings)


def _known(own: Mapping[str, str]) -> str:
    return ", ".join([*(name for name in DATASETS if name != "custom"), *own])


def _merge(under: Any, over: Any) -> Any:
    """Lay one value over another; of mappings, entry by entry."""
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        return {**under, **{key: _merge(under.get(key), value) for key, value in over.items()}}
    return over


def _typed(value: Any) -> Any:
    """Read the text inside a value as YAML would."""
    if isinstance(value, Mapping):
        return {key: _typed(part) for key, part in value.items()}
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
        if dataset not in own and (dataset not in DATASETS or dataset == "custom"):
            raise _error(["datasets", position], dataset, f"one of {_known(own)}")
    by_dataset = {(key,): settings[key] for key in (*_PER_DATASET, "hidden_widths")}
    for part in ("hsic", "intrinsic_dimension"):
        by_dataset |= {(part, key): settings[part][key] for key in ("batch_size", "epochs")}
    for (path, value), dataset in product(by_dataset.items(), settings["datasets"]):
        if isinstance(value, Mapping) and dataset not in value and "default" not in value:
            raise _error([*path], value, f"a value for {dataset}, or a default")
    for dataset, depth in product(settings["datasets"], settings["depths"]):
        widths = _choose(settings["hidden_widths"], dataset).get(depth)
        needed = int(depth.removesuffix("layers")) - 1
        if widths is None or len(widths) != needed:
            key = dataset if dataset in settings["hidden_widths"] else "default"
            raise _error(["hidden_widths", key, depth], widths, f"a list of {needed} widths")


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
    error = min(errors, key=lambda e: (e.validator == "unevaluatedProperties", len(e.path)))
    path = list(error.absolute_path)
    if error.validator in ("unevaluatedProperties", "additionalProperties"):
        key, allowed = _unknown_key(error, schema)
        close = get_close_matches(key, allowed, 1)
        hint = f"did you mean {close[0]}? Allowed: " if close else "one of "
        value = error.instance[key]
        raise _error([*path, key], value, f"no such key; {hint}{', '.join(allowed)}")
    raise _error(path, error.instance, _description(schema, path) or error.message)


def _unknown_key(error: ValidationError, schema: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Find the first key that is not allowed, and those that are."""
    study = list(schema["$defs"]["study"]["properties"])
    own = error.schema.get("properties", {})
    allowed = [*own, *study] if error.validator == "unevaluatedProperties" else list(own)
    return next(key for key in error.instance if key not in allowed), allowed


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
