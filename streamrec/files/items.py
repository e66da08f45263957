"""Item files: item_id, title, category (several with | between), text; the rest are attributes."""

import csv
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamrec.errors import ConfigurationError
from streamrec.events.event import Item
from streamrec.files.columns import missing_extra
from streamrec.files.events import open_text

IDS = ("item_id", "item", "id")


def read_items(file: Path) -> dict[str, Item]:
    """Return the items of a Parquet, CSV or JSON lines file by id.

    Raises ConfigurationError, with the line, for what cannot be read.
    """
    try:
        found = {}
        for number, row in enumerate(_rows(file), 1):
            item = _item(row)
            if item is None:
                columns = ", ".join(map(str, row)) or "none"
                raise ConfigurationError(
                    f"{file}, item {number}: no {' or '.join(IDS)}. Columns found: {columns}."
                )
            found[item.item] = item
        return found
    except OSError as error:
        raise ConfigurationError(f"Cannot read {file}: {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise ConfigurationError(f"Cannot read {file}: {error}.") from None


def _rows(file: Path) -> Iterator[Mapping[str, Any]]:
    if file.suffix in (".parquet", ".pq"):
        try:
            import pyarrow.parquet as pq
        except ImportError:
            raise missing_extra(file) from None
        try:
            yield from pq.read_table(file).to_pylist()
        except ValueError as error:
            raise ConfigurationError(f"Cannot read {file} as Parquet: {error}") from None
        return
    with open_text(file) as lines:
        if ".jsonl" in file.name or ".ndjson" in file.name:
            for number, line in enumerate(lines, 1):
                try:
                    if line.strip():
                        yield msgspec.json.decode(line, type=dict[str, Any])
                except msgspec.MsgspecError as error:
                    text = f"{file}, line {number} is not a JSON object: {error}."
                    raise ConfigurationError(text) from None
        else:
            yield from csv.DictReader(lines, delimiter="\t" if ".tsv" in file.name else ",")


def _item(row: Mapping[str, Any]) -> Item | None:
    name = next((row[key] for key in IDS if row.get(key) not in (None, "")), None)
    if name is None:
        return None
    categories = row.get("categories") or row.get("category") or ()
    if isinstance(categories, str):
        categories = tuple(filter(None, (part.strip() for part in categories.split("|"))))
    elif not isinstance(categories, list | tuple):
        categories = (str(categories),)
    known = (*IDS, "title", "text", "category", "categories")
    return Item(
        str(name),
        str(row.get("title") or ""),
        tuple(map(str, categories)),
        str(row.get("text") or ""),
        attributes={
            str(k): v
            for k, v in row.items()
            if k not in known and isinstance(v, str | float | int | bool)
        },
    )
