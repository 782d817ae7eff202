"""The Parquet tables of a study: their columns, units and how they are read and written."""

import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kancore.machine.files import DamagedFileError, write_atomically
from kancore.schemes import Scheme, Trained


def _column(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"description": description, "unit": unit})


# What identifies a run. Every table of runs or evaluations begins with these columns.
KEY = (
    _column("study", pa.string(), "name of the study"),
    _column(
        "experiment",
        pa.string(),
        "grid, audit, stability; or activation, width_degree, grid_size: follow-ups",
    ),
    _column(
        "protocol",
        pa.string(),
        "clean, published, or departures of the published code; of stability the factor",
    ),
    _column("dataset", pa.string(), "name of the data set"),
    _column("objective", pa.string(), "training objective: backprop or hsic"),
    _column("model", pa.string(), "mlp, kan, wide_mlp, or module:function of the user's own"),
    _column("depth", pa.string(), "the paper's name: 2layers has one hidden layer"),
    _column("hidden_widths", pa.string(), "widths of the hidden layers, joined by x", "units"),
    _column("activation", pa.string(), "activation; a KAN's base activation; null of one's own"),
    _column("degree", pa.int64(), "degree of the B-splines; null unless a KAN"),
    _column("grid_size", pa.int64(), "intervals of the spline grid; null unless a KAN"),
    _column("initialization", pa.string(), "initialization of every layer"),
    _column("optimizer", pa.string(), "sgd, sgd_momentum (Nesterov) or adam (AdamW)"),
    _column("learning_rate", pa.float64(), "learning rate"),
    _column("seed", pa.int64(), "seed of the study that this run belongs to"),
)
KEY_NAMES = tuple(field.name for field in KEY)

_ORIGIN = (
    _column("parameters", pa.int64(), "trainable parameters, counted as published"),
    _column("code", pa.string(), "digest of the code that trained this run"),
)

# One row an evaluation. A run that diverges ends with a row that has `diverged` set and no values.
HISTORY = pa.schema(
    [
        *KEY,
        _column("epoch", pa.int64(), "epochs completed at this evaluation", "epochs"),
        _column("train_loss", pa.float64(), "cross-entropy on the training split", "nats"),
        _column("train_accuracy", pa.float64(), "accuracy on the training split", "fraction"),
        _column("validation_loss", pa.float64(), "cross-entropy on the validation split", "nats"),
        _column("validation_accuracy", pa.float64(), "accuracy on validation", "fraction"),
        _column("test_loss", pa.float64(), "cross-entropy on the test set", "nats"),
        _column("test_accuracy", pa.float64(), "accuracy on the whole test set", "fraction"),
        _column(
            "layer_nhsic",
            pa.list_(pa.float64()),
            "normalized HSIC with the labels, on the first training batch, of each layer that "
            "minimizes it; null unless the objective is hsic",
        ),
        _column(
            "outside_grid",
            pa.list_(pa.float64()),
            "share of each layer's inputs beyond the extended grid, where all splines are zero, "
            "on 256 training examples; null unless a KAN at its last epoch",
            "fraction",
        ),
        _column("diverged", pa.bool_(), "the loss was no longer finite at this epoch"),
        *_ORIGIN,
    ]
)

# One row a run. 'Best' is chosen on the validation split; what the published code does, to choose
# on the test set itself, stands beside it.
RUNS = pa.schema(
    [
        *KEY,
        _column("epochs", pa.int64(), "epochs completed at the last evaluation", "epochs"),
        _column("best_epoch", pa.int64(), "first epoch of the best validation accuracy", "epochs"),
        _column("train_accuracy", pa.float64(), "training accuracy at best_epoch", "fraction"),
        _column("validation_accuracy", pa.float64(), "accuracy at best_epoch", "fraction"),
        _column("test_accuracy", pa.float64(), "test accuracy at best_epoch", "fraction"),
        _column("best_test_epoch", pa.int64(), "first epoch of the best test accuracy", "epochs"),
        _column("best_test_accuracy", pa.float64(), "best over epochs on the test set", "fraction"),
        _column(
            "generalization_gap",
            pa.float64(),
            "mean over evaluations of training accuracy - test accuracy",
            "fraction",
        ),
        _column("last_test_accuracy", pa.float64(), "at the last evaluation", "fraction"),
        _column(
            "mean_fall",
            pa.float64(),
            "mean over evaluations but the first of what test accuracy lost since the one before; "
            "what it gained counts 0",
            "fraction",
        ),
        _column("diverged", pa.bool_(), "the loss became non-finite before the last epoch"),
        *_ORIGIN,
    ]
)

