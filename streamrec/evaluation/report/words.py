"""Numbers and names of the report as words."""

import re
from typing import Any

Value = float | None
PEER, OTHER = "peer:", "blend:"
NOT_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
HUGE = 1e15
"""No metric, count or time is as large; what is cannot be drawn."""


def clean(value: Any) -> Any:
    """Return a copy of JSON whose texts are valid XML: on other letters vl-convert aborts."""
    if isinstance(value, str):
        return NOT_XML.sub(" ", value)
    if isinstance(value, dict):
        return {clean(str(key)): clean(one) for key, one in value.items()}
    return [clean(one) for one in value] if isinstance(value, list) else value


def finite(value: Any) -> Value:
    """Return a JSON value as a number, or None for anything that is not a usable one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -HUGE < value < HUGE:
        return None
    return float(value)


def plain(value: Any) -> str:
    """Return a JSON string or number as text, and nothing for anything else."""
    known = finite(value)
    return value if isinstance(value, str) else f"{known:.15g}" if known is not None else ""


def label(name: str) -> str:
    """Return a source's name as the whole page shows it."""
    words = cut(name.removeprefix(PEER).removeprefix(OTHER).replace("_", " "))
    return words + " (peer)" * name.startswith(PEER) + " (blend)" * name.startswith(OTHER)


def cut(words: str, most: int = 48) -> str:
    """Return at most so many letters."""
    return words if len(words) <= most else words[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def number(value: float) -> str:
    """Return a metric in words: four decimals where it is a share, fewer where it is not."""
    size = abs(value)
    digits = 4 if size < 2 else 2 if size < 1000 else 0
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return ("+" if value > 0 else "") + number(value)
