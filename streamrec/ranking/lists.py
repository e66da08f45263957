"""From user rows to published lists: the pure part of the scorer."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.blend import combine as blend
from streamrec.blend.learned import Features
from streamrec.ranking.candidates import gather
from streamrec.ranking.popular import Popular
from streamrec.ranking.reasons import because, stands_out
from streamrec.ranking.rerank import NOTHING, Person, Reranker
from streamrec.ranking.seen import SeenIndex
from streamrec.ranking.views import NO_SEGMENT, Catalogue, Shopper, new_scratch, rules_of
from streamrec.settings.sections import Settings
from streamrec.sources.factors import user_vector
from streamrec.sources.popularity import LOG_FLOOR
from streamrec.sources.registry import SOURCES
from streamrec.state.history import EXCLUDE, excluded_from
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import take
from streamrec.state.rows import UserRow

Array = NDArray[Any]
M = len(SOURCES)
NOBODY = UserRow(
    events=0,
    offset=0,
    clock=0,
    segment=0,
    keys=np.frombuffer(b"", "<u8"),  # read-only, as decoded rows are: one type for the kernels
    ts=np.frombuffer(b"", "<i8"),
    types=np.frombuffer(b"", "u1"),
    takes=np.frombuffer(b"", "u1"),
    seen=np.frombuffer(b"", "<u4"),
)
"""A stranger: no history."""


class ListItem(msgspec.Struct):
    """One recommended item; `because` names past items of the user."""

    item: str
    score: float
    source: str
    because: list[str]


class PublishedList(msgspec.Struct):
    """The public JSON of rec:<user>; docs/redis.md is the contract."""

    user: str
    at: int  # epoch ms
    model: str
    offset: int  # of the user's last event that the list knows
    items: list[ListItem]


class Ranked(NamedTuple):
    """What was found for one user, as table rows."""

    history: Array  # int32[n], newest first
    candidates: Array  # int32[C]
    features: Features
    scores: NDArray[np.float64]  # [C]
    order: Array  # int64[length]: the list, as places in candidates
    alone: Array  # int32[M, length]: what each source would show, -1 padded
    places: Array  # float64[M]: of the target in each source's full ranking


class Made(NamedTuple):
    """One list; `shown`, uint64[1 + M, length]: the keys of the blend's and each source's list."""

    items: list[ListItem]
    shown: NDArray[np.uint64]
    candidates: NDArray[np.uint64]
    ranked: Ranked | None


class ListMaker:
    """Makes lists from one item table; `prepare` after each refresh of the table."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.weights = np.array([settings.blend.weights.get(s, 0.0) for s in SOURCES], np.float32)
        users = settings.users
        # enough that who has seen the most popular items gets the next ones
        most = settings.blend.candidates + users.recent_items + users.seen_items
        self._popular = Popular(most, 3)
        self._seen = SeenIndex()
        self._table: ItemTable | None = None
        self._reranker = Reranker(settings)
        self._keys: Array = np.zeros(0, np.uint64)
        self._scratch = new_scratch(0, 0)
        self._catalogue: Catalogue | None = None
        self._prior: Array = np.zeros(0, np.float32)
        self._rules = rules_of(settings, self.weights)

    def prepare(self, table: ItemTable) -> None:
        """Recompute what is the same for all users."""
        arrays, n = table.arrays, len(table)
        if self._table is not table:  # its rows are other items
            self._popular = Popular(self._popular.order.shape[1], 3)
            self._seen, self._table = SeenIndex(), table
        servable = arrays.stored[:n] & arrays.available[:n]
        self._popular.refresh(arrays.heats[:n], servable, take(arrays.changed, n))
        self._keys = table.keys
        self._seen.refresh(self._keys)
        self._catalogue = Catalogue(
            self._seen.shorts,
            self._seen.rows,
            self._popular.order,
            table.log2_totals(),
            servable,
            int(np.count_nonzero(servable)),
            table.now(),
        )
        factors = self.settings.factors
        if factors.prior:
            heats, total = table.prior_heat()
            shares = np.maximum(np.log(2.0) * (heats - total), LOG_FLOOR)
            self._prior = (factors.prior * shares).astype(np.float32)
        if len(self._scratch.marks) < n:
            width = max(
                arrays.neighbours.shape[1] * self.settings.similarity.window,
                arrays.far.shape[1] * self.settings.users.recent_items,
                arrays.ring.shape[1] * self.settings.successors.window,
                self.settings.users.recent_items,
            )
            self._scratch = new_scratch(2 * n, min(width, 2 * n))

    @property
    def ready(self) -> bool:
        """Whether there is any item to recommend."""
        return self._catalogue is not None and self._catalogue.servable_count > 0

    def make(
        self,
        users: Sequence[UserRow],
        table: ItemTable,
        names: Sequence[str] = (),
        shown: Sequence[Mapping[int, int]] = (),
    ) -> list[Made]:
        """Return the users' lists, best first; shorter where the catalogue is small.

        names: the users' ids; shown: their last lists, by item key how often in a row; both only
        matter to rules and rotation.
        """
        if len(table) == 0:
            nothing = np.zeros((1 + M, self.settings.lists.length), np.uint64)
            return [Made([], nothing, nothing[0, :0], None) for _ in users]
        return [self._made(one, table) for one in self.rank(users, table, None, names, shown)]

    def rank(
        self,
        users: Sequence[UserRow],
        table: ItemTable,
        targets: Sequence[int] | None = None,
        names: Sequence[str] = (),
        shown: Sequence[Mapping[int, int]] = (),
    ) -> list[Ranked]:
        """Rank the candidates of each user; with `targets` (rows) also find their full places."""
        assert self._catalogue is not None, "prepare the table first"
        n = len(self._catalogue.servable)
        histories = [table.index.rows(user.keys[::-1].copy()) for user in users]
        known = [(h >= 0) & (h < n) for h in histories]
        contexts = [h[k] for h, k in zip(histories, known, strict=True)]
        logits, contents = self._dense(contexts, table, n)
        return [
            self._one(
                Person(
                    names[u] if names else "", user, contexts[u],
                    rows_shown(shown[u], table) if shown else NOTHING,
                ),
                histories[u], known[u], logits[u], contents[u], table,
                targets[u] if targets is not None and targets[u] < n else -1,
            )
            for u, user in enumerate(users)
        ]  # fmt: skip

    def _dense(self, histories: Sequence[Array], table: ItemTable, n: int) -> tuple[Array, Array]:
        """Return float32[users, items] twice: z.t_j + b_j, and the content's cosines."""
        factors, arrays = self.settings.factors, table.arrays
        z = np.zeros((len(histories), factors.size), np.float32)
        profile = np.zeros((len(histories), arrays.content.shape[1]), np.float32)
        for k, history in enumerate(histories):
            context = history[: factors.context]
            if len(context):
                weights = np.empty(len(context), np.float32)
                decay, norm = factors.context_decay, factors.context_norm
                user_vector(arrays.contexts, context, decay, norm, weights, z[k])
                user_vector(arrays.content, context, decay, 1.0, weights, profile[k])
        logits: Array = z @ arrays.targets[:n].T
        logits += arrays.biases[:n]
        if factors.prior:
            logits += self._prior
        if not profile.any():
            return logits, np.zeros((len(histories), 0), np.float32)
        contents: Array = profile @ arrays.content[:n].T
        return logits, contents

    def _one(
        self, person: Person, rows: Array, known: Array, logits: Array, contents: Array,
        table: ItemTable, target: int,
    ) -> Ranked:  # fmt: skip
        assert self._catalogue is not None
        user, history, settings = person.row, person.history, self.settings
        size = len(user.ts)
        excluded = rows[: size - self._first_excluded(user, settings.lists.exclude)]
        in_session = np.zeros(size, np.bool_)
        in_session[: size - self._first_excluded(user, "session")] = True
        silent = logits[:0]
        shopper = Shopper(
            history,
            user.takes[::-1][known],
            in_session[known],
            excluded[known[: len(excluded)]],
            user.seen,
            logits if len(history) else silent,
            contents if len(history) and len(contents) else silent,
            table.index.rows(np.array([user.segment], np.uint64)) if user.segment else NO_SEGMENT,
        )
        candidates, values, ranks, extras, pools, places = gather(
            shopper, table.arrays, self._catalogue, self._rules, self._scratch, target
        )
        features = Features(values, ranks, extras, len(history))
        how = settings.blend
        scores = blend.scores(how.kind, features, self.weights, table.blend, how.reorder)
        order, scores = self._reranker.order(candidates, scores, person, table)
        alone = pools[:, : settings.lists.length]
        return Ranked(history, candidates, features, scores, order, alone, places)

    def _made(self, ranked: Ranked, table: ItemTable) -> Made:
        """Name the items and the reasons of one list."""
        settings, ids, order, how = self.settings, table.ids, ranked.order, self.settings.blend
        rows, features = ranked.candidates[order], ranked.features
        parts = blend.source_parts(how.kind, features, self.weights, table.blend, how.reorder)
        source = stands_out(parts, features.ranks)[order]
        reasons = because(
            ranked.history, rows, source, table.arrays, self._rules, settings.lists.because,
            self._scratch.where,
        )  # fmt: skip
        items = [
            ListItem(ids[j] or "", round(s, 4), SOURCES[m], [ids[h] or "" for h in why if h >= 0])
            for j, s, m, why in zip(
                rows.tolist(), ranked.scores[order].tolist(), source.tolist(),
                reasons.tolist(), strict=True,
            )
        ]  # fmt: skip
        lists = np.full((1 + M, settings.lists.length), -1, np.int32)
        lists[0, : len(rows)] = rows
        lists[1:, : ranked.alone.shape[1]] = ranked.alone
        keys = self._keys
        shown = np.where(lists >= 0, keys[np.maximum(lists, 0)], np.uint64(0))
        return Made(items, shown, keys[ranked.candidates], ranked)

    def why_not(self, user: UserRow, table: ItemTable, row: int, name: str = "") -> str:
        """Return why an item is not even a candidate for a user."""
        if not table.arrays.available[row]:
            return "it is not available"
        key, rule = int(table.keys[row]), self.settings.lists.exclude
        if (user.seen == (key & 0xFFFFFFFF)).any():
            return "the user had it, or disliked it, before (lists.exclude)"
        if (user.keys[self._first_excluded(user, rule) :] == key).any():
            return f"the user had it (lists.exclude = {rule})"
        most = self.settings.blend.candidates
        removed = self.removed(user, table, row, name)
        return removed or f"no source has it among its best {most}"

    def removed(self, user: UserRow, table: ItemTable, row: int, name: str = "") -> str:
        """Return which filters remove an item for a user; "" for none."""
        known = table.index.rows(user.keys[::-1].copy())
        lines = self._reranker.trace(table, row, Person(name, user, known[known >= 0]))
        return "; ".join(line for line in lines if line.startswith("removed"))

    def _first_excluded(self, user: UserRow, rule: str) -> int:
        """Return from which entry of the history on a rule excludes items."""
        newest = int(user.ts[-1]) if len(user.ts) else 0
        session_ms = int(self.settings.lists.session_seconds * 1000)
        first: int = excluded_from(user.ts, len(user.ts), newest, EXCLUDE[rule], session_ms)
        return first


def rows_shown(shown: Mapping[int, int], table: ItemTable) -> dict[int, int]:
    """Return times shown by table row, from times by item key."""
    if not shown:
        return {}
    rows = table.index.rows(np.fromiter(shown, np.uint64, len(shown)))
    return dict(zip(rows.tolist(), shown.values(), strict=True))
