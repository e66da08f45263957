"""What `streamrec explain` and the HTTP role answer."""

import msgspec

from streamrec.settings.places import HOME


class Reasons(msgspec.Struct):
    """What puts an item above the mean of the candidates: shares that sum to 1, the largest first.

    `shares` are of its score, by source, extra, network and neural; `past` of what the user's past
    items add to it. Without any of either there is nothing.
    """

    shares: dict[str, float]
    past: dict[str, float]


class Answer(msgspec.Struct):
    """Why an item is, or is not, in a user's list made now."""

    user: str
    item: str
    listed: bool
    rank: int | None  # in the list, else among all candidates; None: not a candidate
    why_not: str
    score: float | None
    parts: dict[str, float]  # above the candidates' mean, by source, extra, network and rules
    past: dict[str, float]  # the user's past items: what each adds, against silence of the sources
    ranks: dict[str, float]  # the item's rank in each source's own order, 1 is the first
    mean: float = 0.0  # of the candidates' scores: score = mean + the sum of parts
    place: str = HOME
    rules: list[str] = []  # what the place's pins, boosts and caps do to a candidate
    network_responds_to: dict[str, float] = {}  # its part's change by each source; these do not sum
