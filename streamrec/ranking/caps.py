"""Caps: of each value of a field, at most so many items in a list."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from streamrec.expressions.syntax import ALIASES, ITEM_FIELDS
from streamrec.state.item_table import ItemTable


class Caps:
    """The caps of one place: `{"brand": 2}` is at most two items of each brand.

    A name is that of an attribute, or of a field (`category`). An item of several categories counts
    for each of them, and is left out if any is full; one without a value is never left out.
    """

    def __init__(self, most: Mapping[str, int]) -> None:
        self._most = [(_field(name), count) for name, count in most.items()]
        self._fields = {name: _field(name) for name in most}

    def __bool__(self) -> bool:
        return bool(self._most)

    def values(self, table: ItemTable, row: int) -> dict[str, list[Any]]:
        """Return the values of an item by the names of the caps; none where it has none."""
        found = {name: _values(table, row, field) for name, field in self._fields.items()}
        return {name: values for name, values in found.items() if values}

    def within(self, rows: Iterable[int], table: ItemTable) -> list[bool]:
        """Return for each row, best first, whether it stays."""
        counts: Counter[tuple[str, Any]] = Counter()
        kept = []
        for row in rows:
            mine = [
                ((field, value), most)
                for field, most in self._most
                for value in _values(table, row, field)
            ]
            stays = all(counts[key] < most for key, most in mine)
            counts.update(key for key, _ in mine if stays)
            kept.append(stays)
        return kept


def _field(name: str) -> str:
    name = ALIASES.get(name, name)
    return name if name in ITEM_FIELDS else "attributes." + name.removeprefix("attributes.")


def _values(table: ItemTable, row: int, field: str) -> list[Any]:
    """Return the values of a field, none for a missing one."""
    entry = table.details.get(row)
    if entry is None:
        return []
    key = field.removeprefix("attributes.")
    value = entry.attributes.get(key) if key != field else getattr(entry, field, None)
    return [v for v in (value if isinstance(value, list) else [value]) if v is not None and v != ""]
