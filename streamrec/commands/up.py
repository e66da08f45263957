"""`streamrec up`: everything on one machine, until Ctrl-C."""

import time
from contextlib import closing

from rich.console import Console
from rich.markup import escape

from streamrec.local.machine import Local, ending_on_signals
from streamrec.local.shell_lines import how_to
from streamrec.settings.sections import Settings

CHECK_SECONDS = 0.5


def run(
    settings: Settings,
    kafka: str | None = None,
    redis: str | None = None,
    *,
    learn: int = 1,
    score: int = 1,
    partitions: int = 4,
) -> int:
    """Run broker, Redis, learn and score until Ctrl-C or SIGTERM; return the exit status.

    A broker or Redis whose address is given is used instead of the embedded one.
    """
    console = Console(highlight=False)
    local = Local(settings)
    with ending_on_signals(), closing(local):
        try:
            with console.status("starting"):
                local.start_servers(kafka, redis, partitions, usual_ports=True)
                local.start_roles(learn, score)
            _print_addresses(console, local, kafka, redis)
            lines = how_to(local.settings, embedded=kafka is None)
            console.print(lines, soft_wrap=True, markup=False)
            while True:
                local.check()
                time.sleep(CHECK_SECONDS)
        except KeyboardInterrupt:
            console.print("\nstopping: what was taken in is being committed")
    return 0


def _print_addresses(console: Console, local: Local, kafka: str | None, redis: str | None) -> None:
    settings = local.settings
    rows = [
        ("Kafka", settings.kafka.brokers + (" (embedded)" if kafka is None else "")),
        ("Redis", settings.redis.url.rpartition("@")[2] + (" (embedded)" if redis is None else "")),
    ]
    for name, address in zip(local.ports, local.metrics_addresses(), strict=True):
        rows.append((name, f"{address}   log {local.folder}/{name}.log"))
    console.print("[bold]streamrec is up.[/] Ctrl-C ends it.\n")
    for name, text in rows:
        console.print(f"  {name:8} {escape(text)}", soft_wrap=True)
    if kafka is None or redis is None:
        console.print("\nThe embedded servers forget everything when this ends.")
    console.print()
