"""The section of the HTTP role."""

from typing import Annotated, Literal

from msgspec import Meta

from streamrec.settings.types import Name, NonNegative, Positive, Section, Size

OWN_ADDRESSES = ("127.0.0.1", "::1", "localhost")


class ServeSettings(Section, frozen=True, kw_only=True):
    """Lists and events over HTTP: the role `serve`, which needs the extra of that name."""

    host: Name = "127.0.0.1"
    """Address to listen on; any but this machine's own needs read_tokens."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8080
    """Port to listen on."""
    read_tokens: tuple[Name, ...] = ()
    """Bearer tokens that may read; none: everybody who can reach the port may."""
    write_tokens: tuple[Name, ...] = ()
    """Those that may send events and items; none: everybody may if there are no read_tokens too."""
    events_tokens: tuple[Name, ...] = ()
    """Those that may send events and nothing else, as for a page that everybody can read."""
    admin_tokens: tuple[Name, ...] = ()
    """Those that may have a user forgotten, and nothing else; none: nobody may."""
    names: tuple[Name, ...] = ()
    """Host names to answer to without a token, beside localhost, addresses, its own; "*": any."""
    without_tokens: bool = False
    """Listen on other addresses without tokens, e.g. behind a proxy that asks for them."""
    body_bytes: Size = 1_048_576
    """Longest body of a request."""
    events_per_request: Size = 1000
    """Most events in one request."""
    read_seconds: Positive = 1.0
    """A request that Redis has not answered after this long is answered with 503."""
    write_seconds: Positive = 5.0
    """A request that Kafka has not acknowledged after this long is answered with 503."""
    requests_per_second: NonNegative = 0.0
    """Of one token, or one address without: what is more, after a burst, gets 429; 0: no limit."""
    cors_origins: tuple[Name, ...] = ()
    """Web pages that may ask from a browser, e.g. "https://shop.example"; "*": all."""
    access_log: bool = False
    """A line of the log for each request; it names the path's pattern, and no user."""
    console: Literal["auto", "on", "off"] = "auto"
    """The page /console, where a click writes; auto: where only this machine can reach it."""
    console_pictures: str = ""
    """Attribute of items with the address of a picture, which the console shows; none: none."""
    metrics_of: tuple[str, ...] = ()
    """Addresses of /metrics for the console; none: learn, score and train by metrics.port."""


def has_console(settings: ServeSettings) -> bool:
    """Return whether the page /console is there."""
    tokens = settings.read_tokens or settings.write_tokens or settings.events_tokens
    only_here = settings.host in OWN_ADDRESSES and not tokens
    return settings.console == "on" or (settings.console == "auto" and only_here)
