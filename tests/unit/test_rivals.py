"""Peers in the run: what they are told, and the rule by which their lists leave items out."""

import math
from typing import Any

import numpy as np
import pytest
from logs import MINUTE, NOW

from streamrec.evaluation.peers.rivals import Rivals
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


@pytest.mark.parametrize(("exclude", "place"), [("user", 0.0), ("session", 1.0), ("none", 2.0)])
def test_peers_leave_out_what_our_lists_leave_out(exclude: str, place: float) -> None:
    mine, peer = rivals(exclude)
    for item, minute in (("long ago", 0), ("before", 60)):
        mine.learn("u", item, 1.0, NOW + minute * MINUTE)
    mine.learn("other", "wanted", 1.0, NOW + 61 * MINUTE)
    assert mine.places("u", "wanted", NOW + 62 * MINUTE) == [place]
    assert math.isnan(mine.places("u", "new", NOW + 62 * MINUTE)[0])
    assert math.isnan(mine.places("stranger", "wanted", NOW + 62 * MINUTE)[0])
    sessions = [session for *_, session in peer.told]
    assert sessions == ([0, 0, 1] if exclude == "user" else [0, 1, 2])


@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_impressions_leave_nothing_out_dislikes_do_and_removals_undo(exclude: str) -> None:
    mine, peer = rivals(exclude)
    mine.learn("u", "taken", 1.0, NOW)
    mine.learn("u", "shown", 0.0, NOW)
    mine.learn("u", "disliked", -1.0, NOW)
    mine.learn("u", "wanted", 0.0, NOW)
    before = {"user": 1.0, "session": 1.0, "none": 2.0}[exclude]
    assert mine.places("u", "wanted", NOW) == [before]
    mine.learn("u", "disliked", 0.0, NOW, True)
    mine.learn("u", "taken", 0.0, NOW, True)
    assert mine.places("u", "wanted", NOW) == [3.0]
    assert [told[:3] for told in peer.told] == [(0, 0, 1.0)]
