"""From user rows to published lists: the pure part of the scorer."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Features
from streamrec.blend.rules import extras_of, silence_of
from streamrec.neural.projected import Projected
from streamrec.neural.reading import Reader, Reading
from streamrec.neural.serve import Served
from streamrec.ranking.candidates import gather, popular_share
from streamrec.ranking.dense import Dense, said_of_all
from streamrec.ranking.mixture import Mixture, mixture_of
from streamrec.ranking.moves import moved
from streamrec.ranking.passing import Passing, PassingItems
from streamrec.ranking.published import ListItem
from streamrec.ranking.reasons import because, stands_out
from streamrec.ranking.rerank import Reranker, user_fields
from streamrec.ranking.seen import SeenIndex
from streamrec.ranking.shoppers import excluded_by, shopper_of
from streamrec.ranking.views import (
    ALL,
    FEW,
    NO_ROWS,
    Catalogue,
    Filtered,
    Prepared,
    new_scratch,
)
from streamrec.settings.place_rules import Place, place_of
from streamrec.settings.sections import Settings
from streamrec.sources.popularity import Popular
from streamrec.sources.registry import sources_of
from streamrec.sources.repeats import rows_of
from streamrec.sources.source import Shopper, having
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import after

Array = NDArray[Any]
NEURAL = "neural"
"""The neural ranker, where it counts as a source: in reasons and explanations."""


class Ranked(NamedTuple):
    """One user's candidates in order, as table rows."""

    shopper: Shopper
    mixture: Mixture  # who speaks here
    candidates: Array  # int32[C]
    features: Features
    filled: Features  # with numbers for silence
    blended: NDArray[np.float64]  # [C]: the blend's scores
    moves: NDArray[np.float64]  # [C]: what the neural ranker adds to them
    reading: Reading | None  # what it read
    units: Array | None  # what it made of that, float32[k, h, u]
    scores: NDArray[np.float64]  # [C]: the sum, with boosts
    order: Array  # int64[length]: the list, as numbers of candidates
    alone: Array  # int32[M, length]: what each source would show, -1 padded
    full_ranks: Array  # float64[M]: of the target in each source's order of all items, 0 best

    @property
    def level(self) -> float:
        """What scores are told above: log sum exp(score) of all candidates, before the rules."""
        return float(np.logaddexp.reduce(self.blended + self.moves))


class UserList(NamedTuple):
    """One list; `shown`, uint64[1 + M, length]: the keys of the blend's and each source's list."""

    items: list[ListItem]
    shown: NDArray[np.uint64]
    candidates: NDArray[np.uint64]
    ranked: Ranked | None