# One row a sweep: everything that differs between two machines.
_SCHEME_NAMES = tuple(Scheme.__dataclass_fields__)
TIMINGS = pa.schema(
    [
        *(field for field in KEY if field.name not in _SCHEME_NAMES),
        _column("sweep", pa.string(), "name of the sweep"),
        _column("parameters", pa.int64(), "trainable parameters of one network, as published"),
        _column("schemes", pa.int64(), "networks trained side by side"),
        _column("steps", pa.int64(), "optimizer steps of each scheme"),
        _column("epochs", pa.int64(), "epochs of each scheme", "epochs"),
        _column("seconds", pa.float64(), "wall-clock time of the sweep, resumes added", "s"),
        _column("training_seconds", pa.float64(), "time in optimizer steps", "s"),
        _column("evaluation_seconds", pa.float64(), "time in evaluations", "s"),
        _column("resumes", pa.int64(), "times it went on from a checkpoint"),
        _column("device", pa.string(), "name of the device"),
        _column("threads", pa.int64(), "threads of the process"),
        _column("python", pa.string(), "version of Python"),
        _column("torch", pa.string(), "version of PyTorch"),
        _column("kancore", pa.string(), "version of kancore"),
        _column("git_revision", pa.string(), "revision of the project, + where it was modified"),
    ]
)

# One row a subspace and seed; the network that trains in all its parameters is one of them.
LANDSCAPES = pa.schema(
    [
        _column("study", pa.string(), "name of the study; null if published"),
        _column("dataset", pa.string(), "name of the data set"),
        _column("network", pa.string(), "name of the architecture"),
        _column("projection", pa.string(), "kind of random projection; null if published"),
        _column("seed", pa.int64(), "seed of weights and subspaces; null if published"),
        _column("dimension", pa.int64(), "dimension of the subspace; all parameters if direct"),
        _column("direct", pa.bool_(), "the network trained in all its parameters"),
        _column("parameters", pa.int64(), "numbers that training moves: the space of subspaces"),
        _column("epochs", pa.int64(), "epochs completed at the last evaluation", "epochs"),
        _column("best_epoch", pa.int64(), "first epoch of the best validation accuracy", "epochs"),
        _column("train_accuracy", pa.float64(), "training accuracy at best_epoch", "fraction"),
        _column("validation_accuracy", pa.float64(), "accuracy at best_epoch", "fraction"),
        _column("test_accuracy", pa.float64(), "test accuracy at best_epoch", "fraction"),
        _column("diverged", pa.bool_(), "the loss became non-finite before the last epoch"),
        _column("source", pa.string(), "measured, or where it was published"),
        _column("code", pa.string(), "digest of the code that trained it; null if published"),
    ]
)

# One row an estimate.
INTRINSIC_DIMENSIONS = pa.schema(
    [
        _column("study", pa.string(), "name of the study; null if published"),
        _column("dataset", pa.string(), "name of the data set"),
        _column(
            "estimator",
            pa.string(),
            "two_nn or mle, of the data; landscape_absolute (90% accuracy) or landscape_relative "
            "(90% of the directly trained network's), of a network's loss landscape",
        ),
        _column("neighbors", pa.int64(), "nearest neighbours used; null of a landscape"),
        _column("network", pa.string(), "name of the architecture; null of data"),
        _column("parameters", pa.int64(), "parameters of that network; null of data"),
        _column("dimension", pa.float64(), "the estimate; null where there is none"),
        _column("low", pa.float64(), "lower bound of its 95% interval, if it has one"),
        _column("high", pa.float64(), "upper bound of its 95% interval, if it has one"),
        _column("observations", pa.int64(), "what the interval is over: distinct points, or seeds"),
        _column("reason", pa.string(), "why there is no estimate; null where there is one"),
        _column("source", pa.string(), "measured, or where it was published"),
    ]
)

