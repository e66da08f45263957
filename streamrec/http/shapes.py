"""The JSON of requests and answers, where it is not said elsewhere."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streamrec.client import Neighbour, Recommendations, Recommended, Similar
from streamrec.events.event import Reason
from streamrec.inspection.answer import Reasons

Id = Annotated[str, Meta(min_length=1, max_length=128)]


class Listed(Recommended):
    """One item of a list; `why` where it was asked for."""

    why: Reasons | UnsetType = UNSET


class UserList(Recommendations):
    """A user's list; `personal` is false for the popular one."""

    items: list[Listed] = []  # type: ignore[assignment]


class Popular(msgspec.Struct):
    """The list for strangers; `at` is when it was made (epoch ms), 0 when there is none."""

    at: int
    model: str
    items: list[Recommended]


class PageOfLists(msgspec.Struct):
    """The lists of several places by name; no item is in two of them."""

    user: str
    lists: dict[str, Recommendations]


class SimilarItems(msgspec.Struct):
    """Items most often taken after `item`, and `like`: of `sim:<item>`."""

    item: str
    items: list[Similar]
    like: list[Neighbour]


class SentEvent(msgspec.Struct):
    """One event; `type` is one of events.weights, and may only be missing with a default type.

    Or with the type `merge`, and `from` instead of `item`: what that visitor did was this user's.
    """

    user: Id | int
    item: Id | int | None = None
    type: str | None = None
    visitor: Id | int | None = msgspec.field(name="from", default=None)
    ts: int | str | None = None  # epoch ms or RFC 3339; now, if it is missing
    id: Id | int | None = None
    value: float | None = None
    segment: Id | int | None = None
    personal: bool = True  # false: the item learns, nothing is kept of the user


class SentItem(msgspec.Struct):
    """The metadata of an item; what is not given is empty."""

    item: Id | int | None = None
    title: str = ""
    categories: list[str] = []
    text: str = ""
    available: bool = True
    attributes: dict[str, str | float | bool | None] = {}


class Refused(msgspec.Struct):
    """An event that is not sent: its place in the request, from 0, and why."""

    index: int
    reason: Reason
    detail: str


class Accepted(msgspec.Struct):
    """How many events Kafka has acknowledged, the ids of all in their order, what was refused."""

    accepted: int
    ids: list[str | None]
    refused: list[Refused]


class AcceptedItem(msgspec.Struct):
    """The item whose metadata Kafka has acknowledged."""

    item: str


class Forgetting(msgspec.Struct):
    """The user whom `learn` forgets now: Kafka has acknowledged it in all partitions.

    `at` is when (epoch ms). What came before then is dropped; what comes after is a new history.
    """

    user: str
    at: int
    partitions: int


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong and what to do (RFC 9457); the last three after sending events or items."""

    title: str
    status: int
    detail: str
    reason: Reason | None = None
    ids: list[str | None] = []
    refused: list[Refused] = []
