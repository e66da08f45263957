"""`streamrec.evaluate`: how good the lists would have been on a log, from Python."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamrec.errors import ConfigurationError
from streamrec.evaluation.evaluate import evaluate_all
from streamrec.evaluation.peers.other_blends import OTHER_BLENDS
from streamrec.evaluation.peers.registry import PEERS
from streamrec.evaluation.peers.rivals import Guest
from streamrec.evaluation.plan import Asked, known_names, parse_lag, planned
from streamrec.library.configured import configured
from streamrec.library.given import Columns, events_given, items_given
from streamrec.library.result import Result
from streamrec.settings.places import HOME

Peers = Iterable[str | Guest] | Mapping[str, Guest]


def evaluate(
    events: Any,
    *,
    profile: str = "",
    place: str = HOME,
    items: Any = None,
    peers: Peers = (),
    compare: Sequence[str] = (),
    types: Sequence[str] = (),
    limit: int | None = None,
    warm_up: float = 0.3,
    lag: str | int = "0",
    staleness: bool = False,
    ablation: bool = False,
    neural: bool = False,
    seed: int | None = None,
    settings: Mapping[str, object] | None = None,
    columns: Columns = None,
    item_columns: Columns = None,
) -> Result:
    """Say how good the lists would have been on a log: recommend first, then learn, each event.

    Figures are those of `streamrec evaluate` on the same log (docs/evaluation.md).

    events: a frame of pandas, polars or pyarrow, or a file, by the rules of docs/files.md; or dicts
    by docs/events.md. items: metadata, likewise. profile: "" chooses it from the first events.
    peers: names of built-in peers, or objects with `recommend(user, k)`, which returns item ids,
    best first, or a pair of ids and scores, and `learn(event)`, which gets a dict; a mapping gives
    them names. place: measured with its rules (docs/places.md). settings: any by dotted name.
    columns: our field and the frame's column. Rows that are refused are left out, with a warning,
    and are in `Result.refused`. Raises ConfigurationError.

    >>> import streamrec
    >>> log = [{"user": f"u{n % 7}", "item": f"i{n % 5}", "ts": 60_000 * n} for n in range(300)]
    >>> class Newest:
    ...     def __init__(self):
    ...         self.items = []
    ...     def recommend(self, user, k):
    ...         return self.items[::-1][:k]
    ...     def learn(self, event):
    ...         self.items = [i for i in self.items if i != event["item"]] + [event["item"]]
    >>> found = streamrec.evaluate(log, profile="shop", peers={"newest": Newest()})
    >>> found.figures["scored"]
    210
    >>> found.interval("blend", "newest", metric="recall@10")
    Interval(difference=0.0, low=0.0, high=0.0)
    """
    if limit is not None and limit < 2:
        raise ConfigurationError(f"limit is {limit}: at least 2.")
    if not 0.0 <= warm_up <= 0.99:
        raise ConfigurationError(f"warm_up is {warm_up}: from 0 to 0.99.")
    parse_lag(str(lag))
    names, guests = _peers(peers)
    known_names("compare", compare, OTHER_BLENDS)
    table, told = events_given(events, configured(profile, settings, seed), columns)
    told.warn("events", 2)
    if len(table) < 2:
        raise ConfigurationError(f"There are {len(table)} events: nothing to evaluate.")
    catalogue, of_items = items_given(items, item_columns)
    of_items.warn("items", 2)
    asked = Asked(
        limit=limit, warm_up=warm_up, types=tuple(types), lag=str(lag), peers=names,
        blends=tuple(compare), staleness=staleness, ablation=ablation, neural=neural,
        guests=guests, place=place, choose=not profile and "profile" not in (settings or {}),
    )  # fmt: skip
    plan = planned(
        asked, table, catalogue, lambda chosen: configured(chosen or profile, settings, seed)
    )
    found = evaluate_all(plan, time.monotonic)
    return Result(found.figures, found.places, told.first + of_items.first, events)


def _peers(given: Peers) -> tuple[tuple[str, ...], dict[str, Guest]]:
    """Return names of built-in peers, and those from outside by name."""
    if isinstance(given, Mapping):
        named: list[tuple[str, Any]] = list(given.items())
    else:
        each = [given] if isinstance(given, str) or _recommends(given) else given
        named = [(p if isinstance(p, str) else _name_of(p), p) for p in each]
    names, guests = list[str](), dict[str, Guest]()
    for name, peer in named:
        if name in names or name in guests:
            raise ConfigurationError(f"peers: two are called {name!r}: name them in a dict.")
        if isinstance(peer, str):
            names += known_names("peers", [peer], PEERS)
            continue
        if name in PEERS or not _recommends(peer):
            raise ConfigurationError(
                f"peers: {name!r} is the name of a built-in peer."
                if name in PEERS
                else f"peers: {name} has no methods recommend(user, k) and learn(event)."
            )
        guests[name] = peer
    return tuple(names), guests


def _recommends(peer: Any) -> bool:
    return all(callable(getattr(peer, name, None)) for name in ("recommend", "learn"))


def _name_of(peer: Any) -> str:
    """Return an object's own name, or that of its class, a_word_like_this."""
    own = getattr(peer, "name", None)
    return (
        own
        if isinstance(own, str)
        else re.sub(r"(?<!^)(?=[A-Z])", "_", type(peer).__name__).lower()
    )
