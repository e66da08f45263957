"""Places: the lists of one user that a site shows, each under rules of its own."""

import re
from typing import Annotated, Literal

from msgspec import Meta

from streamrec.settings.types import NonNegative, Section, Share, Size

HOME = "home"
"""The place that is always there."""
USER, ITEM, BASKET = "user", "item", "basket"
"""Contexts: what a list is asked for with."""
PLACE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
SESSION = -1.0
"""Stands for an age: as long as the session goes on."""
EVER = float("inf")
_UNITS = {"minute": 60_000.0, "hour": 3_600_000.0, "day": 86_400_000.0, "week": 604_800_000.0}
_AGE = re.compile(r"(\d+(?:\.\d+)?) (minute|hour|day|week)s?")


EXAMPLES = {
    "context": '"item"',
    "length": "10",
    "filters": '["price < 20"]',
    "boosts": '{ "attributes.new" = 0.3 }',
    "exclude": '{ purchase = "30 days", view = "session" }',
    "pins": '["i42"]',
    "caps": "{ brand = 2 }",
    "diversity": '"mmr"',
    "diversity_budget": "0.05",
    "reasons": "false",
    "sources": "{ similarity = 2.0, successors = 1.0 }",
    "blend": '"vote"',
    "off": '["popularity_long"]',
}
"""Of each setting of a place one value, in TOML, for messages."""


class PlaceSettings(Section, frozen=True, kw_only=True):
    """One place; what it does not say is as [lists] has it."""

    context: Literal["user", "item", "basket"] = "user"
    """What a list is asked for with: the user alone, an item too, or the items of a basket."""
    length: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Items in the list."""
    filters: tuple[str, ...] = ()
    """What may be shown, besides lists.filters, which hold too."""
    boosts: dict[str, float] = {}
    """Besides lists.boosts; of the same expression, this weight counts."""
    exclude: dict[str, str] | None = None
    """By event type, how long what the user did it with is left out; instead of lists.exclude."""
    pins: tuple[str, ...] = ()
    """Items shown first, in this order, where the user may be shown them at all."""
    caps: dict[str, Size] = {}
    """Attribute (or `category`), and how many items of one value there may be at most."""
    diversity: Literal["none", "mmr", "dpp"] | None = None
    """Variety."""
    diversity_budget: Share | None = None
    """Most of the expected NDCG that variety may cost."""
    reasons: bool = True
    """Whether each item says its source and past items that speak for it."""
    sources: dict[str, NonNegative] = {}
    """The sources that rank here, alone, and their weights; instead of [blend]."""
    blend: Literal["weighted", "cascade", "vote", "borda"] | None = None
    """How `sources` are blended, as in blend.kind; weighted, if nothing is said."""
    off: tuple[str, ...] = ()
    """Sources that take no part here, besides blend.off."""


def age_of(text: str) -> float | None:
    """Return an age in ms, SESSION or EVER; None where the text is none.

    >>> age_of("30 days"), age_of("session"), age_of("soon")
    (2592000000.0, -1.0, None)
    """
    if text in ("session", "ever"):
        return SESSION if text == "session" else EVER
    found = _AGE.fullmatch(text.strip())
    return float(found[1]) * _UNITS[found[2]] if found else None
