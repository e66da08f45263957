"""Peers are asked under the rules of our own lists."""

import math
from typing import Any

import numpy as np
import pytest
from evaluated import METRICS, MINUTE, NOW, Click, figures

from streamrec.evaluation.peers.rivals import Rivals
from streamrec.settings.load import load

pytestmark = pytest.mark.usefixtures("nothing_configured")


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


@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_peers_and_sources_rank_under_one_rule(exclude: str) -> None:
    """The same popularity, as a source and as a peer, has the same figures."""
    rng = np.random.default_rng(5)
    log = [Click(f"u{n}", f"i{k}", NOW) for n, k in enumerate(
        k for k in range(8) for _ in range(25 * k)
    )]  # fmt: skip
    kinds = ("click", "click", "click", "impression", "dislike", "remove")
    for n in range(150):
        user, item = f"v{rng.integers(6)}", f"i{rng.integers(8)}"
        log.append(Click(user, item, NOW + n * MINUTE, kinds[int(rng.integers(6))]))
    before = [
        "--set", "popularity.half_lives_seconds=[1e9,2e9,3e9]",
        "--set", "lists.session_seconds=900",
    ]  # fmt: skip
    found = figures(
        log, "--profile", "general", "--exclude", exclude, "--peers", "popularity_7d",
        "--warm-up", str(1 - 150 / len(log)), before=before,
    )  # fmt: skip
    ours, theirs = (found["sources"][n] for n in ("popularity_long", "peer:popularity_7d"))
    assert found["scored"] >= 30
    # a session is told from the history, which has each item once, at its newest time
    near = 0.05 if exclude == "session" else 1e-9
    assert {m: theirs[m] for m in METRICS} == pytest.approx({m: ours[m] for m in METRICS}, abs=near)
