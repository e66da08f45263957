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
