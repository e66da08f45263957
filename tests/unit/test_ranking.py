"""Lists against a slow reimplementation of the documented formulas of every source."""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from streamrec.state.rows import UserRow

from streamrec.blend import combine as blend
from streamrec.blend.learned import BlendRules, Features, LearnedBlend
from streamrec.ranking.explain import contributions
from streamrec.ranking.lists import NOBODY, ListMaker, Made, Ranked
from streamrec.settings.sections import Settings
from streamrec.sources.registry import EXTRAS, SEGMENT_PREFIX, SOURCES
from streamrec.sources.successors import REVERSE
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of

NOW = 1_700_000_000_000
MINUTE = 60_000
FLOOR = math.log(1e-6)
POPULARITY = SOURCES[:3]
ALL = len(SOURCES)
BASE: dict[str, dict[str, Any]] = {
    "factors": {"size": 4, "context": 3, "context_decay": 0.7},
    "similarity": {"window": 2, "neighbours": 3, "prior": 2.0},
    "cosine": {"neighbours": 3},
    "successors": {"entries": 7, "window": 3},
    "content": {"size": 5},
    "lists": {"length": 10, "session_seconds": 600.0},
    "blend": {"candidates": 10, "kind": "weighted", "weights": dict.fromkeys(SOURCES, 0.5)},
}
SEGMENT = SEGMENT_PREFIX + "at"


def settings(**sections: dict[str, Any]) -> Settings:
    names = BASE.keys() | sections.keys()
    return msgspec.convert({n: BASE.get(n, {}) | sections.get(n, {}) for n in names}, Settings)


def only(*sources: str) -> dict[str, Any]:
    return {"weights": dict.fromkeys(sources, 1.0)}


def table(items: int, seed: int = 1, config: Settings | None = None) -> ItemTable:
    """Return a table of items a0, a1, ... with random rows, and a row of a segment after them."""
    mine = ItemTable(config or settings(), with_lists=True)
    for n in range(items):
        mine.row(f"a{n}")
    segment = mine.row(SEGMENT)
    n, rng = len(mine), np.random.default_rng(seed)
    a = mine.arrays
    a.targets[:n], a.contexts[:n] = rng.normal(size=(2, n, a.targets.shape[1]))
    a.biases[:n] = rng.normal(size=n)
    a.popularity[:items] = rng.uniform(0.1, 9, (items, 3)) * (rng.random((items, 1)) < 0.9)
    a.clocks[:items] = NOW - rng.integers(0, 60 * MINUTE, items)
    a.born[:items] = NOW - rng.integers(0, 900 * MINUTE, items)
    a.events[:items] = rng.integers(1, 50, items)
    a.stored[:n] = True
    a.available[segment] = False
    content = rng.normal(size=(items, a.content.shape[1]))
    a.content[:items] = content / np.linalg.norm(content, axis=1, keepdims=True)
    if items > 8:
        for keys, values in ((a.neighbours, a.weights), (a.far, a.far_weights)):
            keys[:n, :5] = [rng.permutation(items)[:5] for _ in range(n)]
            values[:n, :5] = rng.uniform(0.1, 2, (n, 5))
        a.sizes[:n], a.far_sizes[:n] = rng.integers(0, 6, n), rng.integers(0, 6, n)
        a.sizes[segment] = 5
        used = np.arange(a.weights.shape[1]) < a.sizes[:n, None]
        a.totals[:n] = (a.weights[:n] * used).sum(axis=1)
        a.ring[:n] = rng.integers(-1, items, (n, 7))
        a.ring_ranks[:n] = rng.integers(0, 3, (n, 7)) + REVERSE * rng.integers(0, 2, (n, 7))
        a.ring_totals[:n] = rng.integers(0, 12, n)
    mine._take_popularity(np.arange(n))
    return mine


