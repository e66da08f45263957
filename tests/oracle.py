"""Random item tables and users, and a slow reimplementation of what each source says of them."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from make import merged

from streamrec.blend.learned import BlendRules, E, LearnedBlend
from streamrec.blend.rules import extras_of
from streamrec.ranking.lists import ListMaker, Ranked, UserList
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of, sources_of
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.sources.similarity import REVERSE
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.user_rows import UserRow, no_user

NOW = 1_700_000_000_000
MINUTE = 60_000
FLOOR = math.log(1e-6)
NAMES = names_of(Settings())
M = len(NAMES)
PAST = ("similarity", "cosine", "successors", "factors", "content", "repeats")
"""Sources that go by the user's past items."""
WEIGHTS = np.array([0.5, 0, 0.25, 2, 1, 0, 3, 0, 0, 1.5], np.float32)
SHARES = np.array([s.in_blend == "share" for s in sources_of(Settings())])
SILENCE = np.where(SHARES, FLOOR, 0.0).astype(np.float32)
BASE: dict[str, dict[str, Any]] = {
    "factors": {"size": 4, "context": 3, "context_decay": 0.7},
    "similarity": {"window": 2, "neighbours": 3, "prior": 2.0},
    "cosine": {"neighbours": 3},
    "successors": {"entries": 7, "window": 3},
    "content": {"size": 5},
    "lists": {"length": 10, "session_seconds": 600.0},
    "blend": {"candidates": 10, "kind": "weighted", "weights": dict.fromkeys(NAMES, 0.5)},
}
SEGMENT = SEGMENT_PREFIX + "at"


def settings(**sections: dict[str, Any]) -> Settings:
    return merged(BASE, **sections)


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
    a.bias[:n] = rng.normal(size=n)
    a.popularity[:items] = rng.uniform(0.1, 9, (items, 3)) * (rng.random((items, 1)) < 0.9)
    a.clock[:items] = NOW - rng.integers(0, 60 * MINUTE, items)
    a.born[:items] = NOW - rng.integers(0, 900 * MINUTE, items)
    a.events[:items] = rng.integers(1, 50, items)
    if "repeats" in a.names:
        some = np.random.default_rng(seed + 1)
        a.repeats[:items] = some.integers(0, 20, items)
        a.repeat_gaps[:items] = a.repeats[:items] * some.uniform(1, 8, items)
    a.stored[:n] = True
    a.available[segment] = False
    content = rng.normal(size=(items, a.content.shape[1]))
    a.content[:items] = content / np.linalg.norm(content, axis=1, keepdims=True)
    if items > 8:
        for keys, values in (
            (a.similarity_keys, a.similarity_weights), (a.cosine_keys, a.cosine_weights)
        ):  # fmt: skip
            keys[:n, :5] = [rng.permutation(items)[:5] for _ in range(n)]
            values[:n, :5] = rng.uniform(0.1, 2, (n, 5))
        a.similarity_size[:n], a.cosine_size[:n] = rng.integers(0, 6, n), rng.integers(0, 6, n)
        a.similarity_size[segment] = 5
        a.successors_keys[:n] = rng.integers(-1, items, (n, 7))
        a.successors_ranks[:n] = rng.integers(0, 3, (n, 7)) + REVERSE * rng.integers(0, 2, (n, 7))
        a.successors_total[:n] = rng.integers(0, 12, n)
    summed(mine)
    return mine


def summed(mine: ItemTable) -> None:
    """Let what follows from weights and popularity follow."""
    a, n = mine.arrays, len(mine)
    used = np.arange(a.similarity_weights.shape[1]) < a.similarity_size[:n, None]
    a.similarity_total[:n] = (a.similarity_weights[:n] * used).sum(axis=1)
    mine._take_popularity(np.arange(n))


