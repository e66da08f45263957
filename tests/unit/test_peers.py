"""Laws that every peer keeps, and each peer against values worked out by hand or slowly."""

import math
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest
from needs import needs

from streamrec.errors import ConfigurationError
from streamrec.evaluation.peers import libraries as peers_libraries
from streamrec.evaluation.peers import online as peers_online
from streamrec.evaluation.peers.online import NEIGHBOURS, POSITIONS, RING
from streamrec.evaluation.peers.registry import HOUR_MS, PEERS, Peer, make_peers

NOW = 1_700_000_000_000
USERS, GROUPS, GROUP_ITEMS = 60, 5, 20
ITEMS = GROUPS * GROUP_ITEMS
LEARNING = ["isgd", "vmis_knn", "river_biased_mf", "implicit_bpr", "implicit_als", "implicit_item"]
IMPLICIT = [name for name in LEARNING if name.startswith("implicit")]


class Event(NamedTuple):
    user: int
    item: int
    weight: float
    ts_ms: int
    session: int


def planted(count: int, seed: int = 7) -> list[Event]:
    """Each user takes random items of one of 5 groups; item rows are dense by first appearance."""
    chance = np.random.default_rng(seed)
    rows: dict[int, int] = {}
    events = []
    for n in range(count):
        user = n if n < USERS else int(chance.integers(USERS))
        item = (user % GROUPS) * GROUP_ITEMS + int(chance.integers(GROUP_ITEMS))
        row = rows.setdefault(item, len(rows))
        events.append(Event(user, row, 1.0, NOW + n * 60_000, user))
    return events


def new(name: str, seed: int = 1) -> Peer:
    library = {"transformer": "torch"}.get(name, name.split("_")[0])
    if library in ("implicit", "river", "torch"):
        needs(library)
    return PEERS[name](seed)


def told(name: str, events: list[Event], seed: int = 1) -> Peer:
    peer = new(name, seed)
    for event in events:
        peer.learn(*event)
    return peer


def asked(peer: Peer, now: int = NOW, items: int = ITEMS) -> list[np.ndarray]:
    return [peer.scores(user, now, items) for user in (0, 1, 7, USERS - 1, USERS + 50)]


