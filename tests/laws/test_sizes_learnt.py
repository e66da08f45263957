"""`streamrec size` against a real Redis that the real learners and scorer filled: within 15 %."""

import json
import time
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pytest
from laws.spine import Spine
from laws.test_sizes import emptied, peak, total
from laws.world import NOW, event
from servers import RedisServer

from streamrec.inspection.sizes import Amount, learn_parts, redis_parts, score_parts
from streamrec.settings.load import load
from streamrec.settings.places import PlaceSettings
from streamrec.settings.profiles import PROFILES
from streamrec.sources.registry import sources_of
from streamrec.state.item_rows import ItemSchema
from streamrec.state.schema import Kind
from streamrec.state.served import read_shown
from streamrec.state.user_rows import USERS, user_columns
from streamrec.transport.redis.keys import key

PEOPLE, ITEMS, EVENTS, COMMIT = 4_000, 3_000, 40_000, 200
FULL = {
    "text.model": "hashed",
    "events.duplicate_window": 32_768,  # all of it, and of the feed, is used by the end
    "items.feed_entries": 150,
    "items.similar_per_second": 1e6,
    "neural.sample_bytes_per_second": 0,  # how many lists it would keep is a matter of the clock
}
WORDS = "blue teapot garden lamp chair wooden small green cup table mirror soft iron paper".split()


def catalogue() -> Iterable[dict[str, Any]]:
    random = np.random.default_rng(1)
    for n in range(ITEMS):
        title, text = (" ".join(random.choice(WORDS, size)) for size in (5, 18))
        kind = [str(random.choice(WORDS))]
        yield {"item": f"i{n:07d}", "title": title, "categories": kind, "text": text}


