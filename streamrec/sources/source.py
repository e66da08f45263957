"""What a source is: something that proposes candidates, from columns of its own in an item's row.

A source is one file here and one line in registry.py; one from outside the package is a class
somewhere and a name in the setting `extra_sources` (docs/sources.md).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.settings.types import Section
from streamrec.state.schema import Arrays, Column

Array = NDArray[Any]


class Shopper(NamedTuple):
    """One user at scoring; items are rows of the table, past ones newest first."""

    history: Array  # int32[n]: known recent items
    takes: Array  # uint8[n]: how often each was taken
    in_session: Array  # bool[n]: taken in the session that goes on
    excluded: Array  # int32[m]: recent items that the list must leave out
    seen: Array  # uint32[s]: hashes of older items that it must leave out
    segment: Array  # int32[0 or 1]: row of the user's segment
    times: Array  # int64[n]: when each was taken, ms
    gaps: Array  # uint8[n]: codes of the usual time between takes (repeats.gap_code)
    name: str = ""
    row: Any = None  # the stored UserRow
    shown: Mapping[int, int] = {}  # rows of the list served before: times in a row
    types: Sequence[str] = ()  # names of event types, by their numbers in the stored row

    @property
    def past(self) -> tuple[Array, ...]:
        """Return what facts of past items are made of, as ranking.candidates reads it."""
        return self.history, self.takes, self.in_session, self.times, self.gaps


class Said(NamedTuple):
    """What a source says of few items: how many it wrote, and what they are to be divided by.

    rest: what it says of every other item, times that item's share of the week's popularity.
    """

    touched: int
    total: float
    rest: float = 0.0


class Source:
    """A source under given settings; of all methods only one of the two that score is needed.

    Methods read the arrays they get and change nothing but what is theirs to fill.
    """

    name: ClassVar[str]
    section: ClassVar[str] = ""
    """The section of the settings, of the type `Settings`; several sources may share one."""
    Settings: ClassVar[type[Section]]
    weight: ClassVar[float] = 0.0
    """Where blend.weights starts."""
    optional: ClassVar[bool] = False
    """Switched off by its settings it has no place in the arrays over sources, and costs nothing;
    the blend is then another one than with it."""
    follows: ClassVar[str] = ""
    """Kind of rows that `follow` is called for: `items`, or that of a list."""
    half_life: ClassVar[int] = -1
    """Of popularity, which says the same to everybody: its number."""
    in_blend: ClassVar[Literal["share", "raw"]] = "share"
    """`share`: the log of score / total enters the blend, at least log 1e-6; `raw`: the score."""
    in_pairs: ClassVar[Literal["share", "raw"]] = "share"
    """What `pairs` returns: shares, of which the log counts; or values of about -2 to 2."""

    def __init__(self, settings: Any) -> None:
        """Keep of all settings what is needed."""

    def active(self) -> bool:
        """Say whether the settings leave it anything to say."""
        return True

    def window(self) -> int:
        """Return how many earlier items of the user an event is to be paired with, at most 127."""
        return 0

    # what an item row keeps

    def columns(self) -> Sequence[Column]:
        """Return the columns it needs; what several sources name in the same way is one column."""
        return ()

    def start(self, arrays: Arrays, keys: NDArray[np.uint64], first: int) -> None:
        """Fill rows first..len(keys) of items that are named for the first time."""

    def learn(self, arrays: Arrays, update: Any) -> None:
        """Take one update record (state/updates.py, Learnt) into the rows of their owner."""

    def follow(self, arrays: Arrays, rows: Array, theirs: Arrays, source: Array) -> None:
        """Bring what follows from rows of the kind `follows` up to date in the readers' copy.

        rows: of the table, whose columns of that kind were just taken over; theirs: the columns of
        that kind, but for the lists, as their owner has them, in its rows `source`.
        """

    def memory(self) -> Any:
        """Return what a reader's table keeps for `describe`."""

    def describe(self, arrays: Arrays, row: int, entry: Any, memory: Any) -> None:
        """Take an item's metadata (title, categories, text, attributes) into the readers' copy."""

    def keep(self, memory: Any) -> dict[str, Array]:
        """Return what `describe` and `follow` keep outside of the columns, for `resume`."""
        return {}

    def resume(self, memory: Any, kept: Mapping[str, Array]) -> None:
        """Take over what another source of this class returned from `keep`."""

    # what it says at scoring: by one of the two methods, or a half-life of popularity

    def prepare(self, table: Any) -> None:
        """Compute what is the same for all users until the table changes (ranking/views.py)."""

    def score(self, arrays: Arrays, user: Shopper, scores: Array, touched: Array) -> Said:
        """Add to scores float64[items] (zero before) and list the rows touched, each once."""
        raise NotImplementedError(self.name)

    def score_all(self, arrays: Arrays, users: Sequence[Shopper], out: Array) -> None:
        """Fill out float32[users, items]; NaN says nothing."""
        raise NotImplementedError(self.name)

    def score_rows(self, arrays: Arrays, users: Sequence[Shopper], rows: Array, out: Array) -> None:
        """Fill out float32[users, len(rows)] with what score_all says of these rows alone.

        A source that has only score_all is asked for all items where a filter leaves few.
        """
        raise NotImplementedError(self.name)

    def support(self, arrays: Arrays, user: Shopper, rows: Array, where: Array) -> Array | None:
        """Return float64[len(rows), len(history)]: what each past item adds to each row's score.

        What no past item accounts for is the score less their sum; None: that is all of it.
        where: int32[items] to work in, with anything in it.
        """
        return None

    def vectors(self, settings: Any) -> tuple[str, int]:
        """Return the column with a vector of each item for the neural ranker, and its length.

        It may change when the item is described, its text is encoded, or `follow` is called.
        """
        raise NotImplementedError(self.name)

    def pairs(self, arrays: Arrays, past: Array, rows: Array, where: Array) -> Array:
        """Return float[len(rows), len(past)]: what it says of each row after each past item alone.

        Whatever its age: the neural ranker learns what that means. 0: nothing.
        """
        raise NotImplementedError(self.name)


def having(method: str, sources: Sequence[Source]) -> list[Source]:
    """Return those of the sources that have a method of their own: the others need no call."""
    return [s for s in sources if getattr(type(s), method) is not getattr(Source, method)]
