"""The settings of a study: the keys of a configuration, and what each may be.

A setting of networks, of their training or of an objective is typed where it is a field, and is a
key here by itself; the others are typed here. What they mean is documented in ``config.yaml``.
"""

# Types are values here.
# mypy: disable-error-code="valid-type, misc"

from dataclasses import MISSING
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Interval, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
)

from kancore.data.known import BUNDLED, PUBLISHED
from kancore.intrinsic_dimension.subspaces import Landscape
from kancore.schemes import (
    Activation,
    Architecture,
    Count,
    HsicBottleneck,
    Initialization,
    Keep,
    Model,
    Objective,
    Optimizer,
    Sweep,
    settings_of,
)
from kancore.studies.experiments import FOLLOW_UPS


def _different(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("the same value twice")
    return values


def _rising(ends: list[float]) -> list[float]:
    if not ends[0] < ends[1]:
        raise ValueError("the higher one first")
    return ends


def _said(kind: Any, words: str) -> Any:
    """Say what a value may be in words that its type does not give."""
    return Annotated[kind, Field(description=words)]


def _some(kind: Any) -> Any:
    """Make the type of lists of different values."""
    unique = Field(json_schema_extra={"uniqueItems": True})
    return Annotated[list[kind], AfterValidator(_different), unique]


def _axis(kind: Any) -> Any:
    return Annotated[_some(kind), MinLen(1)]


def _by_name(kind: Any) -> Any:
    """Make the type of one value, or one for each model or data set, or each of both."""
    for _ in range(2):
        which = Discriminator(lambda value: "names" if isinstance(value, dict) else "value")
        each = Annotated[kind, Tag("value")] | Annotated[dict[str, kind], Tag("names")]
        kind = Annotated[each, which]
    return kind


class _Keys(BaseModel):
    # Types hold one another, and are built with the outermost.
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def _keys(**kinds: Any) -> Any:
    """Make the type of a mapping that may have these keys."""
    return _named("_Keys", ", ".join(kinds), kinds)


def _named(name: str, words: str, kinds: dict[str, Any]) -> Any:
    optional: dict[str, Any] = {key: (kind, None) for key, kind in kinds.items()}
    return create_model(name, __base__=_Keys, __module__=__name__, __doc__=words, **optional)


def _fields(of: type) -> dict[str, Any]:
    """Give what the settings among the fields of a class may be, with lists for tuples."""
    hints = get_type_hints(of, include_extras=True)
    kinds = {each.name: hints[each.name] for each in settings_of(of)}
    for name, kind in kinds.items():
        if get_origin(kind) is tuple:
            kinds[name] = _axis(get_args(kind)[0])
    return {name: _by_name(kind) for name, kind in kinds.items()}


def _text(pattern: str) -> Any:
    return Annotated[str, Field(pattern=pattern)]


_WHOLE = Annotated[int, Interval(ge=0, le=2**63 - 1)]
_SEEDS = _axis(_WHOLE)
# The least-squares fit of moved grids takes the square of it.
_GRID_SIZE = Annotated[int, Interval(ge=1, le=1000)]
_DEGREES = _axis(Annotated[int, Interval(ge=1, le=5)])
_DEPTH = _text("^([2-9]|[1-9][0-9])layers$")
_DEPTHS = _said(_axis(_DEPTH), "a list of different depths, such as 2layers")
_DATASET = _text("^[a-z0-9][a-z0-9_]{0,99}$")
_MODULE = _text(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
_CHANGES = _said(dict[_text("^[a-z][a-z0-9_]{0,99}$"), "Settings"], "keys of a study, by name")
_NAMES = _said(_some(str), "a list of different names")
_OWN_FILE = _said(
    _text(r"(\.(csv|npz|parquet)|[^/]/)$"),
    "the path of a .csv, .npz or .parquet file, or of a folder of .parquet files, which ends in /",
)


def _or_own(kind: Any, what: str) -> Any:
    """Make the type of lists of names, of these or of the user's own functions."""
    words = (
        f"a list of different {what}: {', '.join(get_args(kind))}, or module:function of your own"
    )
    return _said(_axis(kind | _MODULE), words)


_OF_SWEEPS = {
    **_fields(Sweep),
    "optimizers": _by_name(_or_own(Optimizer, "optimizers")),
    "initializations": _by_name(_or_own(Initialization, "initializations")),
}
_OF_LANDSCAPES = {
    key: kind
    for key, kind in _fields(Landscape).items()
    if key in ("batch_size", "epochs") or key not in _OF_SWEEPS
}

_SETTINGS = {
    # The grid.
    "datasets": _said(
        _axis(_DATASET),
        f"a list of different data sets: {', '.join((*PUBLISHED, *BUNDLED))}, or names under "
        "data.own, in quotes where they look like numbers or null",
    ),
    "models": _or_own(Model, "models"),
    "depths": _by_name(_DEPTHS),
    "objectives": _axis(Objective),
    "seeds": _SEEDS,
    # The networks and their training.
    "hidden_widths": _said(
        dict[str, dict[_DEPTH, Annotated[list[Count], MinLen(1)]]],
        "for each data set, and for default, a list of widths for each depth, one width fewer "
        "than the depth's number",
    ),
    "wide_factor": Count | Literal["matched"],
    "wide_depths": _by_name(_DEPTHS | None),
    "activations": _by_name(_axis(Activation)),
    "degrees": _DEGREES,
    "grid_sizes": _axis(_GRID_SIZE),
    "grid_range": _said(
        Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_rising)],
        "two numbers, the lower one first",
    ),
    **_fields(Architecture),
    **_OF_SWEEPS,
    # The protocol and the experiments.
    "protocol": _said(str | _some(str), "clean, published, or a list of different departures"),
    "departures": _CHANGES,
    "audit": _keys(departures=_NAMES, settings="Settings"),
    "stability": _keys(train=_NAMES, settings="Settings", factors=_CHANGES),
    "hsic": _keys(
        **_fields(HsicBottleneck),
        # It compares the examples of a batch.
        batch_size=_by_name(Annotated[int, Interval(ge=2, le=10**9)]),
        epochs=_by_name(Count | None),
    ),
    "follow_ups": _keys(
        experiments=_by_name(_some(Literal[FOLLOW_UPS])),
        activation=_keys(activations=_axis(Activation), seeds=_SEEDS),
        width_degree=_keys(widths=_axis(Count), degrees=_DEGREES, seeds=_SEEDS),
        grid_size=_keys(grid_sizes=_axis(_GRID_SIZE), seeds=_SEEDS),
    ),
    "intrinsic_dimension": _keys(
        networks=_some(Literal["reference", "architectures"]),
        seeds=_SEEDS,
        dimensions=_keys(
            lowest=Count, highest=Count, count=Annotated[int, Interval(ge=2, le=1000)]
        ),
        **_OF_LANDSCAPES,
    ),
    # The data.
    "data": _keys(
        mirror=_said(Annotated[str, MinLen(1)] | None, "null, a folder, or an http(s) address"),
        verify=bool,
        cifar10=_keys(image_size=Literal[28, 32]),
        imdb=_keys(
            weighting=Literal["binary", "counts", "tfidf", "svd"],
            words=Count,
            components=Count,
            random_test=Count | None,
        ),
        higgs=_keys(train_rows=Count, test_rows=Count),
        own=_said(
            dict[_DATASET, _OWN_FILE],
            "files by name; names of lower-case letters, digits and _, other than those of the "
            "data sets there are",
        ),
    ),
    # The machine.
    "stack": _some(Literal["initialization", "optimizer", "learning_rate"]),
    "depths_in_turn": bool,
    "device": Literal["auto", "cpu", "cuda"],
    "tf32": bool,
    "compile": bool,
    "threads": Count,
    "checkpoint_seconds": _WHOLE,
    "replace": bool,
    "keep": Literal[Keep],
    # The figures.
    "figure_style": _keys(
        dpi=Annotated[int, Interval(ge=50, le=1200)],
        font_size=Annotated[float, Interval(ge=4, le=40)],
        font_family=_said(Annotated[str, MinLen(1)], "the name of a font family"),
        width_inches=Annotated[float, Interval(ge=2, le=40)],
    ),
}

