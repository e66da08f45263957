"""`streamrec.Recommender`: learns and recommends in one process, without Kafka and Redis."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from streamrec.errors import ConfigurationError
from streamrec.inspection.answer import Answer
from streamrec.library import saved
from streamrec.library.configured import configured
from streamrec.library.given import Columns, Refused, events_given, is_one, items_given
from streamrec.library.learnt import Learnt, is_log
from streamrec.library.listed import Listed
from streamrec.ranking.contexts import ContextMaker
from streamrec.settings.place_rules import check_context
from streamrec.settings.places import HOME, USER
from streamrec.settings.sections import Settings
from streamrec.sources.similarity import read_list
from streamrec.state.keys import key_of


class Recommender:
    """Learns from every event and recommends, in one process and one thread.

    The state and the lists are those of `streamrec evaluate` and `streamrec bootstrap` on the same
    log, settings and seed, to the bit. `learn` returns the recommender, as river's models do, and
    takes one event or many; `recommend` and `similar` return ids and scores, as implicit's do.
    Reads change nothing. Bounds: users.max_users, items.max_items.

    >>> import streamrec
    >>> shop = streamrec.Recommender(profile="shop")
    >>> for n in range(60):
    ...     event = {"user": f"u{n % 6}", "item": f"i{n % 5}", "ts": 60_000 * n}
    ...     shop = shop.learn(event)
    >>> ids, scores = shop.recommend("u1", k=3)
    >>> len(ids), bool(scores[0] >= scores[1])
    (3, True)
    >>> shop.counts()["events"]
    60
    """

    def __init__(
        self,
        profile: str = "general",
        *,
        neural: bool = False,
        seed: int | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Start with nothing learnt.

        neural: train the neural ranker along the way, as `evaluate` does, which takes as long
        again and needs torch. settings: any by dotted name, as {"lists.exclude": "user"}; no file
        and no environment is read. Same log, settings and seed: same lists. Raises
        ConfigurationError.

        >>> import streamrec
        >>> streamrec.Recommender("bookshop")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        streamrec.errors.ConfigurationError: settings: profile cannot be 'bookshop'; expected: ...
        """
        self._learnt = Learnt(configured(profile, settings, seed), neural)

    @property
    def settings(self) -> Settings:
        """All settings in force."""
        return self._learnt.settings

    def __repr__(self) -> str:
        counts = self.counts()
        words = ", ".join(f"{counts[name]:,} {name}" for name in ("events", "users", "items"))
        return f"Recommender(profile={self.settings.profile!r}): {words}"

    def learn(
        self,
        events: Any,
        items: Any = None,
        *,
        columns: Columns = None,
        item_columns: Columns = None,
    ) -> Self:
        """Take in one event or many, and return the recommender.

        events: a dict as docs/events.md has it, with its `ts`, or many, which are taken in their
        order; or a frame of pandas, polars or pyarrow, or the path of a file, by the rules of
        docs/files.md, in the order of time. items: metadata, as `describe` takes it: an item of it
        is known from just before its first event on, and those without one after the last.
        columns: our field and the frame's column. What is refused is left out, with a warning, and
        can be read in `refused`. Raises ConfigurationError where nothing can be read.

        >>> import streamrec
        >>> news = streamrec.Recommender("news").learn({"user": "ann", "item": "a", "ts": 1})
        >>> news.counts()["users"]
        1
        """
        catalogue, of_items = items_given(items, item_columns)
        of_items.warn("items", 2)
        if is_log(events) or columns:
            table, told = events_given(events, self.settings, columns)
            self._learnt.learn_log(table, catalogue)
        else:
            told = self._learnt.learn_each([events] if is_one(events) else events, catalogue)
        self._learnt.note(told, of_items)
        told.warn("events", 2)
        return self

    def describe(self, items: Any, *, columns: Columns = None) -> Self:
        """Take in what items are: they can be recommended from now on, also before any event.

        items: a dict as docs/events.md has it, or many; or a frame or a file, of which further
        columns are attributes. An item again replaces what was known of it.

        >>> import streamrec
        >>> shop = streamrec.Recommender("shop").describe({"item": "i1", "title": "Blue teapot"})
        >>> shop.counts()["items"]
        1
        """
        found, told = items_given(items, columns)
        self._learnt.describe(found.values())
        self._learnt.note(told)
        told.warn("items", 2)
        return self

    def forget(self, user: str) -> Self:
        """Drop a user: history, seen items, ids of events. What items learnt of them stays.

        >>> import streamrec
        >>> shop = streamrec.Recommender("shop").learn({"user": "ann", "item": "cup", "ts": 1})
        >>> shop.forget("ann").counts()["users"]
        0
        """
        self._learnt.forget(user)
        return self

    def merge(self, user: str, visitor: str) -> Self:
        """Add a visitor's history to a user's, who turned out to be the same.

        Of items in both the later time counts. The visitor is dropped; items learn nothing again.

        >>> import streamrec
        >>> log = [{"user": "ann", "item": "cup", "ts": 1}, {"user": "x", "item": "pot", "ts": 2}]
        >>> shop = streamrec.Recommender("general").learn(log).merge("ann", "x")
        >>> shop.counts()["users"], shop.recommend("ann").ids.tolist()
        (1, [])
        """
        self._learnt.merge(user, visitor)
        return self

    def recommend(
        self,
        user: str,
        k: int = 10,
        *,
        place: str = HOME,
        items: Sequence[str] = (),
        filter: str | Sequence[str] = (),
    ) -> Listed:
        """Return the ids and scores of up to k items for a user, best first.

        A user of whom nothing is known gets what is popular. k: up to lists.length (20). place: of
        the settings (docs/places.md), with its rules. items: what a place of context `item` or
        `basket` is asked for with; unknown ones say nothing. filter: expressions that must hold of
        an item (docs/filters.md), besides those of the settings. Raises ConfigurationError.

        >>> import streamrec
        >>> goods = [{"item": "cup", "attributes": {"price": 3}},
        ...          {"item": "pot", "attributes": {"price": 30}}]
        >>> log = [{"user": "ann", "item": "cup", "ts": 1}, {"user": "bob", "item": "pot", "ts": 2}]
        >>> shop = streamrec.Recommender("shop").learn(log, items=goods)
        >>> ids, scores = shop.recommend("new", filter="price < 20")
        >>> ids.tolist()
        ['cup']
        """
        filters = (filter,) if isinstance(filter, str) else tuple(filter)
        rules = self._learnt.rules(place, filters)
        check_context(rules.place, items)
        length = rules.place.length
        if not isinstance(k, int) or not 1 <= k <= length:
            raise ConfigurationError(
                f"k is {k!r}: from 1 to lists.length, which is {length}; "
                f"settings={{'lists.length': {length * 2}}} makes longer lists."
            )
        live = self._learnt.live
        lists, table = live.flow.prepared(), live.table
        if not len(table):
            return Listed.of([], [])
        [ranked] = lists.rank([live.shopper(str(user), lists)], table, rules=rules)
        if rules.place.context != USER:
            rows = [table.row_of[one] for one in map(str, items) if one in table.row_of]
            told = ContextMaker(rules.place, filters).listed(lists, table, ranked, rows)
            return Listed.of([table.ids[row] or "" for row in told.rows[:k]], told.scores[:k])
        order = ranked.order[:k]
        rows = ranked.candidates[order].tolist()
        scores = (ranked.scores[order] - ranked.level).tolist()
        return Listed.of([table.ids[row] or "" for row in rows], scores)

    def similar(self, item: str, k: int = 10) -> Listed:
        """Return up to k items most often taken after an item, and their shares of what was.

        None for an item that nobody took or that is not known; as `streamrec similar`.

        >>> import streamrec
        >>> log = [{"user": f"u{n // 2}", "item": "ab"[n % 2], "ts": n} for n in range(20)]
        >>> streamrec.Recommender("shop").learn(log).similar("a").ids.tolist()
        ['b']
        """
        if not isinstance(k, int) or k < 1:
            raise ConfigurationError(f"k is {k!r}: at least 1.")
        live = self._learnt.live
        [shard], table = live.flow.items, live.table
        [at] = shard.index.rows(np.array([key_of(str(item))], np.uint64))
        if at < 0:
            return Listed.of([], [])
        [blob] = shard.schema.kinds["similarity"].pack(shard.items, np.array([at]))
        keys, weights, _ = read_list(blob)
        rows, total = table.index.rows(keys), float(weights.sum()) or 1.0
        best = np.argsort(-weights, kind="stable")
        best = best[(rows[best] >= 0) & table.arrays.available[rows[best]]][:k]
        shares = (weights[best] / total).tolist()
        return Listed.of([table.ids[row] or "" for row in rows[best].tolist()], shares)

    def explain(self, user: str, item: str, *, place: str = HOME, page: str = "") -> Answer:
        """Return why an item is, or is not, in the user's list: parts that add up to its score.

        place: of the settings, whose rules hold. page: the item that a place with a context is
        asked for with. Raises ConfigurationError.

        >>> import streamrec
        >>> log = [{"user": f"u{n // 2}", "item": "ab"[n % 2], "ts": n} for n in range(20)]
        >>> told = streamrec.Recommender("shop").learn(log).explain("u3", "a")
        >>> told.listed, abs(told.mean + sum(told.parts.values()) - told.score) < 1e-4
        (True, True)
        """
        from streamrec.inspection.explain import answer_for

        live, rules = self._learnt.live, self._learnt.rules(place, ())
        lists, table = live.flow.prepared(), live.table
        check_context(rules.place, [page] if page else [])
        shopper = live.shopper(str(user), lists)._replace(name=str(user))
        return answer_for(lists, table, shopper, rules, (str(item), str(page)))

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Rows of events and items that could not be taken in, the first 1,000: row, reason, why.

        >>> import streamrec, warnings
        >>> warnings.simplefilter("ignore")
        >>> shop = streamrec.Recommender("shop").learn({"user": "ann", "item": "cup", "ts": "noon"})
        >>> shop.refused[0].reason, shop.counts()["refused"]
        ('schema', 1)
        """
        return tuple(self._learnt.refused)

    def counts(self) -> dict[str, int]:
        """Return how many events were learnt, dropped as duplicates, refused; users and items.

        >>> import streamrec
        >>> streamrec.Recommender("shop").counts()
        {'events': 0, 'duplicates': 0, 'refused': 0, 'users': 0, 'items': 0}
        """
        return self._learnt.counts()

    def save(self, path: str | Path) -> Path:
        """Write all that was learnt to a file, whole or not at all, and return where.

        What is loaded from it goes on as if it had never been saved, to the bit; but for the
        training of the neural ranker, which goes on from its weights with new samples alone.

        >>> import streamrec, tempfile
        >>> shop = streamrec.Recommender("shop").learn({"user": "ann", "item": "cup", "ts": 1})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = shop.save(f"{folder}/shop.streamrec")
        ...     streamrec.Recommender.load(file)
        Recommender(profile='shop'): 1 events, 1 users, 1 items
        """
        return saved.write(Path(path), self._learnt)

    @classmethod
    def load(cls, path: str | Path, *, extra_sources: Sequence[str] = ()) -> Self:
        """Return what `save` wrote.

        extra_sources: those of the settings under which it was saved, which are code and so must
        be named again. Raises DamagedState or UnknownVersion where the file is not whole, or is
        another release's; nothing in it is run.
        """
        made = cls()
        made._learnt = saved.read(Path(path), tuple(extra_sources))
        return made
