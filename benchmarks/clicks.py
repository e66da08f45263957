"""The events: MovieLens-1M's where the folder ../shared/data is, else generated ones like them."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamrec.events.event import Event

ML_1M = Path(__file__).resolve().parents[2] / "shared" / "data" / "ml-1m" / "events.parquet"
MESSAGE_BYTES = 200
LIKE_ML_1M = (575_281, 6_038, 3_533)


class Clicks(NamedTuple):
    """Events in the order they are sent."""

    name: str
    users: list[str]
    items: list[str]
    ts: list[int]  # epoch ms

    def __len__(self) -> int:
        return len(self.users)


def ml_1m(most: int | None = None) -> Clicks:
    """Return the first `most` ratings of 4 or 5, in time order; generated ones without the file."""
    if not ML_1M.exists():
        count, users, items = LIKE_ML_1M
        return generated(min(most or count, count), users, items)
    import pyarrow.parquet

    columns = ["user_id", "item_id", "ts_ms"]
    table = pyarrow.parquet.read_table(ML_1M, columns=columns).slice(0, most)
    return Clicks("ml-1m", *(table.column(name).to_pylist() for name in columns))


def generated(count: int, users: int, items: int, seed: int = 1) -> Clicks:
    """Return clicks of a like shape: skewed users and items, tastes, whole sittings at a time."""
    random = np.random.default_rng(seed)
    groups = 20
    sitting = random.geometric(1 / 20, count)
    sitting = sitting[: int(np.searchsorted(np.cumsum(sitting), count)) + 1]
    who = np.repeat(skewed(random, users, len(sitting)), sitting)[:count]
    # half of a user's clicks are on the items of one of 20 tastes
    what = skewed(random, items, count)
    own = random.random(count) < 0.5
    what[own] = (what[own] // groups * groups + who[own] % groups) % items
    ts = 956_700_000_000 + np.arange(count) * 5_000
    return Clicks(
        f"generated, {users} users, {items} items",
        [f"u{n}" for n in who.tolist()],
        [f"i{n}" for n in what.tolist()],
        ts.tolist(),
    )


def skewed(random: np.random.Generator, n: int, count: int) -> np.ndarray:
    """Return `count` draws of 0..n-1, the most frequent some hundred times as frequent as most."""
    share = 1.0 / (np.arange(n) + 0.03 * n) ** 1.2
    return random.choice(n, count, p=share / share.sum())


def interleaved(clicks: Clicks, seed: int = 1) -> Clicks:
    """Return the same clicks with the users mixed: each user's own order stays, sittings do not."""
    users = np.array(clicks.users)
    order = np.random.default_rng(seed).permutation(len(users))
    by_user = np.argsort(users, kind="stable")  # each user's events, in their order
    # a user's places in the mix, in rising order, take the user's events in their order
    mixed = users[order]
    taken = np.empty(len(users), np.int64)
    taken[np.argsort(mixed, kind="stable")] = by_user
    return Clicks(
        f"{clicks.name}, users mixed",
        [clicks.users[n] for n in taken.tolist()],
        [clicks.items[n] for n in taken.tolist()],
        sorted(clicks.ts),
    )


def event(clicks: Clicks, n: int, number: int) -> Event:
    """Return the n-th click as a decoded event with an id of its own."""
    return Event(clicks.users[n], clicks.items[n], "click", clicks.ts[n], f"e{number:010}", 4.0)


def message(clicks: Clicks, n: int, number: int, ts: int | None = None) -> bytes:
    """Return the n-th click as a message of 200 bytes, with fields that streamrec does not read."""
    fields = {
        "user": clicks.users[n],
        "item": clicks.items[n],
        "type": "click",
        "ts": clicks.ts[n] if ts is None else ts,
        "id": f"e{number:010}",
        "value": 4.0,
        "page": "",
    }
    bare = len(json.dumps(fields, separators=(",", ":")))
    fields["page"] = ("/catalogue/drama/" * 8)[: max(0, MESSAGE_BYTES - bare)]
    return json.dumps(fields, separators=(",", ":")).encode()
