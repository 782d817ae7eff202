"""What the columns of a table of the user's own are, which is known before its values are read.

Plans ask for it, and do without PyTorch.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.dataset import Dataset

# The columns of labels and of parts, unless a call names others.
LABEL, SPLIT = "label", "split"
# Without a column of parts, the share of the rows that is drawn for testing.
TEST_SHARE = 0.2
# What pandas calls an index without a name, where another program wrote the file again.
_UNNAMED_INDEX = "__index_level_"


def feature_columns(
    names: Iterable[str], index: Iterable[str] = (), label: str = LABEL, split: str = SPLIT
) -> list[str]:
    """Give the columns that are features, in their order.

    Parameters
    ----------
    names
        All columns.
    index
        Those of the index of a data frame, if any; see `index_columns`. One without a name, which
        CSV files have, is none of the features either.
    label, split
        The columns of labels and of parts.
    """
    others = {label, split, "", *index}
    return [name for name in names if name not in others and not name.startswith(_UNNAMED_INDEX)]


def index_columns(schema: "pa.Schema") -> list[str]:
    """Give the columns of a Parquet file that pandas notes as the index of a data frame.

    Raises
    ------
    ValueError, TypeError, AttributeError, RecursionError
        If its notes are damaged.
    """
    described = [*(schema.pandas_metadata or {}).get("index_columns", [])]
    return [name for name in described if isinstance(name, str)]


def open_parquet(path: Path, files: Iterable[Path], texts: list[str]) -> "Dataset":
    """Open Parquet files as one table; parts of their paths such as ``year=2020`` are columns too.

    Parameters
    ----------
    path
        The file, or the folder of the files.
    files
        The file itself, or those of the folder that are read.
    texts
        Columns that are read as dictionaries.
    """
    # They take a third of a second, which plans of other studies need not.
    from pyarrow.dataset import HivePartitioning, ParquetFileFormat, dataset
    from pyarrow.fs import LocalFileSystem

    base = path if path.is_dir() else path.parent
    return dataset(
        [str(file.absolute()) for file in files],
        format=ParquetFileFormat(dictionary_columns=texts),
        filesystem=LocalFileSystem(),
        partitioning=HivePartitioning.discover(infer_dictionary=True),
        partition_base_dir=str(base.absolute()),
    )
