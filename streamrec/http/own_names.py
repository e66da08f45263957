"""Refuses requests for names that are not this machine's, where nothing else asks who it is.

A page of another site can have its own name resolve to this machine (DNS rebinding). The browser
then takes what answers here for that site, and lets the page read it; but it says the name in
`Host`. An address instead of a name cannot be made to lead elsewhere.
"""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from streamrec.settings.serve import ServeSettings

ANY = "*"


class OwnNames:
    """Names by which this machine may be asked without a token."""

    def __init__(self, settings: ServeSettings) -> None:
        own = ("localhost", socket.gethostname(), settings.host, *settings.names)
        self._names = {name.lower() for name in own}
        self._any = ANY in settings.names

    def check(self, request: Request) -> None:
        """Raise HTTPException 421 where the request is for another name."""
        if self._any:
            return
        name = _name(request.headers.get("Host", ""))
        if name not in self._names and not _is_address(name):
            text = f"{name!r} is no name of this machine: ask by its address, or set serve.names"
            raise HTTPException(421, text)


def _name(host: str) -> str:
    """Return the name of a host and a port, "" where there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
