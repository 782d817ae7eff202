"""From a configuration to a study: every key checked, every axis spelled out."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from typing import Any

from pydantic import BaseModel, ValidationError

from kancore.data.known import DATASETS
from kancore.intrinsic_dimension.subspaces import REFERENCE
from kancore.machine.messages import told
from kancore.schemes import (
    AXES,
    BASELINE,
    COMBINED,
    MODELS,
    OPTIMIZERS,
    Architecture,
    Sweep,
    settings_of,
)
from kancore.studies.changes import audit_plan, audited, changed_by
from kancore.studies.expected import expected, keys
from kancore.studies.protocols import CLEAN, PUBLISHED, departures
from kancore.studies.settings import DEFAULTS, Config, Settings
from kancore.studies.study import ConfigError, Study, choose, depths_of, for_objective, merge
from kancore.training.resources import SHAPES


def resolve(config: Mapping[str, Any]) -> Study:
    """Check a configuration and spell out the study that it picks.

    Parameters
    ----------
    config
        Keys ``study``, ``defaults`` and ``studies``, and any key of a study to override it; and
        ``name``, under which the study's results go if not under its own. Text in an overriding
        value that looks like a number, ``true``, ``false`` or ``null`` is read as such: command
        lines hand over lists of text.

    Returns
    -------
    Study
        Defaults of fields, under those of the configuration, under the study's own keys, under the
        departures of its protocol, under the overriding keys.

    Raises
    ------
    ConfigError
        Naming the key, its value and what was expected.
    """
    _check_keys(config, [])
    overrides = _typed({key: part for key, part in config.items() if key in Settings.model_fields})
    config = _validated({**config, **overrides})
    overrides = {key: config[key] for key in overrides}
    if config["study"] not in config["studies"]:
        raise _error(["study"], config["study"], f"one of {', '.join(config['studies'])}")
    defaults = merge(DEFAULTS, config["defaults"])
    _check_complete(Settings, defaults, ["defaults"])
    settings = merge(merge(defaults, config["studies"][config["study"]]), overrides)
    study = Study(config.get("name") or config["study"], settings)
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
        if name in (CLEAN, PUBLISHED):
            raise _error(["departures", name], changes, "another name for a departure")
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


def _datasets(own: Mapping[str, str]) -> list[str]:
    return [*(name for name in DATASETS if name != "own"), *own]


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
    tried = settings["intrinsic_dimension"]["dimensions"]
    if not tried["lowest"] <= tried["highest"]:
        path = ["intrinsic_dimension", "dimensions", "highest"]
        raise _error(
            path, tried["highest"], f"a whole number, at least the lowest, {tried['lowest']}"
        )
    own = settings["data"]["own"]
    taken = *_datasets({}), *MODELS, "default"  # settings give values by these names
    for name in own:
        if name in (*DATASETS, *taken):
            raise _error(["data", "own", name], own[name], f"a name other than {', '.join(taken)}")
    for position, dataset in enumerate(settings["datasets"]):
        if dataset not in own and (dataset not in DATASETS or dataset == "own"):
            raise _error(["datasets", position], dataset, f"one of {', '.join(_datasets(own))}")
    if settings["objectives"] == ["hsic"] and all(":" in name for name in settings["models"]):
        expected = "backprop, as models of your own are trained by backpropagation"
        raise _error(["objectives"], settings["objectives"], expected)
    if settings["warm_start"] and not {"optimizer", "learning_rate"} <= set(settings["stack"]):
        expected = "optimizer and learning_rate among them, as warm_start is true"
        raise _error(["stack"], settings["stack"], expected)
    _check_choices(settings)
    for names in product(settings["models"], settings["datasets"]):
        own = [name for name in choose(settings["optimizers"], *names) if ":" in name]
        if own and choose(settings["warm_start"], *names):
            expected = (
                f"{', '.join(OPTIMIZERS)}, as warm_start is true and trains by these in turn; in "
                "an audit, audit.settings may have other optimizers than the grid"
            )
            raise _error(["optimizers"], own[0], expected)
    ours = [model for model in settings["models"] if ":" not in model]
    for model, dataset in product(ours, settings["datasets"]):
        if all(choose(settings[key], model, dataset) for key in ("batch_norm", "layer_norm")):
            expected = f"null for {model} on {dataset}, which have batch_norm"
            raise _error(["layer_norm"], settings["layer_norm"], expected)
    for model, dataset in product(settings["models"], settings["datasets"]):
        outputs = choose(settings["outputs"], model, dataset)
        classes = SHAPES[dataset].classes if dataset in SHAPES else 0  # else not known yet
        if outputs and outputs < classes:
            expected = f"at least the {classes} classes of {dataset}"
            raise _error(["outputs"], settings["outputs"], expected)
    networks = product(settings["models"], settings["datasets"])
    built = [
        (name, depth) for model, name in networks for depth in depths_of(settings, model, name)
    ]
    for dataset, depth in dict.fromkeys(built):
        widths = choose(settings["hidden_widths"], dataset).get(depth)
        needed = int(depth.removesuffix("layers")) - 1
        if widths is None or len(widths) != needed:
            key = dataset if dataset in settings["hidden_widths"] else "default"
            raise _error(["hidden_widths", key, depth], widths, f"a list of {needed} widths")


def _check_choices(settings: Mapping[str, Any]) -> None:
    """Check that what is given by name has a value for each model and data set."""
    of_sweeps = [each.name for each in settings_of(Sweep)]
    of_networks = [each.name for each in settings_of(Architecture)]
    given: dict[tuple[str, ...], Any] = {
        (key,): settings[key] for key in (*of_sweeps, "depths", "outputs", "wide_depths")
    }
    for part in ("hsic", "intrinsic_dimension"):
        given |= {(part, key): each for key, each in settings[part].items() if key != "dimensions"}
    given[("follow_ups", "experiments")] = settings["follow_ups"]["experiments"]
    # Networks of the user's own have none of these.
    whole = given | {(key,): settings[key] for key in (*of_networks, "activations")}
    named = *MODELS, *settings["models"], *_datasets(settings["data"]["own"]), "default"
    known = [*dict.fromkeys(named)]
    for path, value in whole.items():
        _check_names([*path], value, known)
    reference = "reference" in settings["intrinsic_dimension"]["networks"]
    models = {*settings["models"], *([REFERENCE.model] if reference else [])}
    for model, dataset in product(sorted(models), settings["datasets"]):
        for path, value in (given if ":" in model else whole).items():
            _check_choice([*path], value, model, dataset)
    for dataset in settings["datasets"]:
        _check_choice(["hidden_widths"], settings["hidden_widths"], dataset)
    for objective, *names in product(
        settings["objectives"], settings["models"], settings["datasets"]
    ):
        epochs = for_objective(settings, "epochs", objective, *names)
        if choose(warmup := settings["warmup_epochs"], *names) > epochs:
            raise _error(["warmup_epochs"], warmup, f"at most the {epochs} epochs")
        batch = for_objective(settings, "batch_size", objective, *names)
        ours = objective == "backprop" and ":" not in names[0]
        if ours and batch < 2 and choose(settings["batch_norm"], *names):
            raise _error(["batch_size"], batch, "2 at least, as there is batch_norm")


def _check_names(path: list, value: Any, known: Sequence[str]) -> None:
    for key, part in value.items() if isinstance(value, Mapping) else ():
        if key not in known:
            raise _no_such_key([*path, key], part, known)
        _check_names([*path, key], part, known)


def _check_choice(path: list, value: Any, *names: str) -> None:
    """Check that `choose` finds a value for a model, a data set or both."""
    for _ in names:
        if isinstance(value, Mapping):
            found = next((name for name in names if name in value), "default")
            if found not in value:
                needed = names[0] if {*MODELS} & {*value} else names[-1]
                raise _error(path, value, f"a value for {needed}, or a default")
            path, value = [*path, found], value[found]


def _check_keys(value: Any, path: list) -> None:
    """Check that keys are text, which numbers and words such as null and yes are not to YAML."""
    for key, part in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(key, str):
            raise _error([*path, key], part, "a key that is text, so in quotes")
        _check_keys(part, [*path, key])


def _check_complete(kinds: type[BaseModel], settings: Mapping[str, Any], path: list) -> None:
    """Check that no key lacks a default."""
    for key, each in kinds.model_fields.items():
        kind = each.annotation
        if key not in settings:
            where = ".".join([*path, key])
            raise ConfigError(f"config: {where} is missing; expected {expected([*path, key])}")
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Settings:
            _check_complete(kind, settings[key], [*path, key])


def _validated(config: Mapping[str, Any]) -> dict[str, Any]:
    """Check each value by itself; whole numbers where others may be, too, become such.

    A job would be another with 0 in place of 0.0, and trained again.
    """
    try:
        return Config.model_validate(config).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
    # Of its steps those that are keys: others say which form of a value was tried.
    path: list = []
    value: Any = config
    for step in first["loc"]:
        if isinstance(step, int) or (isinstance(value, Mapping) and step in value):
            value = value[step]
            path.append(step)
    if first["type"] == "extra_forbidden":
        raise _no_such_key(path, value, keys(path[:-1]))
    of_key = first["loc"][-1:] == ("[key]",)
    raise _error(path, value, expected(path[:-1] if of_key else path))


def _error(path: list, value: Any, expected: str) -> ConfigError:
    key = ".".join(str(told(step)) for step in path) or "(the whole file)"
    return ConfigError(f"config: {key} is {told(value)!r}; expected {expected}")


def _no_such_key(path: list, value: Any, allowed: Sequence[str]) -> ConfigError:
    close = get_close_matches(path[-1], allowed, 1)
    hint = f"did you mean {close[0]}? Allowed: " if close else "one of "
    return _error(path, value, f"no such key; {hint}{', '.join(allowed)}")
