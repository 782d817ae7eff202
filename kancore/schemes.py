"""What a run is: scheme, architecture, sweep - small frozen records, their names, order and seeds.

A *scheme* is one way to train (initialization, optimizer, learning rate); an *architecture* is one
shape of network; a *sweep* trains all its schemes on one architecture, one data set, one objective
and one seed as a single stacked program (paper, section 4: 27 schemes for each model and data set).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

MODELS = ("mlp", "kan", "wide_mlp")
OBJECTIVES = ("backprop", "hsic")
INITIALIZATIONS = ("kaiming_normal", "kaiming_uniform", "orthogonal")
OPTIMIZERS = ("sgd", "sgd_momentum", "adam")
ACTIVATIONS = ("gelu", "silu", "elu", "relu", "cosine")
# Of normalization in hidden layers.
PLACES = ("before_activation", "after_activation")
# The published code trains one network by these in turn, at each learning rate from the highest.
WARM_ORDER = ("sgd_momentum", "adam", "sgd")


def derive_seed(*identity: Any) -> int:
    """Turn what something is into a seed that depends on nothing else.

    Parameters
    ----------
    *identity
        Values with a stable ``repr`` (strings, numbers, tuples of them).

    Returns
    -------
    int
        A seed in ``[0, 2**63)``, the same on every machine and in every process.
    """
    digest = hashlib.sha256(repr(identity).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True, order=True)
class Scheme:
    """One way to train a network.

    The field order is the order of schemes in a stack: schemes that share optimizer and learning
    rate are neighbours, so that one optimizer update works on one contiguous slice.
    """

    optimizer: str
    learning_rate: float
    initialization: str


# The axes of a sweep, by the field of a scheme that each gives values for.
AXES = {
    "optimizer": "optimizers",
    "learning_rate": "learning_rates",
    "initialization": "initializations",
}


@dataclass(frozen=True)
class Architecture:
    """One shape of network; `degree`, `grid_size` and `grid_range` are ``None`` unless it is a KAN.

    `model` is one of `MODELS`, or ``module:function`` of the user's own, which has no activation.
    `hidden_widths` are the widths as built: those of a wide MLP are already multiplied.
    `spline_scale`, `gain` and `output_activation`, the base activation of the output layer
    where it is another one, are settings of KANs, and `uniform_biases` of MLPs.
    `hidden_initialization` and `output_initialization` are those of all layers but the last and of
    the last, where they are not the scheme's; `relu_logits` puts a rectifier on the logits;
    `outputs` is their number where it is not that of the classes. The published code differs from
    the paper in most of these. `layer_norm`, `residual` connections and, of KANs, a `moving_grid`
    are what the experiment on stability adds.
    """

    model: str
    hidden_widths: tuple[int, ...]
    activation: str | None = "gelu"
    degree: int | None = None
    grid_size: int | None = None
    grid_range: tuple[float, float] | None = None
    output_activation: str | None = None
    spline_scale: str = "trained"
    gain: str = "rectifier"
    dropout: float = 0.0
    batch_norm: str | None = None
    batch_norm_momentum: float = 0.1
    uniform_biases: bool = False
    hidden_initialization: str | None = None
    output_initialization: str | None = None
    relu_logits: bool = False
    outputs: int | None = None
    layer_norm: str | None = None
    residual: bool = False
    moving_grid: bool = False

    @property
    def own(self) -> bool:
        """Whether a function of the user's own builds the network."""
        return ":" in self.model

    @property
    def grid(self) -> tuple[int, int, tuple[float, float]]:
        """Number of intervals, degree and ends of the spline grid of a KAN.

        Raises
        ------
        ValueError
            If the architecture has no grid.
        """
        if self.grid_size is None or self.degree is None or self.grid_range is None:
            raise ValueError(f"{self.name} has no grid, expected the architecture of a KAN")
        return self.grid_size, self.degree, self.grid_range

    @property
    def depth(self) -> str:
        """The paper's name of the depth: ``2layers`` has one hidden layer (paper, section 4)."""
        return f"{len(self.hidden_widths) + 1}layers"

    @property
    def name(self) -> str:
        """A name for files, such as ``kan-128x64x32-gelu-degree3-grid5``."""
        return self._named("x".join(map(str, self.hidden_widths)))

    @property
    def family(self) -> str:
        """A name for files that architectures of all depths share: ``kan-gelu-degree3-grid5``."""
        return self._named()

    def _named(self, *widths: str) -> str:
        # With a dot, which no other model has, in place of the colon, which not all files may have.
        parts = [self.model.replace(":", "."), *widths, *filter(None, [self.activation])]
        if self.model == "kan":
            parts += [f"degree{self.degree}", f"grid{self.grid_size}"]
        return "-".join(parts)

    def widths(self, inputs: int, classes: int) -> tuple[int, ...]:
        """All layer widths of the network from `inputs` features to `classes` classes.

        Raises
        ------
        ValueError
            If the architecture has outputs of its own number, fewer than classes.
        """
        outputs = self.outputs or classes
        if outputs < classes:
            raise ValueError(f"outputs are {outputs}, expected at least the {classes} classes")
        return (inputs, *self.hidden_widths, outputs)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Architecture":
        """Build an architecture from plain values, as read from JSON."""
        return cls(**tuples(values))


