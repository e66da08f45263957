"""The JSON of a list, as it is published."""

import msgspec

from streamrec.settings.places import HOME


class ListItem(msgspec.Struct):
    """One recommended item; `because` names past items of the user."""

    item: str
    score: float
    source: str
    because: list[str]


class PublishedList(msgspec.Struct, omit_defaults=True):
    """The public JSON of rec:<user>; docs/redis.md is the contract."""

    user: str
    at: int  # epoch ms
    model: str
    offset: int  # of the user's last event that the list knows
    items: list[ListItem]
    place: str = HOME  # not written of home
    exclude: list[str] = []  # of a place with a context: what its lists of items may not show here


class ContextItem(msgspec.Struct, omit_defaults=True):
    """One item of an item's list at a place; `of`: its values of the fields that are capped."""

    item: str
    score: float
    source: str
    of: dict[str, list[str | float | bool]] = {}


class ContextList(msgspec.Struct, omit_defaults=True):
    """The public JSON of sim:{<item>}:<place>; docs/redis.md is the contract."""

    item: str
    place: str
    at: int  # epoch ms
    model: str
    items: list[ContextItem]
    caps: dict[str, int] = {}
    pinned: int = 0  # the first so many items are pinned
