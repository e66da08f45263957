"""Which port a process tells its metrics on: one for each role, so that Prometheus finds them."""

from streamrec.settings.sections import MetricsSettings

ROLES = ("learn", "score", "train", "serve")
BETWEEN = 10
TRIED = 20


def ports_of(settings: MetricsSettings, role: str) -> range:
    """Return the ports that a process of this role tries, in order; none when metrics are off.

    The first is metrics.port for `learn`, the next one for `score`, and so on. Further processes of
    a role on one machine take ports 10, 20, ... above, so that a port tells the role.
    """
    if settings.port == 0:
        return range(0)
    first = settings.port + ROLES.index(role)
    return range(first, min(first + BETWEEN * TRIED, 65_536), BETWEEN)


def setting_for(role: str, port: int) -> int:
    """Return the metrics.port with which a process of this role begins at `port`."""
    return port - ROLES.index(role)


def reachable(host: str) -> str:
    """Return the address at which a server that listens on `host` is reached from here."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