# One row a run and source of the intrinsic dimension.
EFFICIENCY = pa.schema(
    [
        *RUNS,
        _column(
            "source", pa.string(), "where the intrinsic dimension is from: paper, or estimator"
        ),
        _column("intrinsic_dimension", pa.float64(), "of the data set; null if unknown"),
        _column("undefined", pa.bool_(), "no more parameters than dimensions: no efficiency"),
        _column(
            "efficiency", pa.float64(), "of test_accuracy, reached at best_epoch", "1 / epochs"
        ),
        _column(
            "efficiency_on_test",
            pa.float64(),
            "as published: of best_test_accuracy, reached at best_test_epoch",
            "1 / epochs",
        ),
    ]
)

# One row a data set and ordered pair of sources of the intrinsic dimension.
EFFICIENCY_RANKS = pa.schema(
    [
        _column("study", pa.string(), "name of the study"),
        _column("dataset", pa.string(), "name of the data set"),
        _column("source", pa.string(), "where the intrinsic dimension is from"),
        _column("intrinsic_dimension", pa.float64(), "from that source; null if unknown"),
        _column("runs", pa.int64(), "runs of the data set"),
        _column("undefined", pa.int64(), "runs with no more parameters than dimensions"),
        _column("other", pa.string(), "the source that it is compared with"),
        _column("spearman", pa.float64(), "rank correlation of efficiencies over runs"),
        _column("compared", pa.int64(), "runs with both efficiencies"),
    ]
)

# One row a protocol, model and measure: what the protocol changes in it.
AUDIT = pa.schema(
    [
        _column("study", pa.string(), "name of the study"),
        _column("dataset", pa.string(), "name of the data set"),
        _column("protocol", pa.string(), "published, or a departure of the published code"),
        _column("model", pa.string(), "mlp, kan, wide_mlp, or module:function of the user's own"),
        _column("measure", pa.string(), "test_accuracy, best_accuracy, gap or log_efficiency"),
        _column("clean", pa.float64(), "interquartile mean under the protocol clean"),
        _column("effect", pa.float64(), "interquartile mean of protocol - clean, over pairs"),
        _column("low", pa.float64(), "lower bound of its 95% interval; null with few seeds"),
        _column("high", pa.float64(), "upper bound of its 95% interval; null with few seeds"),
        _column("pairs", pa.int64(), "pairs: of one depth and seed, and of one scheme"),
        _column("trained", pa.bool_(), "false: what is trained is the same as under clean"),
    ]
)

# One row a factor, part of the cells and measure: what the factor changes in how KANs train.
STABILITY = pa.schema(
    [
        _column("study", pa.string(), "name of the study"),
        _column("factor", pa.string(), "baseline, a factor, or combined"),
        _column("dataset", pa.string(), "name of the data set, or all"),
        _column("depth", pa.string(), "the paper's name of the depth, or all"),
        _column(
            "measure",
            pa.string(),
            "of all schemes of a data set, depth and seed: median, best, spread (test accuracy); "
            "close, failed (shares of schemes); gap; epochs; outside_grid, also of each layer",
        ),
        _column("baseline", pa.float64(), "mean of the baseline"),
        _column("value", pa.float64(), "mean with the factor"),
        _column("effect", pa.float64(), "mean of factor - baseline, over pairs"),
        _column("low", pa.float64(), "lower bound of its 95% interval; null with few seeds"),
        _column("high", pa.float64(), "upper bound of its 95% interval; null with few seeds"),
        _column("pairs", pa.int64(), "pairs: of one data set, depth and seed"),
        _column("seeds", pa.int64(), "fewest seeds of a data set; an interval takes 3 or more"),
    ]
)

