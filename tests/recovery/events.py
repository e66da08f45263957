"""A seeded stream of test events: popular and rare items, repeats, garbage, wrong clocks."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

TYPES = {
    "click": 60,
    "view": 14,
    "cart": 6,
    "purchase": 5,
    "like": 3,
    "dislike": 3,
    "remove": 3,
    "impression": 6,
}


class Sent(NamedTuple):
    """One message for the events topic; `kind` is good, repeat, or the kind of garbage."""

    key: bytes | None
    value: bytes | None
    kind: str


def user_name(rank: int) -> str:
    """Return the id of the user with this rank; some ids are awkward on purpose."""
    return ("ü-%d", "u %d", "u:%d", "u%d")[min(rank % 20, 3)] % rank


def item_name(rank: int) -> str:
    """Return the id of the item with this rank; some are numbers."""
    return {7: f"größe/{rank}", 8: str(rank)}.get(rank % 25, f"i{rank}")


def _garbage(rng: random.Random, user: str, number: int, now_ms: int) -> Sent:
    good = {"user": user, "item": "i1", "type": "click", "ts": now_ms, "id": f"bad{number}"}
    kinds: dict[str, bytes | None] = {
        "not json": b'{"user": "u1", "item": ',
        "bad utf-8": b'{"user": "\xff\xfe", "item": "i1", "type": "click", "ts": 1}',
        "empty": b"",
        "null value": None,
        "array": b"[1, 2, 3]",
        "no item": json.dumps({k: v for k, v in good.items() if k != "item"}).encode(),
        "no user": json.dumps({k: v for k, v in good.items() if k != "user"}).encode(),
        "unknown type": json.dumps(good | {"type": "teleport"}).encode(),
        "bad ts": json.dumps(good | {"ts": "yesterday"}).encode(),
        "item is a list": json.dumps(good | {"item": ["i1"]}).encode(),
        "long id": json.dumps(good | {"user": "x" * 2000}).encode(),
        "control character": json.dumps(good | {"item": "i\n1"}).encode(),
        "far future": json.dumps(good | {"ts": now_ms + 30 * 86_400_000}).encode(),
        "binary": bytes(rng.randrange(256) for _ in range(40)) + b"\x00",
    }
    if number % 40 == 0:
        return Sent(user.encode(), json.dumps(good | {"pad": "x" * 70_000}).encode(), "oversized")
    kind = rng.choice(list(kinds))
    return Sent(user.encode(), kinds[kind], kind)


def _good(rng: random.Random, user: str, item: str, number: int, ts: int) -> dict[str, object]:
    event: dict[str, object] = {"user": user, "item": int(item) if item.isdigit() else item}
    event["type"] = rng.choices(list(TYPES), list(TYPES.values()))[0]
    if rng.random() < 0.1:
        text = datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="milliseconds")
        event["ts"] = text.replace("+00:00", "Z")
    elif rng.random() < 0.99:
        event["ts"] = ts
    if rng.random() < 0.9:
        event["id"] = f"e{number}"
    if rng.random() < 0.1:
        event["page"] = {"unknown": ["fields", "are", number]}
    return event


def stream(
    seed: int,
    count: int,
    now_ms: int,
    *,
    users: int = 300,
    items: int = 120,
    repeats: float = 0.05,
    garbage: float = 0.02,
) -> Iterator[Sent]:
    """Yield `count` messages; the same arguments give the same messages.

    Users and items follow Zipf's law. Times run up to `now_ms`, one a second, with 10 % late by up
    to an hour, 2 % equal to the one before and 1 % a minute ahead of the log. A repeat has the user
    and the id of an earlier event (near or far back) and sometimes another item. Now and then two
    users use the same id, which is no repeat.
    """
    rng = random.Random(seed)
    user_weights = [1 / (rank + 3) for rank in range(users)]
    item_weights = [1 / (rank + 2) for rank in range(items)]
    sent: list[dict[str, object]] = []
    ts = now_ms - count * 1000 - 3_700_000
    for number in range(count):
        user = user_name(rng.choices(range(users), user_weights)[0])
        item = item_name(rng.choices(range(items), item_weights)[0])
        draw = rng.random()
        if draw < garbage:
            yield _garbage(rng, user, number, now_ms)
            continue
        if draw < garbage + repeats and sent:
            back = rng.choice((5, 200, len(sent)))
            old = sent[-rng.randint(1, min(back, len(sent)))]
            again = old | ({"item": item} if rng.random() < 0.2 else {})
            yield Sent(str(again["user"]).encode(), json.dumps(again).encode(), "repeat")
            continue
        ts += 1000 if rng.random() > 0.02 else 0
        late = rng.randrange(3_600_000) if rng.random() < 0.1 else 0
        event = _good(rng, user, item, number, ts - late)
        if rng.random() < 0.01:
            event["ts"] = now_ms + 60_000
        if rng.random() < 0.005 and sent and "id" in event:
            event["id"] = rng.choice(sent)["id"]
        if "id" in event:
            sent.append(event)
        text = json.dumps(event, ensure_ascii=rng.random() < 0.5)
        yield Sent(user.encode(), text.encode(), "good")
