"""What other machines can read along or connect to, by the settings alone."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from streamrec.errors import ConfigurationError
from streamrec.monitoring.log_lines import without_password
from streamrec.settings.sections import Settings
from streamrec.settings.serve import has_console

TLS = ("SSL", "SASL_SSL")


def check_plaintext(settings: Settings) -> None:
    """Raise ConfigurationError for a connection to another machine that is not encrypted."""
    found = list(_plaintext(settings))
    if found and not settings.security.allow_plaintext:
        raise ConfigurationError(
            f"{found[0]}. Use TLS (docs/operations.md#security), or set "
            "security.allow_plaintext = true where the network is your own"
        )


def open_ends(settings: Settings) -> Iterator[str]:
    """Yield what is open to other machines, a sentence each."""
    yield from _plaintext(settings)
    if not is_loopback(settings.metrics.host):
        yield (
            f"metrics.host is {settings.metrics.host}: whoever reaches the port reads the metrics"
        )
    serve = settings.serve
    if not is_loopback(serve.host) and not serve.read_tokens:
        tokens = serve.write_tokens or serve.events_tokens
        what = "reads lists" if tokens else "reads lists, sends events and items"
        yield f"serve.host is {serve.host}: whoever reaches the port {what}, without a token"
    if "*" in serve.names and not serve.read_tokens:
        yield "serve.names has *: pages of other sites may read lists by a browser on this network"
    if not is_loopback(serve.host) and has_console(serve):
        yield "serve.console is on: whoever reaches the port sees users and clicks for them"


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own, by its text alone: no name is looked up."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _plaintext(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    protocol = kafka.client_settings.get("security.protocol", "PLAINTEXT").upper()
    away = [host for host in _hosts(kafka.brokers) if not is_loopback(host)]
    if away and protocol not in TLS:
        yield f"kafka.brokers: {away[0]} is another machine, and security.protocol is {protocol}"
    scheme, _, places = without_password(settings.redis.url).partition("://")
    away = [host for host in _hosts(places) if not is_loopback(host)]
    if away and scheme in ("redis", "redis+sentinel"):
        yield f"redis.url: {away[0]} is another machine, and {scheme}:// is not encrypted"


def _hosts(places: str) -> list[str]:
    """Return the hosts of host:port,host:port; a port may be missing."""
    return [re.sub(r":\d+$", "", place.strip()) for place in places.split(",")]
