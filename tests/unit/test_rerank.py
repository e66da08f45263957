"""Rules, variety and rotation of one list, and what is said of an item that is not in it."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from make import merged
from oracle import NAMES, NOW, maker_of
from oracle import user as took

from streamrec.evaluation.tally import intra_list_distance
from streamrec.ranking.rerank import (
    DEEP,
    Reranker,
    item_fields,
    moment_of,
    unit_vectors,
    user_fields,
)
from streamrec.ranking.shoppers import shopper_of
from streamrec.ranking.why_not import why_not
from streamrec.settings.place_rules import place_of
from streamrec.settings.sections import Settings
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import field_of, key_of
from streamrec.state.user_rows import UserRow, no_user

HOUR = 3_600_000
BRANDS = ("ash", "oak", "elm")
BASE: dict[str, dict[str, Any]] = {
    "factors": {"size": 4},
    "content": {"size": 4},
    "lists": {"length": 8, "session_seconds": 600.0},
    "blend": {"kind": "weighted", "candidates": 30, "weights": {"popularity_long": 1.0}},
}


def settings(**sections: dict[str, Any]) -> Settings:
    return merged(BASE, **sections)


def described(table: ItemTable, item: str, **fields: Any) -> None:
    field, blob = field_of(item), json.dumps({"item": item, **fields}).encode()
    table.apply("catalogue", [(field, blob)])


def table_of(config: Settings, items: int = 12) -> ItemTable:
    """Return a table of a0 (the most popular), a1, ...: even ones are news, the price is the n."""
    table, rng = ItemTable(config, with_lists=True), np.random.default_rng(items)
    for n in range(items):
        described(
            table, f"a{n}", title=f"Item {n}", categories=["news" if n % 2 == 0 else "sport"],
            text="plain", attributes={"price": float(n), "brand": BRANDS[n % 3], "new": n < 3},
        )  # fmt: skip
    described(table, f"{SEGMENT_PREFIX}oak", available=False)
    a, every = table.arrays, np.arange(items + 1)
    a.stored[: items + 1] = True
    a.targets[:items] = rng.normal(size=(items, 4))
    a.popularity[:items] = 2.0 ** -np.arange(items)[:, None]
    a.clock[:items], a.born[:items] = NOW, NOW - np.arange(items) * HOUR
    table._take_popularity(every)
    return table


def user(*items: int, **more: Any) -> UserRow:
    return took(*items, segment=f"{SEGMENT_PREFIX}oak", **more)


def shopper(table: ItemTable, row: UserRow | None = None, **more: Any) -> Shopper:
    row = no_user() if row is None else row
    return shopper_of(table.settings, table, row, more.pop("name", "u1"), more.pop("shown", {}))


def listed(config: Settings, row: UserRow | None = None, **more: Any) -> dict[str, float]:
    """Return the items and scores of the list that is made under these settings."""
    table = table_of(config)
    [made] = maker_of(table).make([shopper(table, row, **more)], table)
    return {entry.item: entry.score for entry in made.items}


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["category == 'news'"], [2, 4, 6, 8, 10]),
        (["category == 'news'", "price < 7"], [2, 4, 6]),
        (["age > 4h"], [5, 6, 7, 8, 9, 10, 11]),
        (["popularity > 0.05"], [1, 2, 3]),
        (["attributes.brand == user.segment"], [1, 4, 7, 10]),
        (["user.id == 'u1'", "price >= 9"], [9, 10, 11]),
        (["user.id != 'u1'"], []),
        (["user.events == 2", "attributes.new"], [1, 2]),
        (["item not in ['a1', 'a2', 'a5', 'a7']"], [3, 4, 6, 8, 9, 10, 11]),
        (["title contains 'ITEM 1'", "not seen"], [1, 10, 11]),
        (["attributes.colour == 'red'"], []),
    ],
)
def test_filters_leave_what_they_hold_for(filters: list[str], left: list[int]) -> None:
    who = user(0, 99)  # a99 is not known: it is no row of the history
    config = settings(lists={"filters": filters, "length": 12})
    assert list(listed(config, who)) == [f"a{n}" for n in left]


def test_a_filter_may_ask_for_the_history() -> None:
    config = settings(lists={"filters": ["item in user.history"], "exclude": "none"})
    assert list(listed(config, user(4, 7))) == ["a4", "a7"]
    config = settings(lists={"filters": ["seen and price > 4"], "exclude": "none"})
    assert list(listed(config, user(4, 7))) == ["a7"]


def test_boosts_add_their_weights_and_the_list_follows() -> None:
    plain = listed(settings(lists={"length": 12}), user(0))
    boosts = {"category == 'sport'": 1.5, "price > 5": -0.7, "user.segment == 'elm'": 9.0}
    found = listed(settings(lists={"length": 12, "boosts": boosts}), user(0))
    for n in range(1, 12):
        added = 1.5 * (n % 2 == 1) - 0.7 * (n > 5)
        assert found[f"a{n}"] == pytest.approx(plain[f"a{n}"] + added, abs=1e-3)
    assert list(found) == sorted(found, key=lambda item: -found[item])
    assert list(found) != list(plain)


def test_what_an_expression_may_ask_of_an_item() -> None:
    config = settings(lists={"filters": ["not seen"]})
    table = table_of(config)
    who = shopper(table, user(3, 2))
    mine = item_fields(table, table.row_of["a3"], who, moment_of(table))
    shares = 2.0 ** -np.arange(12) / (2.0 - 2.0**-11)
    assert mine.pop("popularity") == pytest.approx(shares[3])
    assert mine == {
        "item": "a3", "title": "Item 3", "categories": ["sport"], "text": "plain",
        "attributes": {"price": 3.0, "brand": "ash", "new": False}, "available": True,
        "age": 3 * 3600.0, "seen": True,
    }  # fmt: skip
    bare = item_fields(table, table.row("never described"), who, moment_of(table))
    assert (bare["age"], bare["popularity"], bare["categories"], bare["seen"]) == (
        None, 0.0, [], False
    )  # fmt: skip
    assert not item_fields(table, table.row_of["a4"], who, moment_of(table))["seen"]


def test_what_an_expression_may_ask_of_a_user() -> None:
    config = settings(lists={"filters": ["not seen"]})
    table = table_of(config)
    assert user_fields(table, shopper(table, user(3, 2))) == {
        "id": "u1", "events": 2, "segment": "oak", "history": ["a2", "a3"],
    }  # fmt: skip
    stranger = user_fields(table, shopper(table))
    assert (stranger["segment"], stranger["history"], stranger["events"]) == (None, [], 0)
    elsewhere = user()._replace(segment=key_of(f"{SEGMENT_PREFIX}not heard of yet"))
    assert user_fields(table, shopper(table, elsewhere))["segment"] is None


def test_without_rules_no_metadata_is_kept() -> None:
    assert not table_of(settings()).details
    assert len(table_of(settings(lists={"boosts": {"seen": 1.0}})).details) == 13


@budget_of(max_examples=60)
@given(
    st.sampled_from(["mmr", "dpp"]),
    st.floats(0, 0.3),
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(0, 10**6),
)
def test_variety_stays_within_its_budget(
    method: str, budget: float, count: int, length: int, seed: int
) -> None:
    config = settings(
        lists={"diversity": method, "diversity_budget": budget, "length": length},
        blend={"candidates": 50},
    )  # fmt: skip
    table, rng = table_of(config, 60), np.random.default_rng(seed)
    candidates = rng.permutation(60)[:count].astype(np.int32)
    scores = rng.normal(size=count) * 2
    order, after = Reranker(place_of(config)).order(candidates, scores, shopper(table), table)
    assert len(order) == len(set(order.tolist())) == min(length, count)
    assert (after == scores).all()
    deep = np.argsort(-scores, kind="stable")[: DEEP * length]
    assert set(order.tolist()) <= set(deep.tolist())
    at = np.array([np.flatnonzero(deep == k)[0] for k in order], np.int64)
    chances, discounts = np.exp(scores[deep]), 1 / np.log2(2.0 + np.arange(len(at)))
    assert chances[at] @ discounts >= (1 - budget - 1e-9) * (chances[: len(at)] @ discounts)


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_variety_makes_a_list_of_alike_items_less_so(method: str) -> None:
    scores = -np.linspace(0.0, 0.4, 60)
    lists = {"length": 10, "diversity_budget": 0.05}
    found = {}
    for kind in ("none", method):
        config = settings(lists=lists | {"diversity": kind}, blend={"candidates": 50})
        table = table_of(config, 60)
        groups = np.eye(4)[np.arange(60) // 15]  # the best fifteen are of one group
        table.arrays.targets[:60] = groups + np.random.default_rng(1).normal(0, 0.05, (60, 4))
        order, _ = Reranker(place_of(config)).order(
            np.arange(60, dtype=np.int32), scores, shopper(table), table
        )
        found[kind] = intra_list_distance(unit_vectors(table, order))
    assert found[method] > found["none"] + 0.2


def test_vectors_are_of_unit_length_or_zero() -> None:
    table = table_of(settings())
    table.arrays.targets[3] = 0.0
    table.arrays.content[3] = 0.0
    lengths = np.linalg.norm(unit_vectors(table, np.arange(12)), axis=1)
    assert lengths == pytest.approx(np.where(np.arange(12) == 3, 0.0, 1.0), abs=1e-5)


def test_what_was_shown_sinks_by_how_often_in_a_row() -> None:
    config = settings(lists={"rotation": 1.5, "length": 3})
    table = table_of(config)
    maker = maker_of(table)
    times: dict[int, int] = {}
    seen = []
    for _ in range(4):
        [made] = maker.make([shopper(table, shown=times)], table)
        seen.append([entry.item for entry in made.items])
        for entry in made.items:
            row = int(entry.item[1:])
            share = math.log(2.0**-row / (2.0 - 2.0**-11))
            often = times.get(key_of(entry.item), 0)
            assert entry.score == pytest.approx(share - 1.5 * math.log1p(often), abs=1e-3)
        keys = made.shown[0].tolist()
        times = {key: 1 + times.get(key, 0) for key in keys}
    assert seen[0] == ["a0", "a1", "a2"]
    assert seen[1] == ["a0", "a1", "a3"]
    assert seen[2] == ["a2", "a0", "a1"]  # a2 was left out once, and counts anew
    without = settings(lists={"length": 3})
    assert list(listed(without, shown={key_of("a0"): 9})) == seen[0]


def why(config: Settings, row: UserRow, item: str, name: str = "u1") -> str:
    table = table_of(config)
    table.arrays.available[table.row_of["a9"]] = False
    return why_not(maker_of(table), shopper(table, row, name=name), table, table.row_of[item])


def test_why_an_item_is_no_candidate() -> None:
    config = settings(lists={"filters": ["price < 8", "category == 'news'"]})
    assert why(config, user(3), "a9") == "it is not available"
    assert why(config, user(3, seen=(4,)), "a4").startswith("the user had it, or disliked it")
    assert why(config, user(3), "a3") == "the user had it (lists.exclude = user)"
    assert why(config, user(3), "a5") == (
        """removed by filter 2: category == 'news' is false: category = ["sport"]"""
    )
    both = why(config, user(3), "a11")
    assert "removed by filter 1: price < 8 is false: price = 11.0" in both
    assert "; removed by filter 2" in both
    assert why(config, user(3), "a6") == "no source has it among its best 30"


def test_why_knows_the_rule_of_exclusion() -> None:
    who = user(3, 4, minutes=(90, 2))
    by_session = settings(lists={"exclude": "session"})
    assert why(by_session, who, "a4") == "the user had it (lists.exclude = session)"
    assert why(by_session, who, "a3") == "no source has it among its best 30"  # long ago
    assert why(settings(lists={"exclude": "none"}), who, "a4").startswith("no source")


def test_a_boost_is_no_reason_to_be_left_out() -> None:
    config = settings(lists={"boosts": {"category == 'news'": 1.0}})
    assert why(config, user(3), "a6") == "no source has it among its best 30"


def test_a_filter_may_ask_for_the_user_who_is_asked_about() -> None:
    config = settings(lists={"filters": ["user.id == 'u1'"]})
    assert why(config, user(3), "a6", "u1").startswith("no source")
    assert why(config, user(3), "a6", "u2").startswith("removed by filter 1")


def test_filters_and_variety_work_with_every_source() -> None:
    """No candidate that a filter removes comes back through a source or a reranker."""
    config = settings(
        lists={"filters": ["price > 3"], "diversity": "dpp", "diversity_budget": 1.0},
        blend={"weights": dict.fromkeys(NAMES, 0.5)},
    )
    found = listed(config, user(1, 2))
    assert found and all(int(item[1:]) > 3 for item in found)
