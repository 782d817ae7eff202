"""What a run is: scheme, architecture, sweep - small frozen records, their names, order and seeds.

A *scheme* is one way to train (initialization, optimizer, learning rate); an *architecture* is one
shape of network; a *sweep* trains all its schemes on one architecture, one data set, one objective
and one seed as a single stacked program (paper, section 4: 27 schemes for each model and data set).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, Field, asdict, dataclass, field, fields, replace
from functools import cache
from itertools import product
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Interval, Le, Lt

Model = Literal["mlp", "kan", "wide_mlp"]
Objective = Literal["backprop", "hsic"]
Initialization = Literal["kaiming_normal", "kaiming_uniform", "orthogonal"]
Optimizer = Literal["sgd", "sgd_momentum", "adam"]
Activation = Literal["gelu", "silu", "elu", "relu", "cosine"]
SplineScale = Literal["trained", "folded"]
Gain = Literal["rectifier", "leaky", "preserving", "balanced"]
# Of normalization in hidden layers.
Place = Literal["before_activation", "after_activation"]
Keep = Literal["best", "all", "none"]
# `pytorch` is what PyTorch gives linear layers.
AnyInitialization = Literal[Initialization, "pytorch"]
# So large that nothing is cut, and so small that every table can hold it.
Count = Annotated[int, Interval(ge=1, le=10**9)]
Share = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[float, Gt(0)]

# Multiple of the hidden widths of MLPs that wide ones have in the paper (section 4): a KAN has 10
# parameters an edge (grid 5, degree 3), so ten times the hidden width matches it.
WIDE_FACTOR = 10
# Longest part of a path that settings may make; file systems take 255 bytes of a name.
_LONGEST = 100

MODELS, OBJECTIVES = get_args(Model), get_args(Objective)
INITIALIZATIONS, OPTIMIZERS = get_args(Initialization), get_args(Optimizer)
ACTIVATIONS, PLACES = get_args(Activation), get_args(Place)
# What the experiment on stability compares its factors with, and all that help, together.
BASELINE, COMBINED = "baseline", "combined"
# The published code trains one network by these in turn, at each learning rate from the highest.
WARM_ORDER = ("sgd_momentum", "adam", "sgd")
# Marks fields of an architecture that only some models have.
OF_KANS, OF_MLPS = {"models": ("kan",)}, {"models": ("mlp", "wide_mlp")}


@cache
def settings_of(of: type) -> list[Field]:
    """Give the fields of a class that are settings of a study: those that go by keyword only."""
    return [each for each in fields(of) if each.kw_only]


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

    Optimizer and initialization are names that there are, or ``module:function`` of the user's own.
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
    """One shape of network.

    `model` is one of `MODELS`, or ``module:function`` of the user's own, which has no activation.
    `hidden_widths` are the widths as built: those of a wide MLP are already multiplied. `degree`,
    `grid_size` and `grid_range` are ``None`` unless it is a KAN. The others are settings of a
    study. The published code differs from the paper in most of them; `layer_norm`, `residual` and
    `moving_grid` are what the experiment on stability adds. `normalization_affine` says whether
    normalized units have a scale and a shift that are trained.
    """

    model: str
    hidden_widths: tuple[int, ...]
    activation: Activation | None = "gelu"
    degree: int | None = None
    grid_size: int | None = None
    grid_range: tuple[float, float] | None = None
    normalization_affine: bool = True
    _: KW_ONLY
    output_activation: Activation | None = field(default=None, metadata=OF_KANS)
    """The base activation of a KAN's output layer, where that is another one."""
    spline_scale: SplineScale = field(default="trained", metadata=OF_KANS)
    """The spline scale of each edge is trained, or it is folded into the coefficients. Folded, the
    functions and initial values are the same, but nine numbers of an edge are trained in place of
    ten, by other steps."""
    gain: Gain = field(default="rectifier", metadata=OF_KANS)
    """The gain of initializations in KANs. For the Kaiming ones it is that of a rectifier (He et
    al.), or leaky (that of a = sqrt 5, which is 2.45 times smaller, as PyTorch initializes linear
    layers). For all of them it may be such that units with normal inputs have variance 1:
    preserving reaches this by the base branch alone, and balanced by both branches alike."""
    moving_grid: bool = field(default=False, metadata=OF_KANS)
    """Whether the grid of each input of a KAN is moved, once after the first epoch, to the values
    of that input."""
    dropout: Share = 0.0
    """The probability of dropping an input of the output layer."""
    batch_norm: Place | None = None
    """Where hidden layers have batch normalization: ``None`` for nowhere, ``before_activation`` or
    ``after_activation`` (which are the same in KANs)."""
    batch_norm_momentum: Annotated[float, Gt(0), Le(1)] = 0.1
    """The share of a batch in the running statistics of batch normalization."""
    layer_norm: Place | None = None
    """The same as `batch_norm` for layer normalization, which takes the place of batch
    normalization."""
    residual: bool = False
    """Whether the input of each hidden layer is added to its output. Where their widths differ, it
    goes through a projection."""
    hidden_initialization: AnyInitialization | None = None
    """The initialization of all layers but the last: ``None`` for the scheme's, or another one of
    them, or ``pytorch``, which is what PyTorch gives linear layers."""
    output_initialization: AnyInitialization | None = None
    """The same of the last layer."""
    uniform_biases: bool = field(default=False, metadata=OF_MLPS)
    """Whether biases of MLPs are uniform at first, as PyTorch has them, in place of zeros."""
    relu_logits: bool = False
    """Whether there is a ReLU on the logits."""
    outputs: Annotated[int, Ge(2)] | None = None
    """The number of logits: ``None`` for one a class."""
    bfloat16: bool = field(default=False, metadata={"models": MODELS})
    """Whether products in layers, of all passes, take their factors rounded to bfloat16, which has
    two to three digits. Weights, sums and all else stay in float32. On a GPU that is faster."""

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
        """A name for files, such as ``kan-128x64x32-gelu-degree3-grid5``.

        Of so many widths that a name for files has no room, it has a digest.
        """
        widths = "x".join(map(str, self.hidden_widths))
        if len(widths) > _LONGEST:
            widths = f"{self.depth}-{hashlib.sha256(widths.encode()).hexdigest()[:16]}"
        return self._named(widths)

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