@pytest.fixture(params=PEERS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(peers_libraries, "FIT_EVERY", 300)
    if find_spec("torch"):
        monkeypatch.setattr("streamrec.evaluation.peers.transformer.EVERY", 300)
    yield request.param


def test_reads_never_write(name: str) -> None:
    events, items = planted(700), 0
    reading, silent = new(name), told(name, events)
    for n, event in enumerate(events):
        if n % 10 == 0:
            first = reading.scores(event.user, event.ts_ms, items)
            reading.scores(USERS + 999, event.ts_ms + 30 * 24 * HOUR_MS, items)
            assert np.array_equal(reading.scores(event.user, event.ts_ms, items), first, True)
            first[:] = 1e9  # what was returned belongs to the caller
        reading.learn(*event)
        items = max(items, event.item + 1)
    for one, other in zip(asked(reading), asked(silent), strict=True):
        np.testing.assert_array_equal(one, other)


def test_same_events_and_seed_give_the_same_scores(name: str) -> None:
    events = planted(700)
    for one, other in zip(asked(told(name, events)), asked(told(name, events)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_there_is_one_float_for_each_item_asked_for(name: str) -> None:
    peer = told(name, planted(700))
    full = asked(peer)
    for items in (0, 1, ITEMS // 2, ITEMS, 5000):
        for scores, all_scores in zip(asked(peer, items=items), full, strict=True):
            assert (scores.dtype, scores.shape) == (np.float32, (items,))
            n = min(items, ITEMS)
            np.testing.assert_allclose(scores[:n], all_scores[:n], rtol=1e-5)
            assert np.all(np.isnan(scores[ITEMS:]) | (scores[ITEMS:] == 0))


def test_a_new_peer_has_no_opinion(name: str) -> None:
    assert not new(name).scores(0, NOW, 0).size
    scores = new(name).scores(3, NOW, 9)
    assert np.all(np.isnan(scores) | (scores == 0))


def test_dislikes_are_not_learnt(name: str) -> None:
    events = planted(700)
    refused = [event._replace(weight=-1.0) for event in events[::7]]
    one, other = told(name, events), told(name, events + refused)
    for left, right in zip(asked(one), asked(other), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ["isgd", "river_biased_mf", "implicit_bpr", "implicit_als"])
def test_the_seed_matters(name: str) -> None:
    one, other = (told(name, planted(550), seed).scores(0, NOW, 50) for seed in (1, 2))
    assert not np.array_equal(one, other, True)


@pytest.mark.parametrize("name", [*LEARNING, "transformer"])
def test_the_group_of_a_user_is_learnt(name: str) -> None:
    """A random list of 10 of 100 items hits 10 %; 10 of the user's own group hit half."""
    events = planted(2500)
    peer = told(name, events[:-400])
    hits = 0
    for event in events[-400:]:
        scores = peer.scores(event.user, event.ts_ms, ITEMS)
        best = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:10]
        hits += event.item in best
        peer.learn(*event)
    assert hits / 400 > 0.35


@pytest.mark.parametrize(("name", "window"), [("popularity_1h", 1), ("popularity_7d", 168)])
def test_popularity_is_a_sliding_window(name: str, window: int) -> None:
    peer, window = new(name), window * HOUR_MS
    for item, ts in [(0, NOW), (1, NOW), (0, NOW + 10), (2, NOW + window - 1)]:
        peer.learn(5, item, 1.0, ts, 5)
    at = {now: peer.scores(9, NOW + now, 3).tolist() for now in (window + 10, window - 1, window)}
    assert at == {window - 1: [2, 1, 1], window: [1, 0, 1], window + 10: [0, 0, 1]}
    peer.learn(5, 1, 1.0, NOW + window + 10, 5)
    assert peer.scores(9, NOW + window + 10, 3).tolist() == [0, 1, 1]
    assert peer.scores(9, NOW + 9 * window, 2).tolist() == [0, 0]


def test_own_items() -> None:
    events = [Event(1, item, 1.0, NOW, 1) for item in (0, 0, 3, 2, 2, 4)]
    events += [Event(2, 1, 1.0, NOW, 2)]
    none = math.nan
    cases = {"own_frequent": [3, none, 4, 1, 2], "own_recent": [1, none, 3, 2, 4]}
    for name, expected in cases.items():
        np.testing.assert_array_equal(told(name, events).scores(1, NOW, 5), expected)
        assert np.isnan(told(name, events).scores(8, NOW, 5)).all()


def test_one_step_of_isgd() -> None:
    peer = peers_online.Isgd(seed=3)
    peer.learn(0, 0, 1.0, NOW, 0)
    users, items = peer._users.copy(), peer._vectors.copy()
    peer.STEPS = 1
    peer.learn(0, 0, 1.0, NOW, 0)
    p, q = users[0], items[0]
    e, rate, penalty = 1 - p @ q, peer.RATE, peer.PENALTY
    np.testing.assert_allclose(peer._users[0], p + rate * (e * q - penalty * p), rtol=1e-4)
    np.testing.assert_allclose(peer._vectors[0], q + rate * (e * p - penalty * q), rtol=1e-4)
    assert peer.scores(0, NOW, 1)[0] == pytest.approx(peer._users[0] @ peer._vectors[0], rel=1e-5)


def slow_vmis(events: list[Event], user: int, items: int) -> np.ndarray:
    """The equations of VmisKnn over plain lists."""
    sessions: dict[int, list[int]] = {}
    joined: dict[int, list[int]] = {}
    ends = {}
    for n, event in enumerate(events):
        own = sessions.setdefault(event.session, [])
        if event.item not in own:
            joined.setdefault(event.item, []).append(event.session)
        sessions[event.session] = [item for item in own if item != event.item] + [event.item]
        ends[event.session] = n
        if event.user == user:
            current = event.session
    history = sessions[current][::-1][:POSITIONS]
    found = {s for h in history for s in joined[h][-RING:] if s != current}
    late = sorted(found, key=lambda s: -ends[s])[:RING]
    first, similar = {}, {}
    for s in late:
        shared = [b for b, h in enumerate(history, 1) if s in joined[h][-RING:]]
        similar[s] = sum((POSITIONS - b + 1) / POSITIONS for b in shared)
        first[s] = max(0.0, 1 - 0.1 * shared[0])
    out = np.zeros(items)
    for s in sorted(late, key=lambda s: (-similar[s], -ends[s]))[:NEIGHBOURS]:
        for j in sessions[s]:
            out[j] += similar[s] * first[s] * math.log(1 + len(sessions) / len(joined[j]))
    return np.where(out > 0, out, np.nan)


@pytest.mark.parametrize(("count", "items", "length"), [(400, 50, 12), (8000, 15, 4)])
def test_session_neighbours_follow_the_equations(count: int, items: int, length: int) -> None:
    """The second case has more sessions than the rings hold and more than may vote."""
    chance = np.random.default_rng(2)
    sessions = count // length
    events = []
    for n in range(count):
        session = min(sessions - 1, max(0, n // length + int(chance.integers(-3, 4))))
        events.append(Event(session % 97, int(chance.integers(items)), 1.0, NOW + n, session))
    peer = told("vmis_knn", events)
    for user in (0, 13, 20, 32):
        expected = slow_vmis(events, user, items)
        np.testing.assert_allclose(peer.scores(user, NOW, items), expected, rtol=1e-5)


def test_river_scores_are_its_predictions() -> None:
    peer = told("river_biased_mf", planted(600))
    model = peer._model  # type: ignore[attr-defined]
    tables = [len(model.u_latents), len(model.u_biases), len(model.i_latents), len(model.i_biases)]
    for user in (0, 17, USERS - 1):
        expected = [model.predict_one(user, item) for item in range(ITEMS)]
        np.testing.assert_allclose(peer.scores(user, NOW, ITEMS), expected, rtol=1e-5, atol=1e-6)
    stranger = peer.scores(USERS + 5, NOW, ITEMS)
    expected = [model.global_mean.get() + model.i_biases[item] for item in range(ITEMS)]
    np.testing.assert_allclose(stranger, expected, rtol=1e-5, atol=1e-6)
    now = [len(model.u_latents), len(model.u_biases), len(model.i_latents), len(model.i_biases)]
    assert now == tables == [USERS, USERS, ITEMS, ITEMS]


@pytest.mark.parametrize("name", IMPLICIT)
def test_models_of_implicit_know_what_was_there_at_their_fit(name: str) -> None:
    events = planted(500)
    peer = told(name, events[:-1])
    assert np.isnan(peer.scores(0, NOW, ITEMS)).all()
    peer.learn(*events[-1])
    assert np.isfinite(peer.scores(0, NOW, ITEMS)).any()
    stranger = USERS + 1
    assert np.isnan(peer.scores(stranger, NOW, ITEMS)).all()
    group = {event.item for event in events if event.user % GROUPS == 2}
    for item in sorted(group)[:6]:
        peer.learn(stranger, item, 1.0, NOW, stranger)
    peer.learn(stranger, ITEMS, 1.0, NOW, stranger)
    scores = peer.scores(stranger, NOW, ITEMS + 1)
    assert np.isnan(scores[ITEMS])
    assert set(np.argsort(-np.where(np.isnan(scores), -np.inf, scores))[:8].tolist()) <= group


@pytest.mark.parametrize("name", IMPLICIT)
def test_models_of_implicit_are_fitted_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_libraries, "FIT_EVERY", 600)
    takers = range(0, USERS, GROUPS)  # the new item is taken by the users of group 0
    peer = told(name, planted(590) + [Event(user, ITEMS, 1.0, NOW, user) for user in takers[:9]])
    assert np.isnan(peer.scores(GROUPS, NOW, ITEMS + 1)[ITEMS])
    peer.learn(takers[9], ITEMS, 1.0, NOW, takers[9])
    scores = peer.scores(takers[10], NOW, ITEMS + 1)
    assert scores[ITEMS] > np.nanmedian(scores)


def test_peers_are_made_by_name() -> None:
    names = ["own_recent", "isgd"]
    assert [peer.name for peer in make_peers(names, 1)] == names
    for name in PEERS:
        assert new(name).name == name


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.reco", None)
    with pytest.raises(ConfigurationError, match=r"river\.reco.*pip install 'streamrec\[peers\]'"):
        make_peers(["river_biased_mf"], 1)