Settings = _named("Settings", "keys of a study", _SETTINGS)
# Folders of results that belong to no study.
SHARED = ("bench", "data", "manifolds", "raw")


def _of_a_study(name: str) -> str:
    if name in SHARED:
        raise ValueError("the name of a folder of all studies")
    return name


def _spelled(name: Any) -> Any:
    """Give the text of what a command line reads as a number."""
    return str(name) if type(name) is int else name


_STUDY = Annotated[_text("^[a-z0-9][a-z0-9_-]{0,99}$"), AfterValidator(_of_a_study)]
_NAMED = f"of lower-case letters, digits, _ and -, other than {', '.join(SHARED)}"
# A configuration holds four more keys, and any of a study for the study that it picks.
Config = create_model(
    "Config",
    __base__=Settings,
    __doc__="the keys study, defaults and studies, or a key of a study",
    study=_said(str, "the name of one of the studies"),
    name=(_said(Annotated[_STUDY | None, BeforeValidator(_spelled)], f"a name {_NAMED}"), None),
    defaults=_said(Settings, "a value for every key of a study"),
    studies=_said(
        Annotated[dict[_STUDY, Settings], MinLen(1)],
        f"studies by name; names {_NAMED}",
    ),
)


def _defaults(*of: type) -> dict[str, Any]:
    found = (each for kind in of for each in settings_of(kind))
    return {each.name: each.default for each in found if each.default is not MISSING}


# What fields have where a configuration's own defaults have nothing.
DEFAULTS = {
    **_defaults(Architecture, Sweep),
    "hsic": _defaults(HsicBottleneck),
    "intrinsic_dimension": {
        key: value for key, value in _defaults(Landscape).items() if key in _OF_LANDSCAPES
    },
}
