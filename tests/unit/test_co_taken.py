"""What an encoder is tuned on and judged by: pairs of takes, drawn batches, ranks, the gate."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamrec.errors import ConfigurationError
from streamrec.evaluation.co_taken import (
    CONTENT,
    STORED,
    Pairs,
    batches_of,
    check_enough,
    is_better,
    judged_of,
    pairs_of,
    ranks_of,
    read,
    texts_of,
    verdict,
)
from streamrec.events.event import Item
from streamrec.files.event_table import FORGOTTEN, EventTable
from streamrec.settings.sections import Settings
from streamrec.text.words import unit

WEIGHTS = Settings().events.weights
MINUTE = 60_000
SESSION = 30 * MINUTE
TEXT_OF = {f"i{n}": n for n in range(10)}


def table(*events: tuple[str, str, int, str]) -> EventTable:
    """Return events of user, item, minute and type, in time order."""
    columns = [list(column) for column in zip(*events, strict=True)]
    coded: list[Any] = [np.unique(columns[n], return_inverse=True) for n in (0, 1, 3)]
    (users, u), (items, i), (types, t) = coded
    return EventTable(
        "log", u.astype(np.int32), i.astype(np.int32), t.astype(np.int8),
        np.array(columns[2], np.int64) * MINUTE, users.tolist(), items.tolist(), types.tolist(),
    )  # fmt: skip


def found(log: EventTable, text_of: dict[str, int] = TEXT_OF) -> list[list[int]]:
    pairs = pairs_of(log, text_of, WEIGHTS, SESSION)
    both: list[list[int]] = np.concatenate(pairs).tolist()
    return both


def test_items_of_the_same_text_are_one_and_those_without_are_none() -> None:
    items = [Item("a", "Alien"), Item("b", "Alien"), Item("c"), Item("d", "", ["Aliens"])]
    texts, rows = texts_of({item.item: item for item in items})
    assert texts == ["Alien", "Aliens"] and rows == {"a": 0, "b": 0, "d": 1}


def test_a_pair_is_two_takes_of_a_user_in_a_session() -> None:
    log = table(
        ("u", "i1", 0, "click"), ("v", "i7", 1, "click"), ("u", "i2", 2, "view"),
        ("u", "i2", 3, "click"),  # the same item
        ("u", "i3", 33, "purchase"), ("u", "i4", 64, "click"),  # a session ends between them
        ("v", "i8", 31, "click"), ("v", "i9", 62, "click"),
    ).sorted()  # fmt: skip
    assert found(log) == [[1, 2], [7, 8], [2, 3]]


def test_only_takes_count_and_a_session_lasts_through_other_events() -> None:
    for other in ("impression", "dislike", "remove"):
        log = table(("u", "i1", 0, "click"), ("u", "i5", 20, other), ("u", "i2", 40, "click"))
        assert found(log) == [[1, 2]]
        assert found(log, {"i5": 5, "i2": 2}) == []
    passed_over = table(("u", "i1", 0, "click"), ("u", "x", 1, "click"), ("u", "i2", 2, "click"))
    assert found(passed_over) == [[1, 2]]
    assert found(passed_over, {"i1": 4, "i2": 4}) == []  # one text


def test_sessions_of_the_file_go_before_gaps() -> None:
    log = table(*((("u", f"i{n}", 90 * n, "click")) for n in range(4)))
    assert found(log) == []
    named = replace(log, sessions=np.array([7, 7, 8, 8]))
    assert found(named) == [[0, 1], [2, 3]]


def test_nothing_is_kept_of_who_is_forgotten_or_wants_no_lists() -> None:
    log = table(*(("u", f"i{n}", n, "click") for n in range(4)), ("v", "i5", 4, "click"))
    assert found(replace(log, controls=[(2, 0, FORGOTTEN)])) == [[2, 3]]
    assert found(replace(log, controls=[(5, 0, FORGOTTEN)])) == []
    assert found(replace(log, controls=[(2, 0, 1)])) == [[0, 1], [1, 2], [2, 3]]  # a merge
    personal = np.array([True, False, True, True, True])
    assert found(replace(log, personal=personal)) == [[0, 2], [2, 3]]


def test_no_later_pair_teaches() -> None:
    log = table(*(("u", f"i{n % 10}", n, "click") for n in range(100)))
    pairs = pairs_of(log, TEXT_OF, WEIGHTS, SESSION)
    assert len(pairs.teaching) == 89 and len(pairs.judging) == 10
    assert pairs.judging[0].tolist() == [9, 0]  # across the cut: its later event is late
    later = table(*(("u", f"i{(n * (1 + 2 * (n >= 90))) % 10}", n, "click") for n in range(100)))
    others = pairs_of(later, TEXT_OF, WEIGHTS, SESSION)
    assert (others.teaching == pairs.teaching).all()
    assert not np.array_equal(others.judging, pairs.judging)


def test_too_few_pairs_are_named() -> None:
    some, few = np.zeros((100, 2), np.int64), np.zeros((99, 2), np.int64)
    check_enough(Pairs(some, some))
    with pytest.raises(ConfigurationError, match=r"first 90 % of the events have 99 pairs"):
        check_enough(Pairs(few, some))
    with pytest.raises(ConfigurationError, match=r"last 10 % .*events.weights"):
        check_enough(Pairs(some, few))


def test_batches_are_a_function_of_the_seed_and_popular_pairs_are_drawn_less() -> None:
    pairs = np.array([[0, 1]] * 80 + [[1, 0]] * 20 + [[2, 3]])
    once, again = (np.concatenate(list(batches_of(pairs, 64, 40, 5))) for _ in range(2))
    assert (once == again).all()
    assert not np.array_equal(once, np.concatenate(list(batches_of(pairs, 64, 40, 6))))
    share = (once == [2, 3]).all(axis=1).mean()
    assert share == pytest.approx(1 / 11, abs=0.03)  # sqrt(1) of sqrt(100) + sqrt(1)


def test_ranks_are_among_all_but_the_first_of_the_pair() -> None:
    vectors = unit(np.array([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [-1.0, 0.0]]))
    pairs = np.array([[0, 1], [0, 2], [0, 4], [2, 3]])
    assert ranks_of(vectors, pairs).tolist() == [0.0, 1.5, 3.0, 0.0]
    many = np.tile(pairs, (200, 1))  # more than are ranked at once
    assert ranks_of(vectors, many).reshape(200, 4).tolist() == [[0.0, 1.5, 3.0, 0.0]] * 200


def test_what_content_reads_has_no_mean() -> None:
    rng = np.random.default_rng(3)
    stored = np.clip(rng.normal(40.0, 20.0, (4000, 384)), -127, 127).astype(np.int8)
    whole, short = read(stored, STORED, 16), read(stored, CONTENT, 16)
    assert whole.shape == (4000, 384) and short.shape == (4000, 16)
    for vectors in (whole, short):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4000), abs=1e-5)
    assert float((whole[0] @ whole[1:].T).mean()) > 0.7 > 0.3 > float((short[0] @ short.T).mean())


def test_a_few_pairs_are_judged_evenly() -> None:
    pairs = np.arange(100_000).reshape(-1, 2)
    some = judged_of(pairs)
    assert len(some) == 20_000 and some[0, 0] == 0 and some[-1, 1] == 99_999
    assert (judged_of(pairs[:7]) == pairs[:7]).all()


def test_the_gate_asks_for_a_whole_interval_above_zero_in_both_readings() -> None:
    rng = np.random.default_rng(2)
    before = rng.integers(0, 200, 1000).astype(float)
    better, alike = verdict(before, before // 2), verdict(before, rng.permutation(before))
    assert verdict(before, before)["mrr"] == pytest.approx(
        {**better["mrr"], "tuned": better["mrr"]["frozen"], "difference": 0, "low": 0, "high": 0}
    )
    assert better["mrr"]["frozen"] == pytest.approx((1 / (1 + before)).mean())
    assert better["recall@20"]["tuned"] == pytest.approx((before < 40).mean())
    assert better["recall@20"]["low"] > 0 and alike["mrr"]["low"] < 0 < alike["mrr"]["high"]
    assert is_better({STORED: better, CONTENT: better})
    for one, other in ((better, alike), (alike, better), (verdict(before, before), better)):
        assert not is_better({STORED: one, CONTENT: other})
