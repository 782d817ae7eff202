"""The tables, figures and networks of a study, for notebooks."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from kancore.figures.declared import FIGURES
from kancore.figures.style import STYLE, apply
from kancore.machine.files import DamagedFileError
from kancore.machine.messages import reason
from kancore.tables import read_table

# What a column's metadata say of it.
_ABOUT = ("unit", "description")
# Names of tables that figures are drawn from, where these have others.
_OF_FIGURES = {name: f"grid/{name}" for name in ("history", "runs", "timings")}
_OF_FIGURES["follow_ups"] = "follow_ups/runs"


class Results(Mapping[str, pd.DataFrame]):
    """The tables of a study, by name: ``grid/runs``, ``stability``, ``efficiency`` and others.

    A table is read when it is asked for.

    Parameters
    ----------
    folder
        The study's folder, such as ``results/quick``.

    Raises
    ------
    FileNotFoundError
        If there are no tables.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not self._paths:
            raise FileNotFoundError(f"{folder}: no tables; expected the folder of a study that ran")

    @cached_property
    def _paths(self) -> dict[str, Path]:
        tables = self.folder / "tables"
        found = sorted(tables.rglob("*.parquet"))
        return {path.relative_to(tables).with_suffix("").as_posix(): path for path in found}

    def _path(self, name: str) -> Path:
        if name not in self._paths:
            raise KeyError(f"{name}: no such table; there are {', '.join(self)}")
        return self._paths[name]

    def __getitem__(self, name: str) -> pd.DataFrame:
        path = self._path(name)
        return read_table(path, _schema(path))

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def columns(self, name: str) -> pd.DataFrame:
        """Say what the columns of a table are: ``type``, ``unit`` and ``description`` of each."""
        schema = _schema(self._path(name))
        rows = [
            {"type": str(field.type)}
            | {key: (field.metadata or {}).get(key.encode(), b"").decode() for key in _ABOUT}
            for field in schema
        ]
        return pd.DataFrame(rows, index=pd.Index(schema.names, name="column"))

    @property
    def networks(self) -> list[Path]:
        """Files of the networks that were kept, for `kancore.load`."""
        return sorted((self.folder / "networks").rglob("*.safetensors"))

    def draw(self, figure: str, table: pd.DataFrame | None = None, **style: Any) -> Figure:
        """Draw a figure of the report.

        Parameters
        ----------
        figure
            Its name, one of `kancore.figures.declared.FIGURES`.
        table
            What to draw, such as some rows of the table that the report draws; by default that.
        **style
            Settings of `kancore.figures.style.apply` that are to be others than the project's.

        Raises
        ------
        KeyError
            If there is no such figure, or the study has no such table.
        ValueError
            If `table` has no rows, or a setting of the style is unknown.
        """
        if figure not in FIGURES:
            raise KeyError(f"{figure}: no such figure; there are {', '.join(FIGURES)}")
        if table is None:
            source = FIGURES[figure].table
            table = self[_OF_FIGURES.get(source, source)]
        elif table.empty:
            raise ValueError(f"{figure}: the table has no rows to draw")
        with apply({**STYLE, **style}):
            return import_module(f"kancore.figures.{figure}").draw(table)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except pa.ArrowException as error:
        raise DamagedFileError(f"{path}: not a Parquet table ({reason(error)})") from error


def results(folder: str | Path) -> Results:
    """Give the tables of a study: ``kancore.results("results/quick")["grid/runs"]``."""
    return Results(folder)
