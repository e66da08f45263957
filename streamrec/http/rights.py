"""Who may read and who may write, and how often: bearer tokens, and a bucket for each."""

import hmac
import math
import time
from collections.abc import Callable
from typing import Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request

from streamrec.settings.serve import ServeSettings

Right = Literal["read", "write", "events", "admin"]
BURST_SECONDS = 2.0
MOST_BUCKETS = 100_000


class Rights:
    """The tokens of each right; a token may have several."""

    def __init__(self, settings: ServeSettings) -> None:
        self._tokens: dict[Right, list[bytes]] = {
            "read": [token.encode() for token in settings.read_tokens],
            "write": [token.encode() for token in settings.write_tokens],
            "events": [
                token.encode() for token in (*settings.write_tokens, *settings.events_tokens)
            ],
            "admin": [token.encode() for token in settings.admin_tokens],
        }
        self._all = sorted({token for tokens in self._tokens.values() for token in tokens})
        self._closed = any(self._tokens[right] for right in ("read", "write", "events"))

    def token(self, request: Request) -> bytes | None:
        """Return the token of the request, if it is one of ours."""
        if not self._all:
            return None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        sent = given.strip().encode() if scheme.lower() == "bearer" else b""
        # all of them are compared, in a time that says nothing of them
        found = [token for token in self._all if hmac.compare_digest(sent, token)]
        return found[0] if found else None

    def is_open(self, right: Right) -> bool:
        """Return whether a right needs no token."""
        if right == "admin" or self._tokens[right]:
            return False
        return right == "read" or not self._closed

    def allows(self, token: bytes | None, right: Right) -> bool:
        """Return whether who has this token may."""
        return token in self._tokens[right] or self.is_open(right)

    def check(self, token: bytes | None, right: Right) -> None:
        """Raise HTTPException 401 where there is no valid token, 403 where it lacks the right.

        Without any tokens everything is open, but for what an admin may: without admin_tokens
        nobody may. With any others, only reading can be without.
        """
        if self.allows(token, right):
            return
        if token is not None:
            raise HTTPException(403, f"This token has no right to it: see serve.{right}_tokens")
        if right == "admin" and not self._tokens[right]:
            raise HTTPException(403, "Nobody may forget users: set serve.admin_tokens")
        text = f"Send the header `Authorization: Bearer TOKEN` with one of serve.{right}_tokens"
        raise HTTPException(401, text, {"WWW-Authenticate": "Bearer"})


class RateLimit:
    """A bucket for each token or address, which fills at `rate` requests a second.

    It holds 2 seconds' requests, and at least one. Of the buckets the latest 100,000 are kept.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._most = max(1.0, rate * BURST_SECONDS)
        self._buckets: dict[object, tuple[float, float]] = {}  # what is in it, when that was

    def check(self, who: object) -> None:
        """Take one request out of a bucket; raises HTTPException 429 where it is empty."""
        if not self._rate:
            return
        now = self._clock()
        held, then = self._buckets.pop(who, (self._most, now))
        held = min(self._most, held + (now - then) * self._rate)
        allowed = held >= 1
        self._buckets[who] = (held - allowed, now)
        if len(self._buckets) > MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]  # the one that was used longest ago
        if not allowed:
            wait = str(math.ceil((1 - held) / self._rate))
            text = f"More than {self._rate:g} requests a second (serve.requests_per_second)"
            raise HTTPException(429, text, {"Retry-After": wait})