def user(
    *items: int,
    seen: tuple[int, ...] = (),
    minutes: tuple[int, ...] = (),
    takes: tuple[int, ...] = (),
    segment: str = "",
) -> UserRow:
    """Return a user who took a<n>, oldest first, one a minute or so many minutes ago."""
    n = len(items)
    ago = minutes or tuple(range(n, 0, -1))
    columns = (
        np.array([key_of(f"a{i}") for i in items], np.uint64),
        np.array([NOW - m * MINUTE for m in ago], np.int64),
        np.zeros(n, np.uint8),
        np.array(takes or [1] * n, np.uint8),
        np.array([key_of(f"a{i}") & 0xFFFFFFFF for i in seen], np.uint32),
    )
    for column in columns:  # as decoded rows are: one type for the kernels
        column.flags.writeable = False
    return UserRow(n, n, NOW, key_of(segment) if segment else 0, *columns)


def maker_of(mine: ItemTable, config: Settings | None = None) -> ListMaker:
    maker = ListMaker(config or settings())
    maker.prepare(mine)
    return maker


def make(mine: ItemTable, who: UserRow, config: Settings | None = None) -> Made:
    return maker_of(mine, config).make([who], mine)[0]


def names(made: Made) -> list[str]:
    return [entry.item for entry in made.items]


class Said(NamedTuple):
    """What one source says: of every item a score to rank by and a value, and what it proposes."""

    scores: np.ndarray
    values: np.ndarray
    proposes: np.ndarray