@dataclass(frozen=True)
class HsicBottleneck:
    """Settings of layer-wise training with normalized HSIC (Ma et al. 2020; paper, section 3).

    Each hidden layer Z minimizes nHSIC(Z, X) - weight nHSIC(Z, Y); the output layer learns by
    cross-entropy on the last hidden layer, or as the others do.

    Attributes
    ----------
    term : str
        What X is: ``x`` the network's input, ``h`` the layer's own input, ``n`` no such term.
    weight : float
        Weight of the dependence on the labels, lambda.
    sigma : float
        Width of the kernels.
    scale_by_dimension : bool
        Whether Gaussian kernels divide squared distances by the number of features.
    label_kernel : str
        Kernel of the one-hot labels: ``gaussian`` or ``student``.
    output : str
        What the output layer minimizes: ``cross_entropy`` ('format training' of Ma et al.), or
        ``hsic`` ('unformatted'), where training data then tell which unit stands for which class.
    """

    term: str = "n"
    weight: float = 100.0
    sigma: float = 5.0
    scale_by_dimension: bool = True
    label_kernel: str = "gaussian"
    output: str = "cross_entropy"


class Trained:
    """What `kancore.training.loop.Training` reads of a `Sweep`, or of what stands in for one.

    Those with defaults are for sweeps only. Each of the `schemes` has an `initialization`.
    """

    dataset: str
    objective: str
    architecture: Architecture
    seed: int
    epochs: int
    batch_size: int
    evaluate_every: int
    validation_fraction: float
    train_examples: int | None
    test_examples: int | None
    scaling: str
    hsic: HsicBottleneck | None = None
    warm_start: bool = False
    whole_test_batches: bool = False
    flips: bool = False
    first_evaluation: int | None = None
    weight_decay: float | None = None
    warmup_epochs: int = 0
    rate_decay: str | None = None
    clip_norm: float | None = None
    label_smoothing: float = 0.0

    @property
    def schemes(self) -> Sequence[Any]:
        """What each network of the stack is, in its order."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """A path that no other has."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        raise NotImplementedError


@dataclass(frozen=True)
class Sweep(Trained):
    """All schemes of one architecture on one data set: what one training job does.

    Its schemes are all combinations of `optimizers`, `learning_rates` and `initializations`, which
    are kept sorted, so that their order in the configuration changes nothing. `epochs` and
    `evaluate_every` are counted in epochs, `batch_size` and the two `..._examples` in examples;
    ``None`` uses all. `hsic` is ``None`` unless that is the objective.

    The published code differs from the paper in the others: with `warm_start` a network of each
    initialization is trained by all optimizers and learning rates in turn; with
    `whole_test_batches` test examples after the last whole batch are left out, unless they are
    fewer than a batch; with `flips` training images are flipped at random, left to right and top
    to bottom. `first_evaluation` is the epoch of the first evaluation, where it is not
    `evaluate_every`. `scaling` is how images become inputs: ``standardize``, ``unit``, which is in
    [0, 1], or ``symmetric``, in [-1, 1].

    `weight_decay` replaces the optimizers' own; learning rates rise over `warmup_epochs` and fall
    along a cosine with `rate_decay` ``cosine``; gradients of a network are scaled down to a norm of
    `clip_norm`; with `label_smoothing` training targets have this share spread over all classes.
    """

    dataset: str
    objective: str
    architecture: Architecture
    optimizers: tuple[str, ...]
    learning_rates: tuple[float, ...]
    initializations: tuple[str, ...]
    seed: int
    epochs: int
    batch_size: int
    evaluate_every: int = 1
    validation_fraction: float = 0.1
    train_examples: int | None = None
    test_examples: int | None = None
    hsic: HsicBottleneck | None = None
    warm_start: bool = False
    whole_test_batches: bool = False
    flips: bool = False
    first_evaluation: int | None = None
    scaling: str = "standardize"
    weight_decay: float | None = None
    warmup_epochs: int = 0
    rate_decay: str | None = None
    clip_norm: float | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for axis in AXES.values():
            values = getattr(self, axis)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{axis} of a sweep are {values!r}; expected different values")
            object.__setattr__(self, axis, tuple(sorted(values)))

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """All schemes, in the order of a stack."""
        return tuple(
            Scheme(*values) for values in product(*(getattr(self, axis) for axis in AXES.values()))
        )

    @property
    def part(self) -> str:
        """Name of the schemes that this sweep holds: what they have in common, or ``all``."""
        axes = [getattr(self, axis) for axis in AXES.values()]
        common = [str(values[0]) for values in axes if len(values) == 1]
        return "-".join(common) or "all"

    @property
    def name(self) -> str:
        """Path of the sweep below the sweeps of its study."""
        return self._path(self.architecture.name)

    @property
    def family(self) -> str:
        """Path that sweeps share which differ in depth alone."""
        return self._path(self.architecture.family)

    def _path(self, architecture: str) -> str:
        return "/".join((self.dataset, self.objective, architecture, self.part, f"seed{self.seed}"))

    def split_by(self, fields: Iterable[str]) -> list["Sweep"]:
        """Split into one sweep for each combination of values of these fields of a scheme."""
        axes = [AXES[field] for field in fields]
        combinations: Iterable[dict[str, Any]] = (
            {axis: (value,) for axis, value in zip(axes, values, strict=True)}
            for values in product(*(getattr(self, axis) for axis in axes))
        )
        return [replace(self, **combination) for combination in combinations]

    def stages(self) -> list["Sweep"]:
        """Sweeps to train in turn, each from the networks of the one before: one, if not warm."""
        if not self.warm_start:
            return [self]
        stages = self.split_by(["learning_rate", "optimizer"])
        return sorted(
            stages,
            key=lambda stage: (-stage.learning_rates[0], WARM_ORDER.index(stage.optimizers[0])),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sweep":
        """Build a sweep from plain values, as read from JSON."""
        architecture = Architecture.from_dict(values["architecture"])
        hsic = values["hsic"] and HsicBottleneck(**values["hsic"])
        return cls(**{**tuples(values), "architecture": architecture, "hsic": hsic})


def tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists, as JSON has them, into tuples."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
