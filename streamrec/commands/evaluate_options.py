"""What the options of `streamrec evaluate` mean."""

import json
from collections.abc import Sequence

from streamrec.errors import ConfigurationError
from streamrec.evaluation.peers.other_blends import OTHER_BLENDS
from streamrec.evaluation.peers.registry import PEERS
from streamrec.evaluation.prequential import Lag
from streamrec.sources.registry import all_sources

LAGS = ("0", "100", "1000", "10000", "1h", "1d")
"""Of the staleness curve: events, or time."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_lag(text: str) -> Lag:
    """Return the lag written as a number of events, or as time: 30s, 5m, 1h, 1d."""
    try:
        if text[-1:] in UNITS:
            lag = Lag(milliseconds=int(float(text[:-1]) * UNITS[text[-1]] * 1000))
        else:
            lag = Lag(events=int(text))
    except (ValueError, OverflowError):
        lag = Lag(-1)
    if min(lag) < 0:
        raise ConfigurationError(
            f"--lag {text!r} is neither a number of events nor a time like 30s, 5m, 1h or 1d."
        )
    return lag


def lag_words(text: str) -> str:
    """Return a lag in words."""
    return text if text[-1:] in UNITS else f"{text} events"


def names_in(text: str) -> tuple[str, ...]:
    """Return the names between commas."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def off_but(text: str) -> str:
    """Return, as a setting, the sources that are not among those named; "" for no names."""
    wanted, known = names_in(text), [source.name for source in all_sources()]
    for name in wanted:
        if name not in known:
            raise ConfigurationError(f"--sources: {name!r} is none of {', '.join(known)}.")
    return json.dumps([name for name in known if name not in wanted]) if wanted else ""


def peers_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of peers, checked; `all` is all of them."""
    if list(names) == ["all"]:
        return tuple(PEERS)
    for name in names:
        if name not in PEERS:
            raise ConfigurationError(f"--peers: {name!r} is none of {', '.join(PEERS)}, all.")
    return tuple(names)


def blends_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of other blends, checked."""
    for name in names:
        if name not in OTHER_BLENDS:
            raise ConfigurationError(f"--compare: {name!r} is none of {', '.join(OTHER_BLENDS)}.")
    return tuple(names)
