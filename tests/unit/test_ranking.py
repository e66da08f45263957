"""Lists against a slow reimplementation of the documented formulas, and their rules."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from streamrec.config import Settings
from streamrec.learners.keys import key_of
from streamrec.ranking.blend import SOURCES, TINY, blend
from streamrec.ranking.lists import NOBODY, ListMaker, Made
from streamrec.shards.item_table import ItemTable
from streamrec.shards.rows import UserRow

NOW = 1_700_000_000_000
MINUTE = 60_000
K = 4
PRIOR = 2.0
BASE = {
    "factors": {"size": K, "context": 3, "context_decay": 0.7},
    "similarity": {"window": 2, "neighbours": 3, "prior": PRIOR},
    "lists": {"length": 10, "session_seconds": 600.0},
    "blend": {"candidates": 8},
}


def settings(**sections: dict[str, Any]) -> Settings:
    merged = {name: BASE.get(name, {}) | sections.get(name, {}) for name in BASE | sections}
    return msgspec.convert(merged, Settings)


def only(source: str) -> dict[str, Any]:
    return {"weights": {source: 1.0}, "candidates": 8}


def table(items: int, seed: int = 1, with_config: Settings | None = None) -> ItemTable:
    """Return a table of items a0, a1, ... with random rows."""
    config = with_config or settings()
    mine = ItemTable(config.factors, config.popularity, config.similarity, with_neighbours=True)
    for n in range(items):
        mine.row(f"a{n}")
    rng, a = np.random.default_rng(seed), mine.arrays
    a.targets[:items], a.contexts[:items] = rng.normal(size=(2, items, K))
    a.biases[:items] = rng.normal(size=items)
    a.popularity[:items] = rng.uniform(0.1, 9, (items, 3))
    a.clocks[:items] = NOW - rng.integers(0, 10 * MINUTE, items)
    a.stored[:items] = True
    if items > 4:
        a.neighbours[:items, :4] = [rng.permutation(items)[:4] for _ in range(items)]
        a.weights[:items, :4] = rng.uniform(0.1, 2, (items, 4))
        a.sizes[:items] = 4
        a.totals[:items] = a.weights[:items, :4].sum(axis=1)
    return mine


def user(*items: int, seen: tuple[int, ...] = (), minutes: tuple[int, ...] = ()) -> UserRow:
    """Return a user who took a<n>, oldest first, one a minute or so many minutes ago."""
    n = len(items)
    ago = minutes or tuple(range(n, 0, -1))
    return UserRow(
        events=n,
        offset=n,
        clock=NOW,
        keys=np.array([key_of(f"a{i}") for i in items], np.uint64),
        ts=np.array([NOW - m * MINUTE for m in ago], np.int64),
        types=np.zeros(n, np.uint8),
        takes=np.ones(n, np.uint8),
        seen=np.array([key_of(f"a{i}") & 0xFFFFFFFF for i in seen], np.uint32),
    )


def make(mine: ItemTable, who: UserRow, config: Settings | None = None) -> Made:
    maker = ListMaker(config or settings())
    maker.prepare(mine)
    return maker.make([who], mine)[0]


def names(made: Made) -> list[str]:
    return [entry.item for entry in made.items]


def features(mine: ItemTable, history: list[int]) -> tuple[np.ndarray, list[int]]:
    """Return what each source says of each item, and the neighbours of the history."""
    a, n = mine.arrays, len(mine)
    age = (a.clocks[:n] - a.clocks[:n].max())[:, None]
    decayed = a.popularity[:n] * 2.0 ** (age / mine.half_lives_ms)
    shares = decayed / decayed.sum(axis=0)
    near = np.zeros(n)
    for b, h in enumerate(history[:2]):
        for at in range(a.sizes[h]):
            near[a.neighbours[h, at]] += 0.7**b * a.weights[h, at] / (a.totals[h] + PRIOR)
        near += 0.7**b * PRIOR / (a.totals[h] + PRIOR) * shares[:, 2]
    weights = 0.7 ** np.arange(len(history[:3]))
    z = weights / weights.sum() @ a.contexts[history[:3]]
    said = np.log(shares)
    known = {int(j) for h in history[:2] for j in a.neighbours[h, : a.sizes[h]]}
    return np.column_stack([said, np.log(near), a.targets[:n] @ z + a.biases[:n]]), sorted(known)


@pytest.mark.parametrize("seed", range(8))
def test_a_list_is_the_documented_blend_of_the_documented_candidates(seed: int) -> None:
    mine, config = table(40, seed), settings()
    history = [3, 1, 4, 15]  # newest first
    made = make(mine, user(*reversed(history), seen=(7, 9)), config)
    said, neighbours = features(mine, history)
    left_out = {*history, 7, 9}
    candidates: set[int] = set()
    for m in range(5):
        order = [j for j in np.argsort(-said[:, m]) if m != 3 or j in neighbours]
        pool = [int(j) for j in order if j not in left_out][:8]
        alone = [key_of(f"a{j}") for j in pool]
        assert made.shown[1 + m].tolist() == (alone + [0] * 10)[:10]
        candidates |= set(pool)
    rows = sorted(candidates)
    floor = [math.log(TINY)] * 4 + [min(0.0, said[rows, 4].min())]
    weights = [config.blend.weights[source] for source in SOURCES]
    opinions = np.where(np.isnan(said), floor, said) @ weights
    best = sorted(rows, key=lambda j: -opinions[j])[:10]
    assert names(made) == [f"a{j}" for j in best]
    assert [entry.score for entry in made.items] == pytest.approx(opinions[best], abs=1e-3)
    assert made.shown[0].tolist() == [key_of(f"a{j}") for j in best]


def test_no_opinion_counts_as_the_floor_and_names_no_source() -> None:
    weights = np.array([0.0, 0.0, 0.5, 2.0, 1.0])
    nan = math.nan
    said = np.array([[nan, 1.0, -1.0, -3.0, 4.0], [0.0, nan, nan, nan, -2.0], [nan] * 5])
    scores, source = blend(said.copy(), weights)
    floor = math.log(TINY)
    expected = [-0.5 - 6 + 4, 0.5 * floor + 2 * floor - 2, 2.5 * floor - 2]
    assert scores == pytest.approx(expected)
    assert source[0] in (2, 3, 4)
    assert len(blend(np.zeros((0, 5)), weights)[0]) == 0


@pytest.mark.parametrize("rule", ["user", "session", "none"])
def test_the_seen_rule(rule: str) -> None:
    config = settings(lists={"exclude": rule, "length": 30}, blend={"candidates": 30})
    who = user(1, 2, 3, 4, seen=(5,), minutes=(90, 60, 8, 3))  # 3 and 4: the last ten minutes
    listed = set(names(make(table(12), who, config)))
    left_out = {"user": {1, 2, 3, 4, 5}, "session": {3, 4, 5}, "none": {5}}[rule]  # 5: marked
    assert listed == {f"a{n}" for n in range(12) if n not in left_out}


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_alone_is_its_own_list(source: str) -> None:
    made = make(table(40), user(3, 1), settings(blend=only(source)))
    alone = made.shown[1 + SOURCES.index(source)]
    assert made.shown[0].tolist() == alone.tolist()
    assert {entry.source for entry in made.items} == {source}


def test_weight_0_switches_a_source_off_and_it_is_still_watched() -> None:
    on = make(table(40), user(3, 1), settings())
    weights = {source: w for source, w in settings().blend.weights.items() if source != "factors"}
    off = make(table(40), user(3, 1), settings(blend={"weights": weights}))
    assert names(on) != names(off)
    assert "factors" not in {entry.source for entry in off.items}
    assert off.shown[1:].tolist() == on.shown[1:].tolist()
    nothing = make(table(40), user(3, 1), settings(blend={"weights": {}}))
    assert nothing.items == [] and not nothing.shown[0].any()


def test_items_without_a_stored_row_or_unavailable_are_not_listed() -> None:
    mine = table(12)
    mine.arrays.available[[2, 5]] = False
    mine.arrays.stored[7] = False
    made = make(mine, user(3), settings(lists={"length": 30}, blend={"candidates": 30}))
    assert set(names(made)) == {f"a{n}" for n in range(12) if n not in (2, 3, 5, 7)}
    gone = {key_of(f"a{n}") for n in (2, 5, 7)}
    assert not gone & set(made.shown.ravel().tolist())


@pytest.mark.parametrize("items", [0, 1, 3])
def test_tiny_catalogues(items: int) -> None:
    mine = table(items)
    assert sorted(names(make(mine, NOBODY))) == [f"a{n}" for n in range(items)]
    assert sorted(names(make(mine, user(0)))) == [f"a{n}" for n in range(1, items)]
    assert names(make(mine, user(*range(items)))) == []
    assert make(mine, NOBODY).shown.shape == (6, 10)


def test_strangers_get_what_is_popular() -> None:
    mine = table(40)
    made = make(mine, NOBODY)
    assert len(made.items) == 10
    assert {entry.source for entry in made.items} <= set(SOURCES[:3])
    assert all(entry.because == [] for entry in made.items)
    assert not made.shown[1 + SOURCES.index("factors")].any()
    unknown = user(3)._replace(keys=np.array([key_of("never seen")], np.uint64))
    assert names(make(mine, unknown)) == names(made)


def test_reasons_name_history_items_strongest_first() -> None:
    config = settings(lists={"because": 2}, blend=only("similarity"))
    mine, history = table(40), [3, 1, 4, 15]
    a = mine.arrays
    for entry in make(mine, user(*reversed(history)), config).items:
        j = int(entry.item[1:])
        support = {}
        for b, h in enumerate(history[:2]):
            for at in range(a.sizes[h]):
                if a.neighbours[h, at] == j:
                    support[f"a{h}"] = 0.7**b * a.weights[h, at] / a.totals[h]
        assert entry.because == sorted(support, key=lambda h: -support[h])


@pytest.mark.parametrize("most", [0, 1, 3])
def test_no_more_reasons_than_asked_for(most: int) -> None:
    config = settings(lists={"because": most}, blend=only("factors"))
    history = [3, 1, 4, 15]
    made = make(table(40), user(*reversed(history)), config)
    found = [entry.because for entry in made.items]
    assert max(map(len, found)) == most
    assert {name for because in found for name in because} <= {"a3", "a1", "a4"}  # the context


def test_no_reason_that_did_not_count() -> None:
    """a15 is the third newest: outside similarity.window, so it added nothing to the score."""
    mine = table(40)
    a = mine.arrays
    a.neighbours[15, 0], a.neighbours[3, 0] = 30, 30
    made = make(mine, user(15, 1, 3), settings(blend=only("similarity")))
    assert {e.item: e.because for e in made.items}["a30"] == ["a3"]


def test_one_who_has_seen_the_most_popular_gets_what_comes_next() -> None:
    config = settings(blend=only("popularity_long"), users={"recent_items": 5, "seen_items": 30})
    mine = table(60)
    order = np.argsort(-mine.shares()[:, 2])
    who = user(0, seen=tuple(order[:30].tolist()))
    assert len(make(mine, who, config).items) == 8  # all candidates


@pytest.mark.parametrize("rule", ["session", "none"])
def test_what_was_just_disliked_is_not_listed(rule: str) -> None:
    config = settings(lists={"exclude": rule}, blend={"candidates": 30})
    who = user(1, seen=(2,))  # a dislike leaves only this mark
    assert "a2" not in names(make(table(8), who, config))


def test_lists_of_many_users_are_those_of_each_alone() -> None:
    mine, maker = table(40), ListMaker(settings())
    maker.prepare(mine)
    who = [user(3, 1), NOBODY, user(9, seen=(2, 3)), user(3, 1)]
    together = maker.make(who, mine)
    for one, each in zip(together, who, strict=True):
        [alone] = maker.make([each], mine)
        assert one.items == alone.items and (one.shown == alone.shown).all()
    assert maker.make([], mine) == []


def test_the_popular_share_is_of_the_newest_event_time() -> None:
    mine = table(8)
    config = settings(blend=only("popularity_short"))
    mine.arrays.popularity[:8, 0] = 1.0
    mine.arrays.clocks[:8] = NOW - np.arange(8) * 15 * MINUTE  # a half-life each
    made = make(mine, NOBODY, config)
    assert names(made) == [f"a{n}" for n in range(8)]
    steps = np.diff([entry.score for entry in made.items])
    assert steps == pytest.approx([-math.log(2)] * 7, abs=1e-3)