class ListMaker:
    """Makes lists from one item table; `prepare` after each refresh of the table."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sources = sources_of(settings)
        self.names = tuple(source.name for source in self.sources)
        self.extras = extras_of(settings)
        self._silence = silence_of(settings)
        self.rules = Reranker(place_of(settings))
        self._mixtures: dict[Hashable, Mixture] = {}
        self.mixture = self.mixture_at(self.rules)
        style = self.mixture.roster.style
        self._preparing = having("prepare", self.sources)
        users = settings.users
        # enough that who has seen the most popular items gets the next ones
        self._most = settings.blend.candidates + users.recent_items + users.seen_items
        self._popular = Popular(self._most)
        self.seen = SeenIndex()
        self._table: ItemTable | None = None
        self._turn = 0  # of the table, at the last look
        self._passing = PassingItems()
        self.reader = Reader(settings, self.sources)
        self._texts = Projected(self.reader.vectors)
        self.network: Served | None = None
        self._keys: Array = np.zeros(0, np.uint64)
        self.scratch = new_scratch(int(np.count_nonzero(style == FEW)), 0)
        self._catalogue: Catalogue | None = None

    def mixture_at(self, rules: Reranker) -> Mixture:
        """Return who speaks at a place. Raises ConfigurationError where nobody does."""
        if rules.voices not in self._mixtures:
            made = mixture_of(self.settings, self.sources, rules.place)
            self._mixtures[rules.voices] = made
        return self._mixtures[rules.voices]

    def prepare(self, table: ItemTable) -> None:
        """Recompute what is the same for all users."""
        arrays, n = table.arrays, len(table)
        if self._table is not table:  # its rows are other items
            self.seen, self._table, self._turn = SeenIndex(), table, 0
            self._popular = Popular(self._most)
        servable = arrays.stored[:n] & arrays.available[:n]
        heats, totals = arrays.heats[:n], table.log2_totals()
        changed, self._turn = after(arrays.changed, n, self._turn), table.turn
        self._popular.refresh(heats, servable, changed)
        for source in self._preparing:
            source.prepare(Prepared(table, heats, totals, servable, changed))
        self._keys = table.keys
        self.seen.refresh(self._keys)
        self._catalogue = Catalogue(
            self._popular.order, heats, totals, servable, int(np.count_nonzero(servable)),
            np.arange(n, dtype=np.int32), arrays.born[:n], table.now(), repeats=rows_of(arrays, n),
        )  # fmt: skip
        self._passing.refresh(table, self._catalogue, self.seen, changed)
        if len(self.scratch.marks) < n:
            self.scratch = new_scratch(len(self.scratch.scores), 2 * n)

    @property
    def ready(self) -> bool:
        """Whether there is any item to recommend."""
        return self.servable > 0

    @property
    def servable(self) -> int:
        """How many items a list may hold."""
        return 0 if self._catalogue is None else self._catalogue.servable_count

    def make(
        self, shoppers: Sequence[Shopper], table: ItemTable, rules: Reranker | None = None
    ) -> list[UserList]:
        """Return the users' lists, best first; shorter where the catalogue is small."""
        if len(table) == 0:
            length = (rules or self.rules).place.length
            nothing = np.zeros((1 + len(self.names), length), np.uint64)
            return [UserList([], nothing, nothing[0, :0], None) for _ in shoppers]
        each = self.rank(shoppers, table, rules=rules)
        return [self.named(ranked, table, (rules or self.rules).place) for ranked in each]

    def reordered(
        self, made: Sequence[UserList], table: ItemTable, rules: Reranker
    ) -> list[UserList]:
        """Return lists by other rules of the same candidates (Reranker.pool)."""
        found = []
        for ranked in (one.ranked for one in made if one.ranked is not None):
            scores = ranked.blended + ranked.moves
            order, scores = rules.order(ranked.candidates, scores, ranked.shopper, table)
            again = ranked._replace(order=order, scores=scores)
            found.append(self.named(again, table, rules.place))
        return found

    def rank(
        self, shoppers: Sequence[Shopper], table: ItemTable, targets: Sequence[int] = (),
        rules: Reranker | None = None, *, with_network: bool = True, among: Passing | None = None,
    ) -> list[Ranked]:  # fmt: skip
        """Rank the candidates of each user; with `targets` (rows) also find their full ranks.

        rules: without, those of home. with_network: the neural ranker has its say, if there is one.
        among: the items that lists may hold, whatever the rules' filters say.
        """
        assert self._catalogue is not None, "prepare the table first"
        rules, n = rules or self.rules, len(self._catalogue.servable)
        if (ages := rules.place.exclude) is not None:
            shoppers = [
                one._replace(excluded=excluded_by(ages, self.settings, one, table))
                for one in shoppers
            ]
        wanted = [t if t < n else -1 for t in targets] or [-1] * len(shoppers)
        passing = [among or self.passing(shopper, table, rules) for shopper in shoppers]
        said = said_of_all(self.mixture_at(rules).dense, table.arrays, n, shoppers, passing)
        each = zip(shoppers, said, passing, wanted, strict=True)
        by = table, rules, self.network if with_network else None
        return [
            self._rank_one(shopper, (dense, of), by, target) for shopper, dense, of, target in each
        ]

    def passing(self, shopper: Shopper, table: ItemTable, rules: Reranker) -> Passing | None:
        """Return what a list may hold by the filters of its rules; None without any."""
        filters = rules.rules.filters
        return self._passing.of(filters, shopper, lambda: user_fields(table, shopper))

    def left_out(self, shopper: Shopper) -> NDArray[np.int32]:
        """Return the rows of what a user's lists must leave out."""
        return np.concatenate([shopper.excluded, self.seen.rows_of(shopper.seen)])

    def _rank_one(
        self,
        shopper: Shopper,
        given: tuple[Dense, Passing | None],
        by: tuple[ItemTable, Reranker, Served | None],
        target: int,
    ) -> Ranked:
        (dense, passing), (table, rules, network) = given, by
        assert self._catalogue is not None
        scratch, catalogue = self.scratch, self._catalogue
        filtered = Filtered(False, False, catalogue.rows, NO_ROWS)
        mixture = self.mixture_at(rules)
        scratch.found[:], scratch.rest[:] = 0, 0.0  # of who is not asked here
        if passing is not None:
            rows = passing.rows if passing.picked else catalogue.rows
            filtered = Filtered(True, passing.picked, rows, NO_ROWS)
            servable, size = passing.allowed, passing.size
            catalogue = catalogue._replace(servable=servable, servable_count=size)
        if rules.place.pins:
            filtered = filtered._replace(pinned=rules.pinned(table))
        for k, source in mixture.few:
            said = source.score(table.arrays, shopper, scratch.scores[k], scratch.touched[k])
            scratch.found[k], scratch.totals[k], scratch.rest[k] = said
        candidates, values, ranks, extras, alone, full_ranks = gather(
            shopper.past, self.left_out(shopper), dense, target, tuple(catalogue), tuple(filtered),
            tuple(mixture.roster), tuple(scratch), most=self.settings.blend.candidates,
        )  # fmt: skip
        features = Features(values, ranks, extras, len(shopper.history), self._silence)
        filled = features.filled()
        blended = mixture.blend.scores(filled, table.blend)
        reading, units, moves = None, None, np.zeros(len(candidates))
        if network is not None and mixture.blend.kind == "learned":
            reading = self.reader.read(table, shopper, (candidates, blended, filled), scratch.where)
            if reading is not None:
                units = self.units_of(reading, network, table)
                moves = moved(blended, reading, network.moves(reading, units))
        order, scores = rules.order(candidates, blended + moves, shopper, table)
        return Ranked(
            shopper, mixture, candidates, features, filled, blended, moves, reading, units=units,
            scores=scores, order=order, alone=alone[:, : rules.place.length], full_ranks=full_ranks,
        )  # fmt: skip

    def units_of(self, reading: Reading, network: Served, table: ItemTable) -> Array:
        """Return what a network makes of a list, Served.units."""
        return network.units(reading, self._texts.of(network, table, reading))

    def reading_of(
        self, ranked: Ranked, table: ItemTable, only: Array | None = None
    ) -> Reading | None:
        """Return what the neural ranker reads of a list, see Reader.read for `only` and None."""
        if ranked.reading is not None:
            return ranked.reading if only is None else ranked.reading.some(only)
        of_list = ranked.candidates, ranked.blended, ranked.filled
        return self.reader.read(table, ranked.shopper, of_list, self.scratch.where, only)

    def named(self, ranked: Ranked, table: ItemTable, place: Place) -> UserList:
        """Name the items and the reasons of one list."""
        ids, order = table.ids, ranked.order
        rows, scores = ranked.candidates[order], (ranked.scores[order] - ranked.level).tolist()
        parts = ranked.mixture.blend.source_parts(ranked.filled, table.blend)
        source = stands_out(parts, ranked.features.ranks, ranked.moves)[order]
        names = (*self.names, NEURAL) if place.reasons else ("",) * (len(self.names) + 1)
        reasons = because(self, table, ranked, source) if place.reasons else [[]] * len(rows)
        items = [
            ListItem(ids[j] or "", round(s, 4), names[m], [ids[h] or "" for h in why if h >= 0])
            for j, s, m, why in zip(rows.tolist(), scores, source.tolist(), reasons, strict=True)
        ]
        lists = np.full((1 + len(self.names), place.length), -1, np.int32)
        lists[0, : len(rows)] = rows
        alone = ranked.alone[:, : place.length]
        lists[1:, : alone.shape[1]] = alone
        keys = self._keys
        shown = np.where(lists >= 0, keys[np.maximum(lists, 0)], np.uint64(0))
        return UserList(items, shown, keys[ranked.candidates], ranked)

    def score_of(self, m: int, shopper: Shopper, table: ItemTable, row: int) -> float:
        """Return the score that source m gives a row for a user, 0 where it says nothing."""
        assert self._catalogue is not None, "prepare the table first"
        source, n = self.sources[m], len(self._catalogue.servable)
        if self.mixture.roster.style[m] == ALL:
            out = np.empty((1, n), np.float32)
            source.score_all(table.arrays, [shopper], out)
            return float(np.nan_to_num(out[0, row]))
        scores, touched = np.zeros(n), np.zeros(n + 1, np.int32)
        said = source.score(table.arrays, shopper, scores, touched)
        return float(scores[row] + said.rest * popular_share(row, self._catalogue))

    def shopper(
        self, row: Any, table: ItemTable, name: str = "", shown: Any = None, types: Any = ()
    ) -> Shopper:
        """Return a user at scoring; shown and types: as in shopper_of."""
        return shopper_of(self.settings, table, row, name, shown or {}, types)

    def removed(self, shopper: Shopper, table: ItemTable, row: int) -> str:
        """Return which filters remove an item for a user; "" for none."""
        lines = self.rules.trace(table, row, shopper)
        return "; ".join(line for line in lines if line.startswith("removed"))