def clicks(people: int = PEOPLE, events: int = EVENTS) -> list[dict[str, Any]]:
    """Return events of people with tastes, on items of which some are popular; each has some."""
    random = np.random.default_rng(2)
    who = np.concatenate([np.arange(people), random.integers(0, people, events - people)])
    random.shuffle(who)
    share = 1.0 / (np.arange(ITEMS) + 0.03 * ITEMS)
    what = random.choice(ITEMS, events, p=share / share.sum())
    own = random.random(events) < 0.5
    what[own] = (what[own] // 20 * 20 + who[own] % 20) % ITEMS
    each = enumerate(zip(who.tolist(), what.tolist(), strict=True))
    return [event(f"u{u:015d}", f"i{i:07d}", ts=n, id=f"e{n}") for n, (u, i) in each]


def fill(spine: Spine, events: list[dict[str, Any]]) -> None:
    """Learn everything, and make a list for everybody and every item."""
    spine.broker.now_ms = NOW + 1000 * len(events)
    for item in catalogue():
        spine.describe(**item)
    scorer = spine.scorer()
    for first in range(0, len(events), COMMIT):
        spine.learn(events[first : first + COMMIT])
    while int(spine.store.meta("u0")[b"offset"]) < len(events):
        spine.turn()
    for _ in range(100):  # a step has a batch of the due, and of the items' lists
        scorer.step(time.monotonic())
    assert spine.store.due_count(["u0"]) == 0


def in_use(spine: Spine, kinds: Iterable[tuple[str, Kind]]) -> float:
    """Return the share of the bounds of lists that is in use."""
    used = most = 0
    for shard, kind in kinds:
        rows = spine.store.all_rows(shard, kind.name).values() if kind.lists else []
        used += sum(len(row) - kind.header.itemsize for row in rows)
        most += len(rows) * (kind.most_bytes() - kind.header.itemsize)
    return used / most


def mean_shown(client: Any, share: float) -> float:
    """Return the mean bytes in Redis of a shown row, of which just that share has features."""
    sizes: dict[bool, list[int]] = {False: [], True: []}
    for name in client.scan_iter("sr:shown:u*", count=1000):
        row = read_shown(client.get(name))
        assert row is not None
        sizes[bool(row.sample)].append(client.memory_usage(name))
    plain, full = (sum(each) / len(each) for each in (sizes[False], sizes[True]))
    return plain + share * (full - plain)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_shown_row_takes_1_kb_in_the_mean(clean_redis: RedisServer, profile: str) -> None:
    """Of clicks that are made up sources agree on less than of real ones: rows are longer."""
    given = {**FULL, "profile": profile, "redis.url": clean_redis.url, "items.similar_length": "0"}
    settings = load(None, {}, given)
    spine = Spine(settings, clean_redis.url, 1)
    fill(spine, clicks(800, 8_000))
    mean = mean_shown(clean_redis.client(), settings.blend.sample)
    spine.close()
    print(profile, round(mean))
    assert mean <= 1000


def test_what_a_real_run_takes(clean_redis: RedisServer) -> None:
    settings = load(None, {}, {**FULL, "redis.url": clean_redis.url})
    client: Any = clean_redis.client()
    before = emptied(client)
    spine = Spine(settings, clean_redis.url, 1)
    fill(spine, clicks())
    people = Kind(USERS, user_columns(settings.users.recent_items, settings.users.seen_items))
    kinds = [("i0", kind) for kind in ItemSchema(sources_of(settings)).kinds.values()]
    rate = COMMIT / settings.batches.item_linger_seconds  # as the commits above were
    fills = in_use(spine, [("u0", people)]), in_use(spine, kinds)
    amount = Amount(PEOPLE, ITEMS, 1, *fills, rate)
    assert len(spine.store.all_rows("u0", USERS)) == PEOPLE
    assert client.hlen(key("i0", "items")) == ITEMS

    assert mean_shown(client, settings.blend.sample) <= 1000
    told = {
        "redis": total(redis_parts(settings, amount)),
        "learn": total(learn_parts(settings, amount)),
        "score": total(score_parts(settings, amount)),
    }
    found = {"redis": client.info("memory")["used_memory"] - before}
    found |= {role: peak(role, clean_redis.url) for role in ("learn", "score")}
    spine.close()
    print({name: (round(told[name] / 1e6, 1), round(found[name] / 1e6, 1)) for name in told})
    for name in told:
        assert told[name] == pytest.approx(found[name], rel=0.15), name


@pytest.mark.parametrize(
    "rules, each",
    [({"click": "ever"}, 15), ({}, 0), (None, 15), ({"click": "ever"}, 40)],
    ids=["of a type", "nothing", "as home", "more than the history"],
)
def test_what_is_left_out_at_places_with_a_context(
    clean_redis: RedisServer, rules: dict[str, str] | None, each: int
) -> None:
    """Of people with so many items, of which histories hold 20: the ids stand in their lists."""
    users, taken = 150, each or 15
    given = load(None, {}, {**FULL, "users.recent_items": "20", "items.similar_length": "0"})
    place = PlaceSettings(context="basket", exclude=rules)
    settings = msgspec.structs.replace(given, places={"cart": place})
    spine = Spine(settings, clean_redis.url, 1)
    spine.broker.now_ms = NOW + 1_000_000
    who, what = range(users), range(taken)
    spine.learn([event(f"u{u:015d}", f"i{(u + n) % 90:07d}", ts=n) for n in what for u in who])
    while int(spine.store.meta("u0")[b"offset"]) < users * taken:
        spine.turn()
    scorer = spine.scorer()
    while scorer.step(1000.0) or spine.store.due_count(["u0"]):
        pass
    people = Kind(USERS, user_columns(settings.users.recent_items, settings.users.seen_items))
    amount = Amount(users, 90, 1, in_use(spine, [("u0", people)]))
    [part] = [p for p in redis_parts(settings, amount) if p.what == "lists of other places"]
    client: Any = clean_redis.client()
    names = list(client.scan_iter("rec:u*:cart", count=1000))
    found = sum(client.memory_usage(name) for name in names)
    left_out = [json.loads(client.get(name)).get("exclude", []) for name in names]
    spine.close()
    assert len(names) == users and sum(map(len, left_out)) == users * each
    assert part.bytes == pytest.approx(found, rel=0.15)
