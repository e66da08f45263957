"""Item files: what the items topic has, as columns; every further column is an attribute."""

import re
from math import inf
from pathlib import Path
from typing import Any

import msgspec

from streamrec.events.checks import Refusal, quote, refuse
from streamrec.events.event import Item, Rejected, decode_item
from streamrec.files.cells import Reasons, absent, as_id, listed, plain
from streamrec.files.events import AS_USUAL, Say, silent
from streamrec.files.formats import read_table
from streamrec.files.reading import ITEM_FIELDS, Reading
from streamrec.files.table import Table

NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?")
"""What is a number in a file of text: 007 and numbers of 16 digits are none."""
FLAGS = {"true": True, "false": False, "yes": True, "no": False, "t": True, "f": False}


def read_items(file: Path, reading: Reading = AS_USUAL, say: Say = silent) -> dict[str, Item]:
    """Return the items by id, the last row of each; `say` is told what became of the rows.

    Raises RowsRefused, with the first row, where more are refused than may be, and
    ConfigurationError where nothing can be read.
    """
    return read_counted(file, reading, say)[0]


def read_counted(file: Path, reading: Reading, say: Say) -> tuple[dict[str, Item], int]:
    """Return the items as `read_items` does, and how many rows were refused."""
    table = read_table(file, reading, None)
    items, wrong = items_in(table, reading, "--item-columns FIELD=COLUMN")
    say(table.settle(wrong, reading, f"{len(items):,} items"))
    return items, len(wrong) + len(table.broken)


def items_in(table: Table, reading: Reading, option: str) -> tuple[dict[str, Item], Reasons]:
    """Return the items of a table by id, and why rows are refused; option: as in Table.choose."""
    found = table.choose(ITEM_FIELDS, ("item",), reading, option)
    cells = {ours: listed(table.columns[name]) for ours, name in found.items()}
    others = {
        name: listed(table.columns[name]) for name in table.names if name not in found.values()
    }
    if table.untyped:
        others = {name: _typed(column) for name, column in others.items()}
    spaced = found.get("categories") in table.spaced
    items, wrong = dict[str, Item](), Reasons()
    for row in range(table.rows):
        try:
            fields = {ours: plain(column[row]) for ours, column in cells.items()}
            further = {name: plain(column[row]) for name, column in others.items()}
            item = _item(fields, further, table.untyped, spaced)
            items[item.item] = item
        except Refusal as refusal:
            wrong[row] = refusal.rejected
    return items, wrong


def _item(fields: dict[str, Any], further: dict[str, Any], untyped: bool, spaced: bool) -> Item:
    """Return the item as the items topic would have it; raises Refusal."""
    categories = fields.get("categories")
    if isinstance(categories, str):
        categories = categories.split(" " if spaced else "|")
    elif not isinstance(categories, list):
        categories = [categories]
    available = fields.get("available")
    attributes = {name: _scalar(cell) for name, cell in further.items()}
    message: dict[str, Any] = {
        "item": as_id(fields["item"], "item", untyped),
        "title": _words(fields.get("title")),
        "text": _words(fields.get("text")),
        "categories": [words for words in map(_words, categories) if words],
        "available": absent(available) or _flag(available),
        "attributes": {name: cell for name, cell in attributes.items() if cell is not None},
    }
    own = fields.get("attributes")
    if not absent(own):
        message["attributes"] = {**message["attributes"], **own} if isinstance(own, dict) else own
    found = decode_item(None, msgspec.json.encode(message))
    if isinstance(found, Rejected):
        raise Refusal(found)
    return found


def _typed(column: list[str]) -> list[Any]:
    """Return a column of text as numbers, or true and false, if it has nothing else."""
    filled = {cell for cell in column if cell}
    if all(map(NUMBER.fullmatch, filled)):
        return [float(cell) if cell else None for cell in column]
    if all(cell.lower() in ("true", "false") for cell in filled):
        return [FLAGS.get(cell.lower()) for cell in column]
    return list(column)


def _flag(cell: Any) -> bool:
    """Return true or false; a number is what is in stock."""
    text = str(cell).strip().lower()
    if NUMBER.fullmatch(text):
        return float(text) > 0
    if text not in FLAGS:
        refuse("schema", f"available is {quote(cell)}: give true, false or a number")
    return FLAGS[text]


def _words(cell: Any) -> str:
    whole = isinstance(cell, float) and cell.is_integer()
    return "" if absent(cell) else str(int(cell) if whole else cell).strip()


def _scalar(cell: Any) -> Any:
    """Return what an attribute may be; None for nothing, lists, structs and inf."""
    if absent(cell) or isinstance(cell, list | dict) or cell in (inf, -inf):
        return None
    return cell if isinstance(cell, str | int | float) else str(cell)
