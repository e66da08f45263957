"""How a file is to be read: which column is what, how times look, how many rows may be refused."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from streamrec.errors import ConfigurationError
from streamrec.files.cells import UNITS, TimeForm
from streamrec.files.law import Law

Fields = Mapping[str, tuple[str, ...]]
"""Our fields and the column names that are looked for, in this order."""

EVENT_FIELDS: Fields = {
    "user": ("user_id", "user"),
    "item": ("item_id", "item"),
    "ts": ("ts_ms", "ts", "timestamp"),
    "type": ("event_type", "type"),
    "value": ("value", "rating"),
    "session": ("session_id", "session"),
    "segment": ("segment",),
    "personal": ("personal",),
    "visitor": ("from", "visitor"),
}
ITEM_FIELDS: Fields = {
    "item": ("item_id", "item", "id"),
    "title": ("title",),
    "categories": ("categories", "category"),
    "text": ("text",),
    "available": ("available",),
    "attributes": ("attributes",),
}


class Reading(NamedTuple):
    """What a file does not say of itself."""

    columns: Mapping[str, str] = {}
    """Our field and the file's column, or path with dots; it must be there."""
    mapping: Mapping[str, str] = {}
    """The same from the settings: looked for before the usual names."""
    default_type: str = "click"
    separator: str = ""
    header: bool = True
    """Without one columns are called 1, 2, 3."""
    time: TimeForm = TimeForm()
    types: Mapping[str, str] = {}
    """New names of types; others keep theirs."""
    min_value: float | None = None
    """Events with a lower value are left out; those without a value are not."""
    max_refused: int = 0
    max_refused_share: float = 0.0
    skip_refused: bool = False
    """Any number of rows may be refused."""
    law: Law = Law()
    """What the settings accept; by default anything that is well-formed."""

    def allows(self, refused: int, total: int) -> bool:
        """Tell whether so many rows may be refused."""
        most = max(self.max_refused, self.max_refused_share * total)
        return self.skip_refused or refused <= most

    def allowing_as(self, other: "Reading") -> "Reading":
        """Return this with as many rows refused as `other` allows."""
        names = ("max_refused", "max_refused_share", "skip_refused")
        return self._replace(**{name: getattr(other, name) for name in names})

    def looked_for(self, fields: Fields) -> dict[str, tuple[str, ...]]:
        """Return the column names that may be each of our fields, in the order of preference."""
        names = {}
        for ours, usual in fields.items():
            mapped = (self.mapping[ours],) if ours in self.mapping else ()
            names[ours] = (self.columns[ours],) if ours in self.columns else (*mapped, *usual)
        return names


def parse_pairs(text: str, option: str, form: str) -> dict[str, str]:
    """Return what is written as a=b,c=d; `form` is what the option's help calls it."""
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        left, equals, right = part.partition("=")
        if not equals or not left or not right:
            raise ConfigurationError(f"{option}: {part!r} is not {form}.")
        pairs[left.strip()] = right.strip()
    return pairs


def parse_columns(text: str, fields: Fields, option: str) -> dict[str, str]:
    """Return the mapping written as user=customer_id,item=sku."""
    pairs = parse_pairs(text, option, "FIELD=COLUMN, e.g. item=sku")
    for ours in pairs.keys() - fields.keys():
        raise ConfigurationError(f"{option}: {ours!r} is none of {', '.join(fields)}.")
    return pairs


def parse_time(form: str, zone: str) -> TimeForm:
    """Return how times are written, from s, ms, us, ns or a strptime format, and a zone's name."""
    if form not in ("", *UNITS) and "%" not in form:
        words = f"{', '.join(UNITS)}, nor a format such as %d-%m-%Y"
        raise ConfigurationError(f"--time-format {form!r} is none of {words}.")
    where: tzinfo = UTC
    try:
        where = ZoneInfo(zone) if zone not in ("", "UTC") else UTC
    except (KeyError, ValueError, OSError):
        words = f"--time-zone {zone!r} is not known: name it as Europe/Berlin is named."
        raise ConfigurationError(words) from None
    return TimeForm(form, where)


def parse_refused(text: str) -> tuple[int, float]:
    """Return the number and the share of rows that may be refused, from N or P%."""
    found = re.fullmatch(r"(\d{1,15})|(\d{1,3}(?:\.\d+)?)%", text.strip())
    if not found or float(found[2] or 0) > 100:
        raise ConfigurationError(f"--max-refused {text!r} is neither a number nor a share as 1%.")
    return int(found[1] or 0), float(found[2] or 0) / 100


def needed_names(looked_for: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names of all columns that may have to be read, and where paths begin."""
    names = {name for some in looked_for.values() for name in some}
    return names | {name.partition(".")[0] for name in names}
