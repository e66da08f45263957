"""Peers in the run: what they are told, and the rule by which their lists leave items out."""

import math
from typing import Any

import numpy as np
import pytest
from logs import MINUTE, NOW

from streamrec.errors import ConfigurationError
from streamrec.evaluation.peers.rivals import Rivals, ids_of
from streamrec.events.event import Event
from streamrec.settings.load import load


class Fixed:
    """A peer that prefers the items in order of appearance, and notes what it is told."""

    name = "fixed"

    def __init__(self) -> None:
        self.told: list[tuple[int, int, float, int, int]] = []

    def scores(self, user: int, now_ms: int, items: int) -> Any:
        return -np.arange(items, dtype=np.float32)

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        self.told.append((user, item, weight, ts_ms, session))


def rivals(exclude: str) -> tuple[Rivals, Fixed]:
    flags = {"lists.exclude": exclude, "lists.session_seconds": "600"}
    peer = Fixed()
    return Rivals([peer], load(None, {}, flags)), peer


def place_of(mine: Rivals, user: str, item: str) -> list[float]:
    return mine.places(Event(user, item, "click", NOW + 62 * MINUTE))


@pytest.mark.parametrize(("exclude", "place"), [("user", 0.0), ("session", 1.0), ("none", 2.0)])
def test_peers_leave_out_what_our_lists_leave_out(exclude: str, place: float) -> None:
    mine, peer = rivals(exclude)
    for item, minute in (("long ago", 0), ("before", 60)):
        mine.learn(Event("u", item, "click", NOW + minute * MINUTE))
    mine.learn(Event("other", "wanted", "click", NOW + 61 * MINUTE))
    assert place_of(mine, "u", "wanted") == [place]
    assert math.isnan(place_of(mine, "u", "new")[0])
    assert math.isnan(place_of(mine, "stranger", "wanted")[0])
    sessions = [session for *_, session in peer.told]
    assert sessions == ([0, 0, 1] if exclude == "user" else [0, 1, 2])


@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_impressions_leave_nothing_out_dislikes_do_and_removals_undo(exclude: str) -> None:
    mine, peer = rivals(exclude)
    mine.learn(Event("u", "taken", "click", NOW))
    mine.learn(Event("u", "shown", "impression", NOW))
    mine.learn(Event("u", "disliked", "dislike", NOW))
    mine.learn(Event("u", "wanted", "impression", NOW))
    before = {"user": 1.0, "session": 1.0, "none": 2.0}[exclude]
    assert place_of(mine, "u", "wanted") == [before]
    mine.learn(Event("u", "disliked", "remove", NOW))
    mine.learn(Event("u", "taken", "remove", NOW))
    assert place_of(mine, "u", "wanted") == [3.0]
    assert [told[:3] for told in peer.told] == [(0, 0, 1.0)]


class Listing:
    """A guest that lists the same ids to everybody, and notes what it is asked and told."""

    def __init__(self, *ids: str) -> None:
        self.ids, self.asked, self.told = ids, list[int](), list[dict[str, Any]]()

    def recommend(self, user: str, k: int) -> Any:
        self.asked.append(k)
        return np.array(self.ids[:k]), np.arange(k, 0.0, -1.0)[: len(self.ids)]

    def learn(self, event: dict[str, Any]) -> None:
        self.told.append(event)


def test_a_guest_is_told_events_and_its_list_is_read_without_what_lists_leave_out() -> None:
    guest = Listing("taken", "disliked", *(f"i{n}" for n in range(30)))
    mine = Rivals([], load(None, {}, {"lists.exclude": "user"}), {"mine": guest})
    assert mine.names == ["peer:mine"]
    log = [("u", "taken", "click"), ("u", "disliked", "dislike")]
    log += [("other", f"i{n}", "click") for n in range(30)]
    for n, (user, item, kind) in enumerate(log):
        mine.learn(Event(user, item, kind, NOW + n))
    assert guest.told[1] == {
        "user": "u", "item": "disliked", "type": "dislike", "ts": NOW + 1, "personal": True,
    }  # fmt: skip
    assert place_of(mine, "u", "i0") == [0.0] and guest.asked == [20, 22]
    assert place_of(mine, "u", "i19") == [19.0], "two more were asked for"
    assert math.isnan(place_of(mine, "u", "i20")[0]), "beyond the first 20 is a miss"
    assert math.isnan(place_of(mine, "u", "new")[0])
    guest.asked.clear()
    assert place_of(mine, "other", "taken") == [0.0]


def test_a_guest_that_has_nothing_to_say_is_not_asked_twice() -> None:
    guest = Listing("a")
    mine = Rivals([], load(None, {}, {"lists.exclude": "user"}), {"mine": guest})
    for item in ("a", "b"):
        mine.learn(Event("u", item, "click", NOW))
    assert math.isnan(place_of(mine, "u", "b")[0]) and guest.asked == [20]


@pytest.mark.parametrize("said", [3, None])
def test_a_guest_that_returns_no_list_is_named(said: Any) -> None:
    with pytest.raises(ConfigurationError, match="peer mine: recommend returned"):
        ids_of("mine", said)
    assert ids_of("mine", ("a", "b")) == ids_of("mine", (["a", "b"], [2.0, 1.0])) == ["a", "b"]
    assert ids_of("mine", [7, 8]) == ["7", "8"]