def user(
    *items: int,
    seen: tuple[int, ...] = (),
    minutes: tuple[int, ...] = (),
    takes: tuple[int, ...] = (),
    gaps: tuple[int, ...] = (),
    segment: str = "",
) -> UserRow:
    """Return a user who took a<n>, oldest first, one a minute or so many minutes ago."""
    n = len(items)
    lists = {
        "keys": np.array([key_of(f"a{i}") for i in items], np.uint64),
        "ts": np.array([NOW - m * MINUTE for m in minutes or range(n, 0, -1)], np.int64),
        "types": np.zeros(n, np.uint8),
        "takes": np.array(takes or [1] * n, np.uint8),
        "gaps": np.array(gaps, np.uint8),
        "seen": np.array([key_of(f"a{i}") & 0xFFFFFFFF for i in seen], np.uint32),
    }
    for column in lists.values():  # as decoded rows are: one type for the kernels
        column.flags.writeable = False
    key = key_of(segment) if segment else 0
    return no_user()._replace(events=n, recent=n, clock=NOW, segment=key, **lists)


USERS = [
    user(15, 4, 1, 3, seen=(7, 9), segment=SEGMENT),
    user(15, 4, 1, 3, minutes=(90, 60, 8, 3), takes=(1, 7, 2, 3), gaps=(0, 30, 1, 90)),
    user(6),
    no_user(),
    user(segment=SEGMENT),
    user(5, 2, 5_000, 11, takes=(2, 1, 1, 1)),  # one of them is of no known item
]


def maker_of(mine: ItemTable, config: Settings | None = None) -> ListMaker:
    maker = ListMaker(config or mine.settings)
    maker.prepare(mine)
    return maker


def make(mine: ItemTable, who: UserRow, config: Settings | None = None) -> UserList:
    maker = maker_of(mine, config)
    return maker.make([maker.shopper(who, mine)], mine)[0]


def rank(maker: ListMaker, mine: ItemTable, who: UserRow, *target: int) -> Ranked:
    return maker.rank([maker.shopper(who, mine)], mine, target)[0]


def names(made: UserList) -> list[str]:
    return [entry.item for entry in made.items]


class Said(NamedTuple):
    """What one source says: of every item a score to rank by and a value, and what it proposes."""

    scores: np.ndarray
    values: np.ndarray  # NaN: nothing
    proposes: np.ndarray


