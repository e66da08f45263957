"""From user rows to published lists: the pure part of the scorer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.config import Settings
from streamrec.ranking.blend import SIEVE, SOURCES, Catalogue, Scratch, rank
from streamrec.ranking.reasons import because
from streamrec.shards.history import EXCLUDE, excluded_from
from streamrec.shards.item_table import ItemTable
from streamrec.shards.rows import UserRow

Array = NDArray[Any]
NOBODY = UserRow(
    events=0,
    offset=0,
    clock=0,
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


class Made(NamedTuple):
    """One list, and uint64[1 + sources, length] keys of what the blend and each source show."""

    items: list[ListItem]
    shown: NDArray[np.uint64]


class ListMaker:
    """Makes lists from one item table; `prepare` after each refresh of the table."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.weights = np.array([settings.blend.weights.get(s, 0.0) for s in SOURCES])
        none = np.zeros(0, np.uint8)
        self._scratch = Scratch(np.zeros(0), none, np.zeros(0, np.int32), none)
        self._catalogue: Catalogue | None = None

    def prepare(self, table: ItemTable) -> None:
        """Recompute what is the same for all users."""
        arrays, n = table.arrays, len(table)
        servable = arrays.stored[:n] & arrays.available[:n]
        shares = table.shares()
        ranked = np.where(servable[:, None], shares, -1.0)
        # enough that who has seen the most popular items gets the next ones
        users = self.settings.users
        most = min(n, self.settings.blend.candidates + users.recent_items + users.seen_items)
        popular = np.full((3, most), -1, np.int32)
        for m in range(3 if most else 0):
            part = np.argpartition(-ranked[:, m], most - 1)[:most]
            order = part[np.argsort(-ranked[part, m], kind="stable")]
            order = order[servable[order]]
            popular[m, : len(order)] = order
        self._catalogue = Catalogue(table.keys.copy(), shares, popular, servable)
        if len(self._scratch.marks) < n:
            room = 2 * n
            width = arrays.neighbours.shape[1] * self.settings.similarity.window
            self._scratch = Scratch(
                np.zeros(room),
                np.zeros(room, np.uint8),
                np.zeros(width + 1, np.int32),
                np.zeros(SIEVE, np.uint8),
            )

    @property
    def ready(self) -> bool:
        """Whether there is any item to recommend."""
        return self._catalogue is not None and bool(self._catalogue.servable.any())

    def make(self, users: Sequence[UserRow], table: ItemTable) -> list[Made]:
        """Return the users' lists, best first; shorter where the catalogue is small."""
        assert self._catalogue is not None, "prepare the table first"
        n = len(self._catalogue.keys)
        if n == 0:
            nothing = np.zeros((1 + len(SOURCES), self.settings.lists.length), np.uint64)
            return [Made([], nothing) for _ in users]
        histories = [table.index.rows(user.keys[::-1].copy()) for user in users]
        known = [h[(h >= 0) & (h < n)] for h in histories]
        logits = self._logits(known, table, n)
        return [
            self._one(user, history, logits[k] if len(history) else logits[k][:0], table)
            for k, (user, history) in enumerate(zip(users, known, strict=True))
        ]

    def _logits(self, histories: Sequence[Array], table: ItemTable, n: int) -> Array:
        """Return float32[users, items]: z.t_j + b_j."""
        factors = self.settings.factors
        z = np.zeros((len(histories), factors.size), np.float32)
        for k, history in enumerate(histories):
            context = history[: factors.context]
            if len(context):
                w = factors.context_decay ** np.arange(len(context), dtype=np.float32)
                z[k] = (w / w.sum()) @ table.arrays.contexts[context]
        logits: Array = z @ table.arrays.targets[:n].T
        logits += table.arrays.biases[:n]
        return logits

    def _one(self, user: UserRow, history: Array, logits: Array, table: ItemTable) -> Made:
        settings, catalogue = self.settings, self._catalogue
        assert catalogue is not None
        excluded, seen = self._excluded(user, table)
        similarity, factors = settings.similarity, settings.factors
        rows, scores, source, alone = rank(
            history, excluded[excluded < len(catalogue.keys)], seen, logits,
            table.arrays, catalogue, self.weights, similarity.window, factors.context_decay,
            similarity.prior, settings.lists.length, settings.blend.candidates, self._scratch,
        )  # fmt: skip
        reasons = because(
            history[: factors.context], rows, source, table.arrays, similarity.window,
            factors.context_decay, settings.lists.because,
        )  # fmt: skip
        ids = table.ids
        items = [
            ListItem(ids[j] or "", round(s, 4), SOURCES[m], [ids[h] or "" for h in why if h >= 0])
            for j, s, m, why in zip(
                rows.tolist(), scores.tolist(), source.tolist(), reasons.tolist(), strict=True
            )
        ]
        lists = np.full((1 + len(SOURCES), settings.lists.length), -1, np.int32)
        lists[0, : len(rows)] = rows
        lists[1:] = alone
        shown = np.where(lists >= 0, catalogue.keys[np.maximum(lists, 0)], np.uint64(0))
        return Made(items, shown)

    def _excluded(self, user: UserRow, table: ItemTable) -> tuple[Array, Array]:
        """Return rows and seen hashes that the seen rule leaves out."""
        rule = EXCLUDE[self.settings.lists.exclude]
        newest = int(user.ts[-1]) if len(user.ts) else 0
        session_ms = int(self.settings.lists.session_seconds * 1000)
        first = excluded_from(user.ts, len(user.ts), newest, rule, session_ms)
        excluded = table.index.rows(user.keys[first:].copy())
        return excluded[excluded >= 0], user.seen
