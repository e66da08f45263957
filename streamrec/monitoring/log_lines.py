"""Structured logs on standard error, as text or one JSON object a line.

The fields of a line are the `extra` of the call: `logger.info("committed", extra={"shard": "u3"})`.
"""

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from streamrec.settings.logs import LoggingSettings

logger = logging.getLogger(__name__)

NOISY = ("kafka", "confluent_kafka", "asyncio", "uvicorn")
"""Libraries that log what they retry; of them only warnings are shown."""
REPEAT_SECONDS = {**dict.fromkeys(NOISY, 60.0), "streamrec.http": 1.0, "streamrec.roles": 10.0}
"""Between two warnings of one place in the code: of libraries, of what anybody may ask for, and of
what a role tries again, there only if all their fields are the same."""
MOST_HELD = 1000


def set_up_logs(
    settings: LoggingSettings, *, quiet: bool = False, stream: TextIO | None = None
) -> None:
    """Send all logs of this process to `stream` (standard error) in the configured form.

    `quiet` shows errors only, and none of the libraries', unless the level is debug.
    """
    output = logging.StreamHandler(stream if stream is not None else sys.stderr)
    output.addFilter(Seldom())
    output.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    level = settings.level.upper()
    # at debug, libraries tell their whole configuration, passwords among it
    others = "INFO" if level == "DEBUG" else level
    noisy = {"INFO": "WARNING", "ERROR": "CRITICAL"}.get(level, others)
    if quiet and level != "DEBUG":
        level, others, noisy = "ERROR", "ERROR", "CRITICAL"
    logging.basicConfig(level=others, handlers=[output], force=True)
    logging.getLogger("streamrec").setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(noisy)


def without_password(url: str) -> str:
    """Return scheme, hosts and ports of an address: what else is in it may be a secret.

    It is cut by hand: a password with # / ? or [ in it is no URL, and what parses such a one takes
    parts of the password for other things. An @ behind an option may be part of a password.
    """
    scheme, _, rest = url.partition("://")
    place = rest.rpartition("@")[2]
    form = _SOCKET if scheme == "unix" else _HOSTS
    found = None if _AT_IN_OPTIONS.search(rest) else form.match(place)
    return f"{scheme}://{found.group()}" if found else f"{scheme}://..."


class Seldom(logging.Filter):
    """Lets each warning through once in REPEAT_SECONDS, with `repeated`: how many were not.

    What a library warns of in its loop (kafka-python of a step that took 0.1 s) was 9 of 10 lines
    under load; `serve` without Redis wrote as many lines as there were requests, `learn` and
    `score` one at each try. Held are at most MOST_HELD entries. What a library calls an error is a
    warning too: at level error somebody must act, and here its caller tries again, or ends with an
    error of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}  # shown when, left out since

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is to be shown."""
        name = record.name.split(".")
        if record.levelno > logging.WARNING and name[0] in NOISY:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        seconds = REPEAT_SECONDS.get(name[0]) or REPEAT_SECONDS.get(".".join(name[:2]))
        if record.levelno != logging.WARNING or seconds is None:
            return True
        fields = str(_fields(record)) if name[:2] == ["streamrec", "roles"] else ""
        place = (record.pathname, record.lineno, fields)
        shown, left_out = self._seen.get(place, (-math.inf, 0))
        if len(self._seen) >= MOST_HELD:
            self._seen.clear()
        if record.created - shown < seconds:
            self._seen[place] = (shown, left_out + 1)
            return False
        self._seen[place] = (record.created, 0)
        if left_out:
            record.repeated = left_out
        return True


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.123Z info streamrec.roles.learn: committed shard=u3 events=12`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and the traceback's lines if there is one."""
        start = f"{_time(record)} {record.levelname.lower()} {record.name}: "
        pairs = [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
        line = " ".join([start + _one_line(record.getMessage()), *pairs])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and error if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record).items():
            line[f"{name}_" if name in line else name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the call gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    """Return a value bare where that is plain, else as JSON: ids come from outside."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]


_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_HOST = r"(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d+)?"
_HOSTS = re.compile(rf"{_HOST}(,{_HOST})*(?=[/?]|$)", re.ASCII)
_AT_IN_OPTIONS = re.compile(r"[?&]\w+=.*@", re.DOTALL)
_SOCKET = re.compile(r"[^?]+")
_PLAIN = re.compile(r"[\w.:/@%+*~-]+", re.ASCII)