class Slow:
    """The documented formulas, one item after the other."""

    def __init__(self, mine: ItemTable, config: Settings, who: UserRow) -> None:
        self.a, self.n, self.config = mine.arrays, len(mine), config
        row_of = {int(key): row for row, key in enumerate(mine.keys)}
        rows = [row_of.get(int(key), -1) for key in who.keys[::-1]]
        self.history = [row for row in rows if row >= 0]
        known = [n for n, row in enumerate(rows) if row >= 0]
        later = np.diff(np.append(who.ts, who.ts[-1:]))[::-1]  # of each and the next newer one
        broken = np.flatnonzero(later > config.lists.session_seconds * 1000)
        session = int(broken[0]) if len(broken) else len(rows)
        self.in_session = [n < session for n in known]
        self.takes = [int(who.takes[::-1][n]) for n in known]
        self.times = [int(who.ts[::-1][n]) for n in known]
        gaps = who.gaps[::-1] if len(who.gaps) else np.zeros(len(who.ts), np.uint8)
        self.gaps = [int(gaps[n]) for n in known]
        most = {"user": len(rows), "session": session, "none": 0}[config.lists.exclude]
        short = {int(key) & 0xFFFFFFFF: row for key, row in row_of.items()}
        self.left_out = {row for row in rows[:most] if row >= 0}
        self.left_out |= {short[int(s)] for s in who.seen if int(s) in short}
        self.segment = row_of.get(who.segment, -1) if who.segment else -1
        self.now = int(self.a.clock[: self.n].max())
        age = (self.a.clock[: self.n] - self.now)[:, None]
        decayed = self.a.popularity[: self.n] * 2.0 ** (age / mine.half_lives_ms)
        self.shares = decayed / np.maximum(decayed.sum(axis=0), 1e-300)
        self.log_shares = np.log(np.maximum(self.shares, 1e-6))
        self.servable = self.a.stored[: self.n] & self.a.available[: self.n]
        self.allowed = [j for j in range(self.n) if self.servable[j] and j not in self.left_out]

    def said(self, source: str) -> Said:
        if source.startswith("popularity"):
            h = NAMES.index(source)
            return Said(self.shares[:, h], self.log_shares[:, h], self.shares[:, h] > 0)
        if source == "segment":
            found = self._segment()
        else:
            found = self.support(source).sum(axis=1)
        every = found + self.own(source)
        if source in ("factors", "content"):
            says = np.full(self.n, len(self.history) > 0 and (source != "content" or every.any()))
            return Said(every, np.where(says, every, np.nan), says)
        total = 1.0 if source == "similarity" else max(float(every.sum()), 1e-300)
        values = np.maximum(FLOOR, np.log(np.maximum(every / total, 1e-300)))
        return Said(np.where(found > 0, every, 0), np.where(every > 0, values, np.nan), found > 0)

    def support(self, source: str) -> np.ndarray:
        """Return float[items, history]: what each past item adds to each item's score."""
        out = np.zeros((self.n, len(self.history)))
        for b, h in enumerate(self.history):
            for j, more in getattr(self, f"_{source}")(b, h):
                out[j, b] += more
        return out

    def own(self, source: str) -> Any:
        """Return float[items], what a score has without any past item."""
        if source == "similarity":
            near = self.history[: self.config.similarity.window]
            prior = self.config.similarity.prior
            mass = [0.7**b * prior / (self.a.similarity_total[h] + prior) if prior else 0.0
                    for b, h in enumerate(near)]  # fmt: skip
            return sum(mass) * np.exp(self.log_shares[:, 2])
        if source == "factors":
            f = self.config.factors
            h = ("short", "medium", "long").index(f.prior_half_life)
            return self.a.bias[: self.n] + f.prior * self.log_shares[:, h]
        return 0.0

    def _similarity(self, b: int, h: int) -> Any:
        s, a = self.config.similarity, self.a
        for k in range(a.similarity_size[h] if b < s.window else 0):
            share = a.similarity_weights[h, k] / (a.similarity_total[h] + s.prior)
            yield a.similarity_keys[h, k], 0.7**b * share

    def _cosine(self, b: int, h: int) -> Any:
        for k in range(self.a.cosine_size[h]):
            j = self.a.cosine_keys[h, k]
            n = float(self.a.events[h]) * float(self.a.events[j])
            yield j, self.a.cosine_weights[h, k] / ((b + 1) * math.sqrt(n))

    def _successors(self, b: int, h: int) -> Any:
        votes, size = [], min(int(self.a.successors_total[h]), self.a.successors_keys.shape[1])
        for k in range(size if b < self.config.successors.window else 0):
            rank = int(self.a.successors_ranks[h, k])
            weight = self.config.similarity.reverse_weight if rank >= REVERSE else 1.0
            votes.append((self.a.successors_keys[h, k], weight / (rank % REVERSE + 1)))
        for j, weight in votes:
            if j >= 0 and weight > 0:
                yield j, 0.7**b * weight / sum(w for _, w in votes)

    def _repeats(self, b: int, h: int) -> Any:
        if self.config.lists.exclude == "none":
            yield h, self.takes[b] / (b + 5) * (0.1 if self.in_session[b] else 1.0)

    def _factors(self, b: int, h: int) -> Any:
        f = self.config.factors
        used = min(f.context, len(self.history))
        total = sum(0.7**k for k in range(used)) ** f.context_norm
        for j in range(self.n if b < used else 0):
            yield j, 0.7**b / total * float(self.a.contexts[h] @ self.a.targets[j])

    def _content(self, b: int, h: int) -> Any:
        used = min(self.config.factors.context, len(self.history))
        total = sum(0.7**k for k in range(used))
        for j in range(self.n if b < used else 0):
            yield j, 0.7**b / total * float(self.a.content[h] @ self.a.content[j])

    def _segment(self) -> np.ndarray:
        found, h = np.zeros(self.n), self.segment
        for k in range(self.a.similarity_size[h] if h >= 0 else 0):
            weight = self.a.similarity_weights[h, k] / self.a.similarity_total[h]
            found[self.a.similarity_keys[h, k]] += weight
        return found

    def pool(self, source: str) -> list[int]:
        said = self.said(source)
        order = sorted(self.allowed, key=lambda j: -said.scores[j])
        return [j for j in order if said.proposes[j]][: self.config.blend.candidates]

    def rank(self, source: str, target: int) -> float:
        """Return the rank in the full order, ties at their middle; NaN if it says nothing."""
        said = self.said(source)
        if not said.proposes.any():
            return math.nan
        others = [said.scores[j] for j in self.allowed if j != target]
        mine = said.scores[target]
        return sum(s > mine for s in others) + sum(s == mine for s in others) / 2

    def extras(self, j: int) -> list[float]:
        born = int(self.a.born[j])
        age = math.log1p(max(0, self.now - born) / 3_600_000) if born else 0.0
        repeats = [] if self.config.lists.exclude != "none" else self.repeats(j)
        if j not in self.history:
            return [age, 0, 0, 0, 0, 0, *repeats]
        b = self.history.index(j)
        facts = [1.0, 1 / (1 + b), math.log1p(self.takes[b]), float(self.in_session[b])]
        return [age, *facts, float(b == 0), *repeats]

    def repeats(self, j: int) -> list[float]:
        """Return the facts of repeats."""
        count, total = float(self.a.repeats[j]), float(self.a.repeat_gaps[j])
        again = (count + 1) / (float(self.a.events[j]) + 4)
        if j not in self.history:
            return [0, 0, again]
        b = self.history.index(j)
        since = math.log1p(max(0, self.now - self.times[b]) / 3_600_000)
        usual = (total + 3 * math.log(501)) / (count + 3)
        if self.gaps[b]:
            usual = (usual + 2 * (self.gaps[b] - 1) / 22) / 3
        return [since, min(3.0, max(-3.0, since - usual)), again]


