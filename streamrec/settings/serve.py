"""The section of the HTTP role."""

from typing import Annotated

from msgspec import Meta

from streamrec.settings.types import Name, Section


class ServeSettings(Section, frozen=True, kw_only=True):
    """Lists over HTTP: the role `serve`, which needs the extra of that name."""

    host: Name = "127.0.0.1"
    """Address to listen on; any but this machine's own needs read_tokens."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8080
    """Port to listen on."""
    read_tokens: tuple[str, ...] = ()
    """Bearer tokens that may read; none: everybody who can reach the port may."""
    without_tokens: bool = False
    """Listen on other addresses without tokens, e.g. behind a proxy that asks for them."""
