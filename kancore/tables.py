"""The Parquet tables of a study, and the columns of those that jobs which train write.

Those of what is computed from them are in `kancore.analysis.tables`: a new column there is no other
code to a job that trains.
"""

import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kancore.machine.files import AGAIN, DamagedFileError, write_atomically
from kancore.schemes import Scheme, Trained


def column(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    """Describe a column."""
    return pa.field(name, kind, metadata={"description": description, "unit": unit})


# What identifies a run. Every table of runs or evaluations begins with these columns.
KEY = (
    column("study", pa.string(), "name of the study"),
    column(
        "experiment",
        pa.string(),
        "grid, audit, stability; or activation, width_degree, grid_size: follow-ups",
    ),
    column(
        "protocol",
        pa.string(),
        "clean, published, or departures of the published code; of stability the factor",
    ),
    column("dataset", pa.string(), "name of the data set"),
    column("objective", pa.string(), "training objective: backprop or hsic"),
    column("model", pa.string(), "mlp, kan, wide_mlp, or module:function of the user's own"),
    column("depth", pa.string(), "the paper's name: 2layers has one hidden layer"),
    column("hidden_widths", pa.string(), "widths of the hidden layers, joined by x", "units"),
    column("activation", pa.string(), "activation; a KAN's base activation; null of one's own"),
    column("degree", pa.int64(), "degree of the B-splines; null unless a KAN"),
    column("grid_size", pa.int64(), "intervals of the spline grid; null unless a KAN"),
    column("initialization", pa.string(), "initialization of every layer, or module:function"),
    column(
        "optimizer", pa.string(), "sgd, sgd_momentum (Nesterov), adam (AdamW) or module:function"
    ),
    column("learning_rate", pa.float64(), "learning rate"),
    column("seed", pa.int64(), "seed of the study that this run belongs to"),
)
KEY_NAMES = tuple(field.name for field in KEY)

ORIGIN = (
    column("parameters", pa.int64(), "trainable parameters, counted as published"),
    column("code", pa.string(), "digest of the code that trained this run"),
)

# One row an evaluation. A run that diverges ends with a row that has `diverged` set and no values.
HISTORY = pa.schema(
    [
        *KEY,
        column("epoch", pa.int64(), "epochs completed at this evaluation", "epochs"),
        column("train_loss", pa.float64(), "cross-entropy on the training split", "nats"),
        column("train_accuracy", pa.float64(), "accuracy on the training split", "fraction"),
        column("validation_loss", pa.float64(), "cross-entropy on the validation split", "nats"),
        column("validation_accuracy", pa.float64(), "accuracy on validation", "fraction"),
        column("test_loss", pa.float64(), "cross-entropy on the test set", "nats"),
        column("test_accuracy", pa.float64(), "accuracy on the whole test set", "fraction"),
        column(
            "layer_nhsic",
            pa.list_(pa.float64()),
            "normalized HSIC with the labels, on the first training batch, of each layer that "
            "minimizes it; null unless the objective is hsic",
        ),
        column(
            "outside_grid",
            pa.list_(pa.float64()),
            "share of each layer's inputs beyond the extended grid, where all splines are zero, "
            "on 256 training examples; null unless a KAN at its last epoch",
            "fraction",
        ),
        column("diverged", pa.bool_(), "the loss was no longer finite at this epoch"),
        *ORIGIN,
    ]
)

# One row a sweep: everything that differs between two machines.
_SCHEME_NAMES = tuple(Scheme.__dataclass_fields__)
TIMINGS = pa.schema(
    [
        *(field for field in KEY if field.name not in _SCHEME_NAMES),
        column("sweep", pa.string(), "name of the sweep"),
        column("parameters", pa.int64(), "trainable parameters of one network, as published"),
        column("schemes", pa.int64(), "networks trained side by side"),
        column("steps", pa.int64(), "optimizer steps of each scheme"),
        column("epochs", pa.int64(), "epochs of each scheme", "epochs"),
        column("seconds", pa.float64(), "wall-clock time of the sweep, resumes added", "s"),
        column("training_seconds", pa.float64(), "time in optimizer steps", "s"),
        column("evaluation_seconds", pa.float64(), "time in evaluations", "s"),
        column("resumes", pa.int64(), "times it went on from a checkpoint"),
        column("device", pa.string(), "name of the device"),
        column("threads", pa.int64(), "threads of the process"),
        column("python", pa.string(), "version of Python"),
        column("torch", pa.string(), "version of PyTorch"),
        column("kancore", pa.string(), "version of kancore"),
        column("git_revision", pa.string(), "revision of the project, + where it was modified"),
    ]
)

# One row a subspace and seed; the network that trains in all its parameters is one of them.
LANDSCAPES = pa.schema(
    [
        column("study", pa.string(), "name of the study; null if published"),
        column("dataset", pa.string(), "name of the data set"),
        column("network", pa.string(), "name of the architecture"),
        column("projection", pa.string(), "kind of random projection; null if published"),
        column("seed", pa.int64(), "seed of weights and subspaces; null if published"),
        column("dimension", pa.int64(), "dimension of the subspace; all parameters if direct"),
        column("direct", pa.bool_(), "the network trained in all its parameters"),
        column("parameters", pa.int64(), "numbers that training moves: the space of subspaces"),
        column("epochs", pa.int64(), "epochs completed at the last evaluation", "epochs"),
        column("best_epoch", pa.int64(), "first epoch of the best validation accuracy", "epochs"),
        column("train_accuracy", pa.float64(), "training accuracy at best_epoch", "fraction"),
        column("validation_accuracy", pa.float64(), "accuracy at best_epoch", "fraction"),
        column("test_accuracy", pa.float64(), "test accuracy at best_epoch", "fraction"),
        column("diverged", pa.bool_(), "the loss became non-finite before the last epoch"),
        column("source", pa.string(), "measured, or where it was published"),
        column("code", pa.string(), "digest of the code that trained it; null if published"),
    ]
)


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
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedFileError(f"{path}: not a whole Parquet table ({error}); {AGAIN}") from error
    if table.schema.names != schema.names or table.schema.types != schema.types:
        names = f"columns {table.schema.names}, expected {schema.names}"
        raise DamagedFileError(f"{path}: {names}; {AGAIN}")
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