def check(ranked: Ranked, slow: Slow) -> None:
    """Compare the candidates of all sources, and all that is said of them."""
    blend, f = slow.config.blend, ranked.features
    assert slow.config.lists.length == blend.candidates  # pools are shown whole
    pools = [[j for j in alone if j >= 0] for alone in ranked.alone.tolist()]
    rows = list(dict.fromkeys(j for pool in pools for j in pool))
    assert ranked.candidates.tolist() == rows
    for m, s in enumerate(NAMES):
        if s in blend.off or (blend.kind != "learned" and not blend.weights.get(s)):
            assert pools[m] == [] and np.isnan(f.values[:, m]).all(), s
        else:  # equal scores may stand in any order
            mine, said = slow.pool(s), slow.said(s)
            assert said.scores[pools[m]] == pytest.approx(said.scores[mine], abs=1e-5), s
            assert len(set(pools[m])) == len(mine) and set(pools[m]) <= set(slow.allowed), s
            # NaN exactly where it says nothing
            assert f.values[:, m] == pytest.approx(said.values[rows], abs=1e-4, nan_ok=True), s
        expected = [1 + pools[m].index(j) if j in pools[m] else 0 for j in rows]
        assert f.ranks[:, m].tolist() == expected, s
    extras, width = [slow.extras(j) for j in rows], len(extras_of(slow.config))
    assert f.extras == pytest.approx(np.array(extras).reshape(-1, width), 1e-5)
    assert f.history == len(slow.history)
    filled = f.filled()
    assert (filled.values == np.where(np.isnan(f.values), SILENCE, f.values)).all()
    assert all(a is b for a, b in zip(filled[1:], f[1:], strict=True))


def learned(hidden: int = 3, leader: int = -1, extras: int = E) -> LearnedBlend:
    """Return a blend that has learnt, at random, of so many extras; a source may lead it."""
    mine = LearnedBlend(
        BlendRules(
            tuple(WEIGHTS.tolist()), (False,) * M, tuple(SILENCE.tolist()), hidden, extras=extras
        )
    )
    rng = np.random.default_rng(1)
    mine.outward[:] = rng.normal(size=hidden)
    mine.linear += rng.normal(size=mine.linear.shape).astype(np.float32)
    if leader >= 0:
        mine.losses[:], mine.losses[1 + leader], mine.seen[1] = 90.0, 10.0, 100.0
    return mine
