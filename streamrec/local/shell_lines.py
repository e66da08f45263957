"""The lines that `up` and `demo` print: for the shell, each works as it is printed."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from streamrec.settings.sections import Settings
from streamrec.settings.serve import has_console

OLDEST = (2, 2)
"""Older librdkafka stumbles over the fields that the embedded broker adds to its greeting."""


def how_to(
    settings: Settings,
    user: str = "u1",
    item: str = "i9",
    ts: int | None = None,
    *,
    embedded: bool = True,
) -> str:
    """Return lines that produce an event and read a list."""
    kafka, url = settings.kafka, settings.redis.url
    shown = not set("@?") & set(url)  # no password on the screen
    address = f" STREAMREC_REDIS={url}" if shown else ""
    url = url if address else "$STREAMREC_REDIS"
    moment = "" if ts is None else f',"ts":{ts}'
    event = f'{user}|{{"user":"{user}","item":"{item}","type":"click"{moment}}}'
    prefix, note = older_kcat() if embedded else ("", "")
    # kcat's own partitioner is not the one of Java and of streamrec
    kcat = f"{prefix}kcat -P -b {kafka.brokers} -t {kafka.events_topic}"
    return (
        "Produce an event (the key before the bar is the user):\n"
        f"  echo '{event}' | {kcat} -K '|' -X partitioner=murmur2_random\n"
        + note
        + "Read the user's list, and the one for strangers:\n"
        f"  redis-cli -u {url} get rec:{user}\n"
        f"  redis-cli -u {url} get 'rec:~popular'\n"
        "The same with streamrec's own commands:\n"
        f"  export STREAMREC_KAFKA={kafka.brokers}{address}\n"
        f"  streamrec send {user} {item}" + (f" --ts {ts}" if ts is not None else "") + "\n"
        f"  streamrec recommend {user}\n"
    )


def where_to_look(settings: Settings, page: str | None) -> str:
    """Return a line that names the address of the console, or says how there would be one."""
    if page is not None:
        return f"Look at lists and click in them, in a browser:\n  {page}\n"
    if has_console(settings.serve):
        return "There is no page to look at: pip install 'streamrec[serve]'\n"
    return "There is no page to look at: serve.console is off, or serve lets other machines in\n"


def older_kcat() -> tuple[str, str]:
    """Return what to put before this machine's kcat, and a remark; both empty for a recent one."""
    version = kcat_version()
    if version is None or version >= OLDEST:
        return "", ""
    found = ".".join(map(str, version))
    remark = f"  (This kcat has librdkafka {found}, too old for the embedded broker"
    library = newer_library()
    if library is None:
        return "", f"{remark}: get one with 2.2 or later.)\n"
    return f"LD_PRELOAD={library} ", f"{remark}; so it borrows confluent-kafka's.)\n"


def kcat_version() -> tuple[int, ...] | None:
    """Return the version of the librdkafka that the kcat on PATH uses; None without a kcat."""
    program = shutil.which("kcat")
    if program is None:
        return None
    try:
        shown = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"librdkafka v?(\d+)\.(\d+)\.(\d+)", shown)
    return tuple(map(int, version.groups())) if version else None


def newer_library() -> Path | None:
    """Return the librdkafka inside the package confluent-kafka, where it is a file of Linux."""
    package = find_spec("confluent_kafka")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parents[1] / "confluent_kafka.libs"
    return next(iter(sorted(folder.glob("librdkafka-*.so*"))), None)