class Slow:
    """The documented formulas, one item after the other."""

    def __init__(self, mine: ItemTable, config: Settings, who: UserRow) -> None:
        self.a, self.n, self.config = mine.arrays, len(mine), config
        row_of = {int(key): row for row, key in enumerate(mine.keys)}
        rows = [row_of.get(int(key), -1) for key in who.keys[::-1]]
        self.history = [row for row in rows if row >= 0]
        known = [n for n, row in enumerate(rows) if row >= 0]
        gaps = np.diff(np.append(who.ts, who.ts[-1:]))[::-1]  # of each and the next newer one
        broken = np.flatnonzero(gaps > config.lists.session_seconds * 1000)
        session = int(broken[0]) if len(broken) else len(rows)
        self.in_session = [n < session for n in known]
        self.takes = [int(who.takes[::-1][n]) for n in known]
        most = {"user": len(rows), "session": session, "none": 0}[config.lists.exclude]
        short = {int(key) & 0xFFFFFFFF: row for key, row in row_of.items()}
        self.left_out = {row for row in rows[:most] if row >= 0}
        self.left_out |= {short[int(s)] for s in who.seen if int(s) in short}
        self.segment = row_of.get(who.segment, -1) if who.segment else -1
        self.now = int(self.a.clocks[: self.n].max())
        age = (self.a.clocks[: self.n] - self.now)[:, None]
        decayed = self.a.popularity[: self.n] * 2.0 ** (age / mine.half_lives_ms)
        self.shares = decayed / np.maximum(decayed.sum(axis=0), 1e-300)
        self.log_shares = np.log(np.maximum(self.shares, 1e-6))
        self.servable = self.a.stored[: self.n] & self.a.available[: self.n]
        self.allowed = [j for j in range(self.n) if self.servable[j] and j not in self.left_out]

    def said(self, source: str) -> Said:
        if source in POPULARITY:
            h = POPULARITY.index(source)
            return Said(self.shares[:, h], self.log_shares[:, h], self.shares[:, h] > 0)
        if source in ("factors", "content"):
            return self._dense(source)
        if source == "similarity":
            return self._similarity()
        scores = getattr(self, f"_{source}")()
        values = np.full(self.n, FLOOR)
        there = scores > 0
        values[there] = np.maximum(FLOOR, np.log(scores[there] / scores.sum()))
        return Said(scores, values, there)

    def _similarity(self) -> Said:
        s = self.config.similarity
        found, mass = np.zeros(self.n), 0.0
        for b, h in enumerate(self.history[: s.window]):
            scale = 0.7**b / (self.a.totals[h] + s.prior)
            mass += scale * s.prior
            for k in range(self.a.sizes[h]):
                found[self.a.neighbours[h, k]] += scale * self.a.weights[h, k]
        there = found > 0
        every = found + mass * np.exp(self.log_shares[:, 2])
        values = np.log(np.maximum(every, 1e-6))
        return Said(np.where(there, every, 0.0), values, there)

    def _cosine(self) -> np.ndarray:
        found = np.zeros(self.n)
        for b, h in enumerate(self.history, 1):
            for k in range(self.a.far_sizes[h]):
                j = self.a.far[h, k]
                n = float(self.a.events[h]) * float(self.a.events[j])
                found[j] += self.a.far_weights[h, k] / (b * math.sqrt(n))
        return found

    def _successors(self) -> np.ndarray:
        found = np.zeros(self.n)
        for b, h in enumerate(self.history[: self.config.successors.window]):
            votes = []
            for k in range(min(int(self.a.ring_totals[h]), self.a.ring.shape[1])):
                rank = int(self.a.ring_ranks[h, k])
                weight = self.config.similarity.reverse_weight if rank >= REVERSE else 1.0
                votes.append((self.a.ring[h, k], weight / (rank % REVERSE + 1)))
            for j, weight in votes:
                if j >= 0 and weight > 0:
                    found[j] += 0.7**b * weight / sum(w for _, w in votes)
        return found

    def _repeats(self) -> np.ndarray:
        found = np.zeros(self.n)
        for b, h in enumerate(self.history):
            found[h] = self.takes[b] / (b + 5) * (0.1 if self.in_session[b] else 1.0)
        return found if self.config.lists.exclude == "none" else np.zeros(self.n)

    def _segment(self) -> np.ndarray:
        found, h = np.zeros(self.n), self.segment
        if h >= 0:
            for k in range(self.a.sizes[h]):
                found[self.a.neighbours[h, k]] += self.a.weights[h, k] / self.a.totals[h]
        return found

    def _dense(self, source: str) -> Said:
        context = self.history[: self.config.factors.context]
        if not context:
            return Said(np.zeros(self.n), np.zeros(self.n), np.zeros(self.n, np.bool_))
        w = 0.7 ** np.arange(len(context))
        if source == "content":
            scores = w / w.sum() @ self.a.content[context] @ self.a.content[: self.n].T
            return Said(scores, scores, np.full(self.n, bool(scores.any())))
        z = w / w.sum() ** self.config.factors.context_norm @ self.a.contexts[context]
        scores = z @ self.a.targets[: self.n].T + self.a.biases[: self.n]
        if self.config.factors.prior:
            h = ("short", "medium", "long").index(self.config.factors.prior_half_life)
            scores = scores + self.config.factors.prior * self.log_shares[:, h]
        return Said(scores, scores, np.ones(self.n, np.bool_))

    def pool(self, source: str) -> list[int]:
        said = self.said(source)
        order = sorted(self.allowed, key=lambda j: -said.scores[j])
        return [j for j in order if said.proposes[j]][: self.config.blend.candidates]

    def place(self, source: str, target: int) -> float:
        """Return the place in the full ranking, ties at their middle; NaN if it says nothing."""
        said = self.said(source)
        if not said.proposes.any():
            return math.nan
        others = [said.scores[j] for j in self.allowed if j != target]
        mine = said.scores[target]
        return sum(s > mine for s in others) + sum(s == mine for s in others) / 2

    def extras(self, j: int) -> list[float]:
        born = int(self.a.born[j])
        age = math.log1p(max(0, self.now - born) / 3_600_000) if born else 0.0
        if j not in self.history:
            return [age, 0, 0, 0, 0, 0]
        b = self.history.index(j)
        facts = [1.0, 1 / (1 + b), math.log1p(self.takes[b]), float(self.in_session[b])]
        return [age, *facts, float(b == 0)]


