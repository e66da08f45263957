"""Frames of any library, through narwhals: a table of cells in, rows out as a frame of its kind."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamrec.errors import ConfigurationError
from streamrec.files.cells import Column
from streamrec.files.table import Table

INSTALL = "pip install 'streamrec[files]'"


def table_of(frame: Any) -> Table:
    """Return the columns of a frame of pandas, polars, pyarrow or another that narwhals knows.

    Raises ConfigurationError where it is none, or is not computed yet.
    """
    opened = _opened(frame)
    names = [str(name) for name in opened.columns]
    columns = {name: _cells(opened[name]) for name in names}
    rows = len(opened)
    return Table(Path("the frame"), names, columns, rows, "row", lambda: range(1, rows + 1), {})


def like(frame: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a frame of the same kind as `frame`; as a list where that is none."""
    if not rows or not is_frame(frame):
        return list(rows)
    import narwhals

    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    return narwhals.from_dict(columns, backend=_opened(frame).implementation).to_native()


def is_table(given: Any) -> bool:
    """Tell whether something is a file's path, or may be a frame."""
    return isinstance(given, str | os.PathLike) or is_frame(given)


def is_frame(given: Any) -> bool:
    """Tell whether something may be a frame: it is no path, no list and no mapping."""
    plain = (str, bytes, Path, list, tuple, Mapping)
    return given is not None and not isinstance(given, plain) and not hasattr(given, "__next__")


def _opened(frame: Any) -> Any:
    try:
        import narwhals
    except ImportError:
        raise ConfigurationError(f"Reading frames needs narwhals: {INSTALL}.") from None
    try:
        return narwhals.from_native(frame, eager_only=True)
    except TypeError:
        words = "collect it first" if hasattr(frame, "collect") else "give a frame of pandas, "
        words += "" if hasattr(frame, "collect") else "polars or pyarrow, a list of dicts or a path"
        raise ConfigurationError(
            f"{type(frame).__name__} is no frame in memory: {words}."
        ) from None


def _cells(series: Any) -> Column:
    """Return a column for pyarrow; as a list where its cells are of several types."""
    try:
        return series.to_arrow()
    except Exception:  # each library has errors of its own for a column of objects
        return series.to_list()
