"""Tables written as they come: Parquet, JSON lines or CSV, whole or not at all."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from streamrec.errors import ConfigurationError
from streamrec.files.cells import arrow

Write = Callable[[Sequence[Sequence[Any]]], None]
"""Appends rows."""
SUFFIXES = (".parquet", ".jsonl", ".csv")


@contextmanager
def table_file(file: Path, columns: Mapping[str, str]) -> Iterator[Write]:
    """Yield what appends rows to `file`, which is there, or replaced, when the block has ended.

    columns: names, and pyarrow's names of their types. Lists have | between them in CSV. Raises
    ConfigurationError, before anything is written, for another suffix or a folder that is missing.
    """
    if file.suffix not in SUFFIXES:
        raise ConfigurationError(f"{file}: name it {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if not file.parent.is_dir() or file.is_dir():
        raise ConfigurationError(f"Cannot write {file}: there is no such folder, or it is one.")
    opened = {".parquet": _parquet, ".jsonl": _json_lines, ".csv": _csv}[file.suffix]
    with replacing(file) as part, opened(part, columns) as write:
        yield write


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a file that takes the place of this one when the block has ended, and not before."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _parquet(file: Path, columns: Mapping[str, str]) -> Iterator[Write]:
    pa: Any = arrow()
    from pyarrow import parquet

    types = [pa.list_(pa.string()) if t == "list" else getattr(pa, t)() for t in columns.values()]
    schema = pa.schema(list(zip(columns, types, strict=True)))
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:

        def write(rows: Sequence[Sequence[Any]]) -> None:
            each = zip(zip(*rows, strict=True), types, strict=True)
            arrays = [pa.array(cells, kind) for cells, kind in each]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write


@contextmanager
def _json_lines(file: Path, columns: Mapping[str, str]) -> Iterator[Write]:
    names = tuple(columns)
    with file.open("wb") as out:

        def write(rows: Sequence[Sequence[Any]]) -> None:
            lines = (dict(zip(names, row, strict=True)) for row in rows)
            out.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

        yield write


@contextmanager
def _csv(file: Path, columns: Mapping[str, str]) -> Iterator[Write]:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)

        def write(rows: Sequence[Sequence[Any]]) -> None:
            writer.writerows(
                ["|".join(cell) if isinstance(cell, list) else cell for cell in row] for row in rows
            )

        yield write