def check(ranked: Ranked, slow: Slow) -> None:
    """Compare the candidates of all sources, and all that is said of them."""
    weights = slow.config.blend.weights
    asked = [
        s
        for s in SOURCES
        if s not in slow.config.blend.off
        and (slow.config.blend.kind == "learned" or weights.get(s))
    ]
    assert slow.config.lists.length == slow.config.blend.candidates  # pools are shown whole
    pools = {s: [j for j in ranked.alone[m].tolist() if j >= 0] for m, s in enumerate(SOURCES)}
    rows = list(dict.fromkeys(j for s in SOURCES for j in pools[s]))
    assert ranked.candidates.tolist() == rows
    f = ranked.features
    for m, s in enumerate(SOURCES):
        if s not in asked:
            assert pools[s] == [], s
        else:  # equal scores may stand in any order
            mine, scores = slow.pool(s), slow.said(s).scores
            assert scores[pools[s]] == pytest.approx(scores[mine], abs=1e-5), s
            assert len(set(pools[s])) == len(mine) and set(pools[s]) <= set(slow.allowed), s
            assert f.values[:, m] == pytest.approx(slow.said(s).values[rows], abs=1e-4), s
        expected = [1 + pools[s].index(j) if j in pools[s] else 0 for j in rows]
        assert f.ranks[:, m].tolist() == expected, s
    assert f.extras == pytest.approx(np.array([slow.extras(j) for j in rows]).reshape(-1, 6), 1e-5)
    assert f.history == len(slow.history) and len(EXTRAS) == 6


