"""What many tests make: events, settings, the context of a command."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec

from streamrec.settings.sections import Settings
from streamrec.state.schema import Kind


def merged(base: Mapping[str, dict[str, Any]], **sections: dict[str, Any]) -> Settings:
    """Return settings of a base, of which these sections say more."""
    names = base.keys() | sections.keys()
    return msgspec.convert({n: base.get(n, {}) | sections.get(n, {}) for n in names}, Settings)


def context(settings: Settings) -> Any:
    """Return what a command is given as its context: these settings, none of them given."""
    return SimpleNamespace(obj=SimpleNamespace(load=lambda **_: (settings, frozenset())))


def columns_of(kind: Kind, arrays: Any, row: int) -> dict[str, Any]:
    """Return the columns of one row of arrays by name, lists as long as they are in use."""
    out: dict[str, Any] = {c.name: arrays.named(c.name)[row].tolist() for c in kind.fixed}
    for c in kind.lists:
        out[c.name] = arrays.named(c.name)[row, : min(out[c.sized_by], c.width)]
    return out
