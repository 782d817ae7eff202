"""A study: settings with nothing left to defaults, and the networks that they ask for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import sqrt
from typing import Any

from kancore.intrinsic_dimension.subspaces import REFERENCE, Landscape, geometric_grid
from kancore.schemes import (
    AXES,
    WIDE_FACTOR,
    Architecture,
    HsicBottleneck,
    Sweep,
    Task,
    settings_of,
    tuples,
)
from kancore.studies.protocols import departures, protocol_name
from kancore.training.resources import SHAPES, shape

# Keys that say which networks there are, and which sweeps of them.
_OF_NETWORKS = (
    *("datasets", "models", "depths", "hidden_widths", "wide_factor", "wide_depths"),
    *("activations", "degrees", "grid_sizes", "grid_range"),
)
_OF_SWEEPS = ("objectives", "seeds", "stack", "depths_in_turn", "hsic")


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
    def protocol(self) -> str:
        """Name of the protocol: ``clean``, ``published``, or its departures."""
        known = self.settings["departures"]
        return protocol_name(departures(self.settings["protocol"], known), known)

    def under(self, made: Sequence[str]) -> "Study":
        """Give the same study with some departures of the published code."""
        settings = self.settings
        for name in made:
            settings = merge(settings, self.settings["departures"][name])
        return Study(self.name, {**settings, "protocol": list(made)})

    @property
    def grid(self) -> dict[str, Any]:
        """The settings that make the grid: all that `sweeps` needs."""
        found = self._settings_of(Architecture, Sweep, *_OF_NETWORKS, *_OF_SWEEPS)
        return {**found, "data": self._inputs}

    @property
    def landscape_settings(self) -> dict[str, Any]:
        """The settings that make landscapes: all that `landscapes` needs."""
        found = self._settings_of(Architecture, Task, *_OF_NETWORKS, "intrinsic_dimension")
        return {**found, "data": self._inputs}

    @property
    def _inputs(self) -> dict[str, Any]:
        """The settings of data that say how many inputs there are."""
        return {name: self.settings["data"][name] for name in ("imdb", "higgs")}

    def _settings_of(self, *of: type | str) -> dict[str, Any]:
        """Give the settings of these names, and those that are fields of these classes."""
        names = {each for each in of if isinstance(each, str)}
        for kind in of:
            names |= {each.name for each in settings_of(kind)} if isinstance(kind, type) else set()
        return {key: value for key, value in self.settings.items() if key in names}

    def sweeps(self) -> list[Sweep]:
        """Every sweep of the grid, in a fixed order."""
        split_axes = [field for field in AXES if field not in self.settings["stack"]]
        return [
            part
            for dataset, objective in product(
                self.settings["datasets"], self.settings["objectives"]
            )
            for architecture in self.architectures(dataset)
            # Layers of the user's own networks are not known, so backpropagation alone trains them.
            if objective == "backprop" or not architecture.own
            for seed in self.settings["seeds"]
            for split in self.sweep(dataset, objective, architecture, seed).split_by(split_axes)
            for part in split.own_apart()
        ]

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
            found += [other for other in self.architectures(dataset) if other not in found]
        return found

    def _landscape(self, dataset: str, architecture: Architecture, seed: int) -> Landscape:
        own = self.settings["intrinsic_dimension"]
        dimensions = geometric_grid(**own["dimensions"])
        options = _fields(Landscape, {**self.settings, **own}, architecture.model, dataset)
        what = dataset, "backprop", architecture, seed
        return Landscape(*what, dimensions=dimensions, **options)

    def sweep(self, dataset: str, objective: str, architecture: Architecture, seed: int) -> Sweep:
        """All schemes of the study of one architecture."""
        names = architecture.model, dataset
        options = _fields(Sweep, self.settings, *names)
        if objective == "hsic":
            own = self.settings["hsic"]
            for key in ("epochs", "batch_size"):
                options[key] = for_objective(self.settings, key, objective, *names)
            options["hsic"] = HsicBottleneck(**_fields(HsicBottleneck, own, *names))
        return Sweep(dataset, objective, architecture, seed, **options)

    def architectures(self, dataset: str) -> Iterator[Architecture]:
        """Every architecture of the grid on a data set, in a fixed order."""
        settings = self.settings
        widths = choose(settings["hidden_widths"], dataset)
        built = ((model, depths_of(settings, model, dataset)) for model in settings["models"])
        for model, depth in ((model, depth) for model, depths in built for depth in depths):
            if ":" in model:
                outputs = choose(settings["outputs"], model, dataset)
                yield Architecture(model, tuple(widths[depth]), activation=None, outputs=outputs)
                continue
            hidden_widths = tuple(widths[depth])
            if model == "wide_mlp":
                hidden_widths = self._wider(dataset, hidden_widths)
            options = _fields(Architecture, settings, model, dataset)
            axes = {"activation": choose(settings["activations"], model, dataset)}
            if model == "kan":
                axes |= {"degree": settings["degrees"], "grid_size": settings["grid_sizes"]}
                axes["grid_range"] = [tuple(settings["grid_range"])]
            for values in product(*axes.values()):
                varied = dict(zip(axes, values, strict=True))
                yield Architecture(model, hidden_widths, **varied, **options)

    def _wider(self, dataset: str, widths: tuple[int, ...]) -> tuple[int, ...]:
        """Widths of a wide MLP: multiplied, or so that it has as many parameters as the KAN."""
        settings = self.settings
        factor = settings["wide_factor"]
        if factor == "matched" and dataset not in SHAPES:  # its inputs are not known yet
            factor = WIDE_FACTOR
        elif factor == "matched":
            scaled = choose(settings["spline_scale"], "kan", dataset) == "trained"
            size = shape(dataset, settings["data"])
            outputs = choose(settings["outputs"], "wide_mlp", dataset) or size.classes
            layers = size.features, *widths, outputs
            numbers = settings["grid_sizes"][0] + settings["degrees"][0] + 1 + scaled
            factor = _matching(layers, numbers)
        return tuple(round(factor * width) for width in widths)


def _matching(widths: Sequence[int], numbers: int) -> float:
    """Multiple of its hidden widths by which an MLP has `numbers` parameters for each edge."""
    edges = [before * after for before, after in pairwise(widths)]
    # Some of its weights and biases grow with the square, others in proportion, others not at all.
    square, constant = sum(edges[1:-1]), widths[-1] - numbers * sum(edges)
    proportion = edges[0] + edges[-1] + sum(widths[1:-1])
    root = sqrt(proportion**2 - 4 * square * constant)
    return -2 * constant / (proportion + root)


def _fields(of: type, settings: Mapping[str, Any], model: str, dataset: str) -> dict[str, Any]:
    """Give the fields of a class that are settings, as they are for a model and a data set."""
    chosen = {
        each.name: choose(settings[each.name], model, dataset)
        for each in settings_of(of)
        if each.name in settings and model in each.metadata.get("models", (model,))
    }
    return tuples(chosen)


def depths_of(settings: Mapping[str, Any], model: str, dataset: str) -> list[str]:
    """List the depths of a model's networks on a data set."""
    kept = choose(settings["wide_depths"], model, dataset) if model == "wide_mlp" else None
    found = choose(settings["depths"], model, dataset)
    return [depth for depth in found if not kept or depth in kept]


def for_objective(settings: Mapping[str, Any], key: str, objective: str, *names: str) -> Any:
    """Value of a key for a model and a data set, of which HSIC may have its own."""
    own = choose(settings["hsic"][key], *names) if objective == "hsic" else None
    return own or choose(settings[key], *names)


def choose(value: Any, *names: str) -> Any:
    """Value for a model, a data set or both: its own, or the default, or the only one there is."""
    for _ in names:
        if isinstance(value, dict):
            value = value[next((name for name in names if name in value), "default")]
    return value


def merge(under: Any, over: Any) -> Any:
    """Lay one value over another; of mappings, entry by entry."""
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        return {**under, **{key: merge(under.get(key), value) for key, value in over.items()}}
    return over