@dataclass(frozen=True, kw_only=True)
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
    normalization : str or None
        Of hidden layers, before the activation, without a scale and a shift that are trained:
        ``batch_norm``, as Ma et al. have it, or ``layer_norm``. ``None`` leaves that of the
        architecture.
    """

    term: Literal["n", "x", "h"] = "x"
    weight: Positive = 100.0
    sigma: Annotated[float, Gt(0), Le(1e6)] = 2.0
    scale_by_dimension: bool = True
    label_kernel: Literal["gaussian", "student"] = "gaussian"
    output: Literal["cross_entropy", "hsic"] = "cross_entropy"
    normalization: Literal["batch_norm", "layer_norm"] | None = "layer_norm"

    def normalized(self, architecture: Architecture) -> Architecture:
        """Give the architecture of the networks that this objective trains."""
        if self.normalization is None:
            return architecture
        places: dict[str, Any] = {"batch_norm": None, "layer_norm": None}
        places[self.normalization] = PLACES[0]
        return replace(architecture, **places, normalization_affine=False)


@dataclass(frozen=True)
class Task:
    """What is learnt by which network: what sweeps and landscapes have in common."""

    dataset: str
    objective: str
    architecture: Architecture
    seed: int
    _: KW_ONLY
    batch_size: Count
    """The number of examples in a step."""
    epochs: Count
    """The number of epochs."""
    evaluate_every: Count = 1
    """Networks are evaluated on training, validation and test data every so many epochs, and after
    the last."""
    scaling: Literal["standardize", "unit", "symmetric"] = "standardize"
    """Images become inputs by ``standardize`` (by the mean and deviation of the training part),
    ``unit`` (pixels in [0, 1]) or ``symmetric`` (pixels in [-1, 1])."""
    train_examples: Count | None = None
    """The number of training examples to use, drawn in proportion to the classes, anew for each
    seed. ``None`` uses all of them."""
    test_examples: Count | None = None
    """The same of test examples."""
    validation_fraction: Share = 0.1
    """The share of the training data that is held out to choose the best epoch and scheme."""


@dataclass(frozen=True)
class Options:
    """What only sweeps set. `hsic` is ``None`` unless that is the objective.

    The published code differs from the paper in some, and the experiment on stability tries others.
    """

    hsic: HsicBottleneck | None = None
    _: KW_ONLY
    first_evaluation: Count | None = None
    """The epoch of the first evaluation: ``None`` for that of `evaluate_every`."""
    weight_decay: Annotated[float, Ge(0)] | None = None
    """The weight decay of all optimizers, which is decoupled in AdamW and an L2 penalty in SGD.
    ``None`` keeps PyTorch's defaults, 0.01 in AdamW and 0 in SGD."""
    warmup_epochs: Annotated[int, Ge(0)] = 0
    """Learning rates rise over so many epochs at first."""
    rate_decay: Literal["cosine"] | None = None
    """Afterwards they fall along a ``cosine``, or (``None``) they stay."""
    clip_norm: Positive | None = None
    """The norm that the gradients of a network are scaled down to. ``None`` leaves them as they
    are."""
    label_smoothing: Share = 0.0
    """The share of each training target that is spread over all classes."""
    warm_start: bool = False
    """Whether one network of each initialization is trained by all optimizers and learning rates in
    turn."""
    whole_test_batches: bool = False
    """Whether test examples after the last whole batch are left out, unless they are fewer than a
    batch."""
    flips: bool = False
    """Whether training images are flipped at random, left to right and top to bottom."""


