"""A study: settings with nothing left to defaults, and the networks that they ask for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from kancore.intrinsic_dimension.subspaces import REFERENCE, Landscape, geometric_grid
from kancore.schemes import AXES, Architecture, HsicBottleneck, Sweep
from kancore.studies.protocols import departures, protocol_name

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
    "protocol",
    "departures",
    "audit",
    "stability",
)
# Keys of the grid that `Study.landscapes` does not need.
_OF_SWEEPS = (
    "objectives",
    "seeds",
    "stack",
    "depths_in_turn",
    "hsic",
    "warm_start",
    "whole_test_batches",
    "flips",
    "first_evaluation",
    "weight_decay",
    "warmup_epochs",
    "rate_decay",
    "clip_norm",
    "label_smoothing",
    *AXES.values(),
)
# Keys with one value, or one for each data set and a default.
PER_DATASET = ("epochs", "batch_size", "evaluate_every", "train_examples", "test_examples")
# Keys with one value, or one for each model, which may be one for each data set and a default.
PER_MODEL = ("activations", "dropout", "batch_norm", "layer_norm")


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
        return {key: value for key, value in self.settings.items() if key not in _NOT_GRID}

    @property
    def landscape_settings(self) -> dict[str, Any]:
        """The settings that make landscapes: all that `landscapes` needs."""
        needed = {key: value for key, value in self.grid.items() if key not in _OF_SWEEPS}
        return {**needed, "intrinsic_dimension": self.settings["intrinsic_dimension"]}

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
            for part in self.sweep(dataset, objective, architecture, seed).split_by(split_axes)
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
        settings = self.settings["intrinsic_dimension"]
        options = self._options(dataset)
        options |= {key: choose(settings[key], dataset) for key in ("epochs", "batch_size")}
        return Landscape(
            dataset=dataset,
            architecture=architecture,
            dimensions=geometric_grid(**settings["dimensions"]),
            seed=seed,
            **{
                key: settings[key]
                for key in ("projection", "refinements", "learning_rate", "patience")
            },
            **options,
        )

    def _options(self, dataset: str) -> dict[str, Any]:
        """Give what sweeps of a data set take beside schemes, architecture, objective and seed."""
        chosen = {key: choose(self.settings[key], dataset) for key in PER_DATASET}
        same = {key: self.settings[key] for key in ("validation_fraction", "scaling")}
        return {**chosen, **same}

    def _sweep_options(self, dataset: str) -> dict[str, Any]:
        """Give what every kind of sweep of a data set takes."""
        names = (
            *("whole_test_batches", "first_evaluation", "weight_decay", "warmup_epochs"),
            *("rate_decay", "clip_norm", "label_smoothing"),
        )
        same = {name: self.settings[name] for name in names}
        return {**self._options(dataset), **same, "flips": choose(self.settings["flips"], dataset)}

    def sweep(self, dataset: str, objective: str, architecture: Architecture, seed: int) -> Sweep:
        """All schemes of the study of one architecture."""
        settings = self.settings
        options = {**self._sweep_options(dataset), "warm_start": settings["warm_start"]}
        if objective == "hsic":
            hsic = dict(settings["hsic"])
            for key in ("epochs", "batch_size"):
                options[key] = choose(hsic.pop(key), dataset) or options[key]
            options["hsic"] = HsicBottleneck(**hsic)
        options |= {axis: tuple(choose(settings[axis], dataset)) for axis in AXES.values()}
        return Sweep(
            dataset=dataset,
            objective=objective,
            architecture=architecture,
            seed=seed,
            **options,
        )

    def architectures(self, dataset: str) -> Iterator[Architecture]:
        """Every architecture of the grid on a data set, in a fixed order."""
        settings = self.settings
        widths = choose(settings["hidden_widths"], dataset)
        for model, depth in product(settings["models"], settings["depths"]):
            built = choose(settings["wide_depths"], dataset) if model == "wide_mlp" else None
            if built and depth not in built:
                continue
            if ":" in model:
                outputs = choose(settings["outputs"], dataset)
                yield Architecture(model, tuple(widths[depth]), activation=None, outputs=outputs)
                continue
            factor = settings["wide_factor"] if model == "wide_mlp" else 1
            own = {key: choose(choose(settings[key], model), dataset) for key in PER_MODEL}
            common = {
                "model": model,
                "hidden_widths": tuple(factor * width for width in widths[depth]),
                "dropout": own["dropout"],
                "batch_norm": own["batch_norm"],
                "batch_norm_momentum": settings["batch_norm_momentum"],
                "layer_norm": own["layer_norm"],
                "residual": settings["residual"],
                "hidden_initialization": choose(settings["hidden_initialization"], model),
                "output_initialization": choose(settings["output_initialization"], model),
                "relu_logits": settings["relu_logits"],
                "outputs": choose(settings["outputs"], dataset),
            }
            for activation in own["activations"]:
                yield from self._variants({**common, "activation": activation})

    def _variants(self, common: Mapping[str, Any]) -> Iterator[Architecture]:
        """Give an MLP, or the KANs of all degrees and grids, with these settings in common."""
        settings = self.settings
        if common["model"] != "kan":
            yield Architecture(**common, uniform_biases=settings["uniform_biases"])
            return
        of_kans = ("output_activation", "spline_scale", "gain", "moving_grid")
        for degree, grid_size in product(settings["degrees"], settings["grid_sizes"]):
            yield Architecture(
                **common,
                degree=degree,
                grid_size=grid_size,
                grid_range=tuple(settings["grid_range"]),
                **{key: settings[key] for key in of_kans},
            )


def choose(value: Any, name: str) -> Any:
    """Value for a data set or model: its own, or the default, or the only one there is."""
    if isinstance(value, Mapping):
        return value[name] if name in value else value["default"]
    return value


def merge(under: Any, over: Any) -> Any:
    """Lay one value over another; of mappings, entry by entry."""
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        return {**under, **{key: merge(under.get(key), value) for key, value in over.items()}}
    return over
