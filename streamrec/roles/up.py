"""`streamrec up`: everything on one machine, until Ctrl-C."""

import time
from contextlib import closing

from rich.console import Console
from rich.markup import escape

from streamrec.config import Settings
from streamrec.roles.local import Local, ending_on_signals

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
            console.print(how_to(local.settings), soft_wrap=True)
            while True:
                local.check()
                time.sleep(CHECK_SECONDS)
        except KeyboardInterrupt:
            console.print("\nstopping: what was taken in is being committed")
    return 0


def how_to(settings: Settings, user: str = "u1", item: str = "i9", ts: int | None = None) -> str:
    """Return lines for the shell that produce an event and read a list, as they are to be typed."""
    kafka = settings.kafka
    url = settings.redis.url if "@" not in settings.redis.url else "$STREAMREC_REDIS"
    moment = "" if ts is None else f',"ts":{ts}'
    event = f'{user}|{{"user":"{user}","item":"{item}","type":"click"{moment}}}'
    # kcat's own partitioner is not the one of Java and of streamrec
    kcat = (
        f"kcat -P -b {kafka.brokers} -t {kafka.events_topic} -K '|' -X partitioner=murmur2_random"
    )
    export = f"export STREAMREC_KAFKA={kafka.brokers}"
    return escape(
        "Produce an event (the key before the bar is the user):\n"
        f"  echo '{event}' | {kcat}\n"
        "Read the user's list, and the one for strangers:\n"
        f"  redis-cli -u {url} get rec:{user}\n"
        f"  redis-cli -u {url} get 'rec:~popular'\n"
        "For the other commands (streamrec recommend, similar, audit, replay ...):\n"
        f"  {export}" + (f" STREAMREC_REDIS={url}\n" if "@" not in settings.redis.url else "\n")
    )


def _print_addresses(console: Console, local: Local, kafka: str | None, redis: str | None) -> None:
    settings = local.settings
    rows = [
        ("Kafka", settings.kafka.brokers + (" (embedded)" if kafka is None else "")),
        ("Redis", settings.redis.url.rpartition("@")[2] + (" (embedded)" if redis is None else "")),
    ]
    for name, port in local.ports.items():
        rows.append((name, f"http://127.0.0.1:{port}/metrics   log {local.folder}/{name}.log"))
    console.print("[bold]streamrec is up.[/] Ctrl-C ends it.\n")
    for name, text in rows:
        console.print(f"  {name:8} {escape(text)}", soft_wrap=True)
    if kafka is None or redis is None:
        console.print("\nThe embedded servers forget everything when this ends.")
    console.print()
