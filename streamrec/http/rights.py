"""Who may read and who may write: bearer tokens."""

import hmac
from typing import Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request

from streamrec.settings.serve import ServeSettings

Right = Literal["read", "write"]


class Rights:
    """The tokens of each right; a token may have both."""

    def __init__(self, settings: ServeSettings) -> None:
        self._tokens: dict[Right, list[bytes]] = {
            "read": [token.encode() for token in settings.read_tokens],
            "write": [token.encode() for token in settings.write_tokens],
        }

    def check(self, request: Request, right: Right) -> None:
        """Raise HTTPException 401 for a request without a valid token, 403 without the right.

        Without any tokens everything is open. With tokens for reading alone, writing is closed.
        """
        tokens = self._tokens[right]
        if not tokens and (right == "read" or not self._tokens["read"]):
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        sent = given.strip().encode() if scheme.lower() == "bearer" else b""
        if _is_one_of(sent, tokens):
            return
        if any(_is_one_of(sent, others) for others in self._tokens.values()):
            raise HTTPException(403, f"This token may not {right}: see serve.{right}_tokens")
        text = f"Send the header `Authorization: Bearer TOKEN` with one of serve.{right}_tokens"
        raise HTTPException(401, text, {"WWW-Authenticate": "Bearer"})


def _is_one_of(sent: bytes, tokens: list[bytes]) -> bool:
    """Compare with all, in a time that says nothing of them."""
    return any([hmac.compare_digest(sent, token) for token in tokens])