class Trained(Options, Task):
    """What `kancore.training.loop.Training` reads of a `Sweep`, or of what stands in for one.

    Each of the `schemes` has an `initialization`.
    """

    @property
    def schemes(self) -> Sequence[Any]:
        """What each network of the stack is, in its order."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """A path that no other has."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the inverse of `from_dict`."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True)
class Sweep(Trained):
    """All schemes of one architecture on one data set: what one training job does.

    Its schemes are all combinations of `optimizers`, `learning_rates` and `initializations`, which
    are kept sorted, so that their order in the configuration changes nothing.
    """

    _: KW_ONLY
    optimizers: tuple[str, ...]
    """sgd_momentum is Nesterov with momentum 0.9; adam is AdamW, as in the published runs.
    ``module:function`` is one of your own."""
    learning_rates: tuple[Positive, ...]
    initializations: tuple[str, ...]

    def __post_init__(self) -> None:
        for axis in AXES.values():
            values = getattr(self, axis)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{axis} of a sweep are {values!r}; expected different values")
            object.__setattr__(self, axis, tuple(sorted(values)))
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs of a sweep are {self.warmup_epochs}, expected at most its "
                f"{self.epochs} epochs"
            )
        if self.hsic is not None:
            object.__setattr__(self, "architecture", self.hsic.normalized(self.architecture))

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
        # With a dot in place of the colon, which not all files may have.
        common = [str(values[0]).replace(":", ".") for values in axes if len(values) == 1]
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

    @property
    def own(self) -> tuple[str, ...]:
        """Optimizers and initializations of the user's own."""
        return tuple(name for name in (*self.optimizers, *self.initializations) if ":" in name)

    def own_apart(self) -> list["Sweep"]:
        """Split off each optimizer and initialization of the user's own.

        The others are then the sweeps that they are without it, and train as fast.
        """
        return [
            replace(self, optimizers=optimizers, initializations=initializations)
            for optimizers, initializations in product(
                _apart(self.optimizers), _apart(self.initializations)
            )
        ]

    def stages(self) -> list["Sweep"]:
        """Sweeps to train in turn, each from the networks of the one before: one, if not warm."""
        if not self.warm_start:
            return [self]
        stages = self.split_by(["learning_rate", "optimizer"])
        return sorted(
            stages,
            key=lambda stage: (-stage.learning_rates[0], WARM_ORDER.index(stage.optimizers[0])),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sweep":
        """Build a sweep from plain values, as read from JSON."""
        architecture = Architecture.from_dict(values["architecture"])
        hsic = values["hsic"] and HsicBottleneck(**values["hsic"])
        return cls(**{**tuples(values), "architecture": architecture, "hsic": hsic})


def _apart(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Give those of the user's own each alone, after all others together."""
    named = tuple(name for name in names if ":" not in name)
    return [*([named] if named else []), *((name,) for name in names if ":" in name)]


def _plain(value: Any) -> Any:
    return {**_values(value)} if isinstance(value, Architecture | HsicBottleneck) else value


@cache  # few of these make up the sweeps of a study
def _values(part: Architecture | HsicBottleneck) -> dict[str, Any]:
    return asdict(part)


def tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists, as JSON has them, into tuples."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