USERS = [
    user(15, 4, 1, 3, seen=(7, 9), segment=SEGMENT),
    user(15, 4, 1, 3, minutes=(90, 60, 8, 3), takes=(1, 7, 2, 3)),
    user(6),
    NOBODY,
    NOBODY._replace(segment=key_of(SEGMENT)),
    user(5, 2, 5_000, 11, takes=(2, 1, 1, 1)),  # one of them is of no known item
]
RULES: list[dict[str, dict[str, Any]]] = [
    {},
    {"lists": {"exclude": "session"}, "factors": {"context_norm": 0.5, "prior": 0.8}},
    {"lists": {"exclude": "none"}, "similarity": {"prior": 0.0, "reverse_weight": 0.0}},
    {"blend": {"kind": "learned", "weights": {"cosine": 1.0}, "off": ["factors", "successors"]}},
    {"factors": {"prior": 1.0, "prior_half_life": "long"}, "blend": only("factors", "repeats")},
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sections", RULES, ids=range(len(RULES)))
def test_each_source_says_what_is_documented(sections: dict[str, Any], seed: int) -> None:
    config = settings(**sections)
    mine = table(40, seed, config)
    mine.arrays.available[[30, 31]] = False
    mine.arrays.stored[32] = False
    maker = maker_of(mine, config)
    for who in USERS:
        [ranked] = maker.rank([who], mine)
        check(ranked, Slow(mine, config, who))
    assert len(maker.rank(USERS, mine)) == len(USERS)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_the_place_of_an_item_is_that_in_the_whole_ranking(exclude: str, seed: int) -> None:
    """Whatever the list's length and the number of candidates, with ties at their middle."""
    config = settings(lists={"exclude": exclude}, blend={"candidates": 10, "kind": "learned"})
    mine = table(40, seed, config)
    maker = maker_of(mine, config)
    for who in USERS:
        slow = Slow(mine, config, who)
        for target in slow.allowed[seed::3]:
            [ranked] = maker.rank([who], mine, [target])
            expected = [slow.place(source, target) for source in SOURCES]
            assert ranked.places == pytest.approx(expected, nan_ok=True), target


def test_no_place_without_a_target_nor_of_a_source_that_is_off() -> None:
    mine, config = table(40), settings(blend={"off": ["cosine"]})
    maker = maker_of(mine, config)
    assert np.isnan(maker.rank([USERS[0]], mine)[0].places).all()
    places = maker.rank([USERS[0]], mine, [20])[0].places
    assert np.isnan(places[[SOURCES.index("cosine"), SOURCES.index("repeats")]]).all()
    assert np.isfinite(places[SOURCES.index("factors")])


def test_what_could_not_be_shown_has_no_place() -> None:
    mine = table(40)
    mine.arrays.available[20], mine.arrays.stored[21] = False, False
    maker = maker_of(mine)
    later = mine.row("not known when the maker was prepared")
    for target in (20, 21, later):
        assert np.isnan(maker.rank([USERS[0]], mine, [target])[0].places).all()


def drawn(count: int = 9, seed: int = 3) -> Features:
    rng = np.random.default_rng(seed)
    ranks = np.zeros((count, ALL), np.uint8)
    for m in range(ALL):
        listed = rng.permutation(count)[:5]
        ranks[listed, m] = 1 + np.arange(len(listed))
    values = rng.normal(-5, 2, (count, ALL)).astype(np.float32)
    return Features(values, ranks, rng.normal(size=(count, 6)).astype(np.float32), 4)


WEIGHTS = np.array([0.5, 0, 0.25, 2, 1, 0, 3, 0, 0, 1.5], np.float32)
KINDS = ("weighted", "cascade", "vote", "borda", "learned")


def learned(hidden: int = 3, leader: int = -1) -> LearnedBlend:
    mine = LearnedBlend(BlendRules(tuple(WEIGHTS.tolist()), (False,) * ALL, hidden))
    rng = np.random.default_rng(1)
    mine.outward[:] = rng.normal(size=hidden)
    mine.linear += rng.normal(size=mine.linear.shape).astype(np.float32)
    if leader >= 0:
        mine.losses[:], mine.losses[1 + leader], mine.seen[1] = 90.0, 10.0, 100.0
    return mine


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("leader", [None, -1, 4])
@pytest.mark.parametrize("reorder", ["", "factors", "cosine"])
def test_parts_add_up_to_scores(kind: str, leader: int | None, reorder: str) -> None:
    for features in (drawn(), drawn(0)):
        mine = None if leader is None else learned(leader=leader)
        scores = blend.scores(kind, features, WEIGHTS, mine, reorder)
        parts = blend.parts(kind, features, WEIGHTS, mine, reorder)
        assert parts.shape == (len(features.values), ALL + len(EXTRAS) + 1)
        assert parts.sum(axis=1) == pytest.approx(scores, rel=1e-4, abs=1e-4)


def test_learned_scores_are_the_blends_own_unless_a_source_leads() -> None:
    f, mine = drawn(), learned()
    assert blend.scores("learned", f, WEIGHTS, mine) == pytest.approx(mine.scores(f), rel=1e-5)
    led = np.argsort(-blend.scores("learned", f, WEIGHTS, learned(leader=4)), kind="stable")
    listed = sorted(np.flatnonzero(f.ranks[:, 4]).tolist(), key=lambda j: f.ranks[j, 4])
    rest = sorted(set(range(9)) - set(listed), key=lambda j: -f.values[j, 4])
    assert led.tolist() == listed + rest


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_is_the_best_of_the_candidates(kind: str) -> None:
    config = settings(blend={"kind": kind})
    mine = table(40, 2, config)
    mine.blend = learned() if kind == "learned" else None
    who = USERS[0]
    made = make(mine, who, config)
    slow = Slow(mine, config, who)
    ranked = made.ranked
    assert ranked is not None
    check(ranked, slow)
    weights = np.full(ALL, 0.5, np.float32)
    scores = blend.scores(kind, ranked.features, weights, mine.blend)
    order = np.argsort(-scores, kind="stable")[:10]
    rows = ranked.candidates[order]
    assert names(made) == [f"a{j}" for j in rows]
    assert [entry.score for entry in made.items] == pytest.approx(scores[order], abs=1e-3)
    assert made.shown[0].tolist() == [key_of(f"a{j}") for j in rows]
    assert made.candidates.tolist() == [key_of(f"a{j}") for j in ranked.candidates]
    for m in range(ALL):
        alone = [key_of(f"a{j}") for j in ranked.alone[m] if j >= 0]
        assert made.shown[1 + m].tolist() == (alone + [0] * 10)[:10]
    for entry, at in zip(made.items, order, strict=True):  # a source that has it among its best
        assert ranked.features.ranks[at, SOURCES.index(entry.source)] > 0


def test_a_finer_source_without_weight_reorders_a_list() -> None:
    own = {"kind": "cascade", "reorder": "factors"}
    config = settings(blend=only("popularity_short") | own)
    mine, who = table(40, 2, config), USERS[0]
    slow = Slow(mine, config, who)
    popular, said = slow.pool("popularity_short"), slow.said("factors")
    made = make(mine, who, config)
    assert len(popular) == 10
    assert names(made) == [f"a{j}" for j in sorted(popular, key=lambda j: -said.scores[j])]
    assert {entry.source for entry in made.items} == {"popularity_short"}
    plain = make(mine, who, settings(blend=only("popularity_short") | {"kind": "cascade"}))
    assert set(names(plain)) == set(names(made)) and names(plain) != names(made)


def test_what_only_the_finer_source_proposes_comes_last() -> None:
    own = {"kind": "cascade", "reorder": "factors"}
    config = settings(lists={"exclude": "none"}, blend=only("repeats") | own)
    mine, who = table(40, 2, config), user(8, 3, 1)
    slow = Slow(mine, config, who)
    said = slow.said("factors").scores
    first = sorted([8, 3, 1], key=lambda j: -said[j])
    rest = [j for j in slow.pool("factors") if j not in first]
    made = make(mine, who, config)
    assert names(made) == [f"a{j}" for j in [*first, *rest]][:10]
    assert [entry.source for entry in made.items] == ["repeats"] * 3 + ["factors"] * 7


@pytest.mark.parametrize("rule", ["user", "session", "none"])
def test_the_seen_rule(rule: str) -> None:
    config = settings(lists={"exclude": rule, "length": 30}, blend={"candidates": 30})
    who = user(1, 2, 3, 4, seen=(5,), minutes=(90, 60, 8, 3))  # 3 and 4: the last ten minutes
    listed = set(names(make(table(12, config=config), who, config)))
    left_out = {"user": {1, 2, 3, 4, 5}, "session": {3, 4, 5}, "none": {5}}[rule]  # 5: marked
    assert listed == {f"a{n}" for n in range(12) if n not in left_out}


@pytest.mark.parametrize("source", [s for s in SOURCES if s != "repeats"])
def test_a_source_alone_is_its_own_list(source: str) -> None:
    who = user(3, 1, segment=SEGMENT)
    made = make(table(40), who, settings(blend=only(source)))
    assert made.shown[0].tolist() == made.shown[1 + SOURCES.index(source)].tolist()
    assert {entry.source for entry in made.items} == {source}


def test_one_who_takes_things_again_gets_them_again() -> None:
    config = settings(lists={"exclude": "none"}, blend=only("repeats"))
    who = user(8, 3, 1, takes=(9, 1, 2), minutes=(900, 30, 1))
    assert names(make(table(40), who, config)) == ["a8", "a3", "a1"]  # 9/7, 1/6, 2/50
    assert names(make(table(40), who, settings(blend=only("repeats")))) == []


def test_weight_0_switches_a_source_off_unless_the_blend_learns() -> None:
    who, m = USERS[0], SOURCES.index("factors")
    without = {"weights": {s: 0.5 for s in SOURCES if s != "factors"}}
    fixed = make(table(40), who, settings(blend=without))
    assert not fixed.shown[1 + m].any()
    assert "factors" not in {entry.source for entry in fixed.items}
    learns = make(table(40), who, settings(blend=without | {"kind": "learned"}))
    assert learns.shown[1 + m].all()
    off = settings(blend=without | {"kind": "learned", "off": ["factors"]})
    assert not make(table(40), who, off).shown[1 + m].any()


def test_items_without_a_stored_row_or_unavailable_are_not_listed() -> None:
    mine = table(12)
    mine.arrays.available[[2, 5]] = False
    mine.arrays.stored[7] = False
    made = make(mine, user(3), settings(lists={"length": 30}, blend={"candidates": 30}))
    assert set(names(made)) == {f"a{n}" for n in range(12) if n not in (2, 3, 5, 7)}
    gone = {key_of(f"a{n}") for n in (2, 5, 7)}
    assert not gone & set(made.shown.ravel().tolist())


def test_what_becomes_available_is_listed_at_the_next_refresh() -> None:
    mine, config = table(12), settings(lists={"length": 30}, blend={"candidates": 30})
    maker = maker_of(mine, config)
    for available in (False, True, False):
        mine.arrays.available[2], mine.arrays.changed[2] = available, True
        maker.prepare(mine)
        assert ("a2" in names(maker.make([NOBODY], mine)[0])) == available


@pytest.mark.parametrize("items", [0, 1, 3])
def test_tiny_catalogues(items: int) -> None:
    mine = table(items)
    mine.arrays.popularity[:items] = 1.0
    mine._take_popularity(np.arange(items))
    assert sorted(names(make(mine, NOBODY))) == [f"a{n}" for n in range(items)]
    assert sorted(names(make(mine, user(0)))) == [f"a{n}" for n in range(1, items)]
    assert names(make(mine, user(*range(items)))) == []
    assert make(mine, NOBODY).shown.shape == (1 + ALL, 10)
    assert maker_of(mine).ready == (items > 0)


def test_an_empty_table() -> None:
    mine = ItemTable(settings(), with_lists=True)
    made = make(mine, user(3))
    assert (made.items, made.ranked, made.shown.any()) == ([], None, False)
    assert not maker_of(mine).ready


def test_strangers_get_what_is_popular() -> None:
    mine = table(40)
    made = make(mine, NOBODY)
    assert len(made.items) == 10
    assert {entry.source for entry in made.items} <= set(POPULARITY)
    assert all(entry.because == [] for entry in made.items)
    assert not made.shown[1 + SOURCES.index("factors")].any()
    unknown = user(5_000)
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
    for h in (15, 3):
        a.neighbours[h, 0], a.sizes[h] = 30, max(1, a.sizes[h])
        a.totals[h] = a.weights[h, : a.sizes[h]].sum()
    made = make(mine, user(15, 1, 3), settings(blend=only("similarity")))
    assert {e.item: e.because for e in made.items}["a30"] == ["a3"]


def test_one_who_has_seen_the_most_popular_gets_what_comes_next() -> None:
    config = settings(blend=only("popularity_long"), users={"recent_items": 5, "seen_items": 30})
    mine = table(60)
    order = np.argsort(-mine.arrays.heats[:60, 2])
    who = user(0, seen=tuple(order[:30].tolist()))
    assert len(make(mine, who, config).items) == 10  # all candidates


@pytest.mark.parametrize("rule", ["session", "none"])
def test_what_was_just_disliked_is_not_listed(rule: str) -> None:
    config = settings(lists={"exclude": rule}, blend={"candidates": 30})
    who = user(1, seen=(2,))  # a dislike leaves only this mark
    assert "a2" not in names(make(table(8), who, config))


def test_lists_of_many_users_are_those_of_each_alone() -> None:
    """No list leaves anything in the work arrays for the next one."""
    config = settings(blend={"kind": "learned"}, lists={"exclude": "none"})
    mine = table(40, config=config)
    maker = maker_of(mine, config)
    together = maker.make([*USERS, *USERS], mine)
    for one, each in zip(together, [*USERS, *USERS], strict=True):
        [alone] = maker_of(mine, config).make([each], mine)
        assert one.items == alone.items and (one.shown == alone.shown).all()
    assert maker.make([], mine) == []


def test_another_table_is_not_ranked_by_the_order_of_the_one_before() -> None:
    """A reader of the feed makes its table anew after many evictions: rows are other items then."""
    maker, config = maker_of(table(30)), settings()
    for items, seed in ((30, 5), (3, 6), (60, 7)):
        mine = table(items, seed)
        mine.arrays.changed[: len(mine)] = False
        maker.prepare(mine)
        for who in (NOBODY, user(1, 2, seen=(0,))):
            again, fresh = maker.make([who], mine)[0], make(mine, who, config)
            assert again.items == fresh.items
            assert (again.shown == fresh.shown).all()


def test_the_popular_share_is_of_the_newest_event_time() -> None:
    mine = table(8)
    config = settings(blend=only("popularity_short"))
    mine.arrays.popularity[:8, 0] = 1.0
    mine.arrays.clocks[:8] = NOW - np.arange(8) * 15 * MINUTE  # a half-life each
    mine._take_popularity(np.arange(8))
    made = make(mine, NOBODY, config)
    assert names(made) == [f"a{n}" for n in range(8)]
    steps = np.diff([entry.score for entry in made.items])
    assert steps == pytest.approx([-math.log(2)] * 7, abs=1e-3)


def test_the_work_arrays_hold_all_that_a_source_can_touch() -> None:
    """The kernels do not check bounds."""
    lists = {"similarity": {"neighbours": 2, "window": 1}, "cosine": {"neighbours": 0}}
    for sections in (
        lists | {"successors": {"entries": 30, "window": 4}, "users": {"recent_items": 8}},
        {"cosine": {"neighbours": 50}, "users": {"recent_items": 9}},
        lists | {"similarity": {"neighbours": 40, "window": 7}, "successors": {"entries": 0}},
    ):
        config = settings(**sections)
        mine = ItemTable(config, with_lists=True)
        mine.rows(np.arange(900, dtype=np.uint64))
        maker = maker_of(mine, config)
        a, s = mine.arrays, config
        longest = max(
            a.neighbours.shape[1] * s.similarity.window,
            a.far.shape[1] * s.users.recent_items,
            a.ring.shape[1] * s.successors.window,
        )
        assert maker._scratch.touched.shape[1] > min(longest, len(mine))


def test_weights_that_decay_left_nothing_of_overflow_no_work_array() -> None:
    """Each neighbour counts once in what a source has touched, even with score 0."""
    config = settings(similarity={"reverse_weight": 0.0, "window": 5}, lists={"exclude": "none"})
    mine = table(12, config=config)
    a = mine.arrays
    a.weights[:], a.far_weights[:] = 0.0, 0.0
    a.totals[:] = 0.0
    a.ring_ranks[:] |= REVERSE
    a.sizes[:12] = a.far_sizes[:12] = 5
    a.ring_totals[:12] = 12
    maker = maker_of(mine, config)
    for _ in range(50):
        [made] = maker.make([user(*range(12))], mine)
    for source in ("similarity", "cosine", "successors"):
        assert not made.shown[1 + SOURCES.index(source)].any()
    assert len(made.items) == 10


@pytest.mark.parametrize("source", ["cosine", "successors"])
def test_reasons_of_lists_are_the_past_items_that_have_the_item_in_theirs(source: str) -> None:
    config = settings(lists={"because": 9}, blend=only(source))
    mine, history = table(40), [3, 1, 4, 15]
    rows, _, sizes = mine.lists_of(source)
    for entry in make(mine, user(*reversed(history)), config).items:
        j = int(entry.item[1:])
        seen = history if source == "cosine" else history[: config.successors.window]
        having = {f"a{h}" for h in seen if j in rows[h, : min(sizes[h], rows.shape[1])]}
        assert set(entry.because) == having


def test_the_reason_of_a_repeat_is_the_item_itself() -> None:
    config = settings(lists={"exclude": "none"}, blend=only("repeats"))
    made = make(table(40), user(3, 1, 4), config)
    assert made.items
    assert all(entry.because == [entry.item] for entry in made.items)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", range(3))
def test_reasons_are_what_past_items_add_to_the_source(source: str, seed: int) -> None:
    config = settings(lists={"exclude": "none", "because": 3}, blend=only(source))
    mine, history = table(40, seed, config), [3, 1, 4, 15, 7]
    a, rng = mine.arrays, np.random.default_rng(seed)
    for lists in (a.neighbours, a.far):  # so near that past items share what they point to
        lists[:41, :5] = [rng.permutation(np.arange(20, 27))[:5] for _ in range(41)]
    a.ring[:41] = rng.integers(20, 24, (41, 7))
    made = make(mine, user(*reversed(history), segment=SEGMENT), config)
    assert made.items
    reasons = 0
    for entry in made.items:
        given = contributions(config, mine, np.array(history), int(entry.item[1:]))
        support = dict(zip(history, given[SOURCES.index(source)].tolist(), strict=True))
        found = [support[int(name[1:])] for name in entry.because]
        best = sorted((s for s in support.values() if s > 1e-7), reverse=True)[:3]
        assert found == pytest.approx(best, abs=1e-6), entry.item
        reasons += len(found)
    assert (reasons == 0) == (source in (*POPULARITY, "segment"))