# One row a claim, or a test of it, under one choice that differs from the declared ones.
FIRMNESS = pa.schema(
    [
        _column("study", pa.string(), "name of the study"),
        _column("variation", pa.string(), "what is varied; declared: nothing"),
        _column("setting", pa.string(), "threshold, share of epochs, data set, objective, ..."),
        _column("claim", pa.string(), "name of the claim"),
        _column("part", pa.int64(), "test of the claim, counted from 1; 0 is the whole claim"),
        _column("verdict", pa.string(), "supported, contradicted, ..., as in the verdicts"),
        _column("value", pa.float64(), "what was measured; null of a whole claim"),
        _column("low", pa.float64(), "lower bound of its 95% interval; null with few seeds"),
        _column("high", pa.float64(), "upper bound of its 95% interval; null with few seeds"),
        _column("p", pa.float64(), "p value of the verdict, for this test alone; null with these"),
        _column("pairs", pa.int64(), "pairs of runs; null of a whole claim"),
        _column("seeds", pa.int64(), "fewest seeds that a data set has pairs of"),
    ]
)

# Schemas of the tables that figures are drawn from.
SCHEMAS = {
    "history": HISTORY,
    "runs": RUNS,
    "timings": TIMINGS,
    "follow_ups": RUNS,
    "landscapes": LANDSCAPES,
    "intrinsic_dimension": INTRINSIC_DIMENSIONS,
    "efficiency": EFFICIENCY,
    "efficiency_ranks": EFFICIENCY_RANKS,
    "audit": AUDIT,
    "stability": STABILITY,
    "firmness": FIRMNESS,
}


def write_table(
    path: str | os.PathLike, rows: pd.DataFrame | list[dict], schema: pa.Schema
) -> None:
    """Write `rows` as Parquet with exactly the columns of `schema`.

    The same rows give the same bytes.

    Raises
    ------
    ValueError
        If a column of `schema` is missing from `rows`, or `rows` have one that it lacks.
    """
    frame = pd.DataFrame(rows) if len(rows) else pd.DataFrame(columns=schema.names)
    if unlike := set(frame.columns) ^ set(schema.names):
        raise ValueError(f"{path}: columns {sorted(unlike)} are not in both rows and schema")
    for field in schema:
        if pa.types.is_list(field.type):  # a column of nulls only would be one of floats
            frame[field.name] = (
                frame[field.name].astype(object).where(frame[field.name].notna(), None)
            )
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    # pandas' own metadata holds its version; without it the bytes depend on the rows alone.
    table = table.replace_schema_metadata(None)
    write_atomically(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def write_csv(path: str | os.PathLike, table: pd.DataFrame) -> None:
    """Write `table` as CSV, without its index, by `write_atomically`."""
    write_atomically(path, lambda part: table.to_csv(part, index=False))


def read_table(path: str | os.PathLike, schema: pa.Schema) -> pd.DataFrame:
    """Read a Parquet table; integer columns with missing values become ``Int64``.

    Raises
    ------
    DamagedFileError
        If it is no whole table, or its columns are not those of `schema`.
    """
    again = "remove it, and call snakemake again"
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedFileError(f"{path}: not a whole Parquet table ({error}); {again}") from error
    if table.schema.names != schema.names or table.schema.types != schema.types:
        names = f"columns {table.schema.names}, expected {schema.names}"
        raise DamagedFileError(f"{path}: {names}; {again}")
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def sweep_key(sweep: Trained) -> dict[str, object]:
    """Columns of `KEY` that a sweep gives all its runs: all but study, experiment and scheme."""
    architecture = sweep.architecture
    return {
        "dataset": sweep.dataset,
        "objective": sweep.objective,
        "model": architecture.model,
        "depth": architecture.depth,
        "hidden_widths": "x".join(map(str, architecture.hidden_widths)),
        "activation": architecture.activation,
        "degree": architecture.degree,
        "grid_size": architecture.grid_size,
        "seed": sweep.seed,
    }
