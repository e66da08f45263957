"""What many tests make: events, settings, the context of a command."""

from types import SimpleNamespace
from typing import Any

from streamrec.settings.sections import Settings


def context(settings: Settings) -> Any:
    """Return what a command is given as its context: these settings, none of them given."""
    return SimpleNamespace(obj=SimpleNamespace(load=lambda **_: (settings, frozenset())))
