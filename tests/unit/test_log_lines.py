"""Log lines: one line a record whatever the ids hold, in both forms."""

import io
import json
import logging

import pytest

from streamrec.monitoring.log_lines import MOST_HELD, Seldom, set_up_logs, without_password
from streamrec.settings.logs import LoggingSettings


def logged(form: str, level: str = "info", **values: object) -> str:
    stream = io.StringIO()
    set_up_logs(LoggingSettings(format=form, level=level), stream=stream)
    logging.getLogger("streamrec.test").info("committed\nx", extra=values)
    return stream.getvalue()


def test_text() -> None:
    line = logged("text", shard="u3", events=12, user='a"\n\u2028b', url="redis://h:1/0")
    assert line.count("\n") == 1
    assert " info streamrec.test: committed\\nx shard=u3 events=12 " in line
    assert 'user="a\\"\\n\\u2028b" url=redis://h:1/0' in line


def test_json() -> None:
    line = logged("json", shard="u3", events=12, user='a"\n\u2028', time="own")
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert entry["message"] == "committed\nx" and entry["level"] == "info"
    assert (entry["shard"], entry["events"], entry["user"]) == ("u3", 12, 'a"\n\u2028')
    assert entry["time"].endswith("Z") and entry["time_"] == "own"


def test_level() -> None:
    assert logged("text", level="warning") == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_traceback(form: str) -> None:
    stream = io.StringIO()
    set_up_logs(LoggingSettings(format=form), stream=stream)
    try:
        raise ValueError("cause")
    except ValueError:
        logging.getLogger("streamrec.test").exception("failed")
    assert "ValueError: cause" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1 or form == "text"


def test_a_warning_that_others_repeat_comes_seldom_and_says_how_often_it_was_left_out() -> None:
    stream = io.StringIO()
    set_up_logs(LoggingSettings(), stream=stream)
    root = logging.getLogger()

    def warn(second: float, name: str, line: int, level: int = logging.WARNING) -> None:
        record = logging.LogRecord(name, level, "loop.py", line, "at %s", (second,), None)
        record.created = second
        root.handle(record)

    for second in range(130):
        warn(second, "kafka.net.selector", 657)
    assert [line.partition(": ")[2] for line in stream.getvalue().splitlines()] == [
        "at 0", "at 60 repeated=59", "at 120 repeated=59",
    ]  # fmt: skip
    warn(130, "kafka.net.selector", 700)  # another warning
    for _ in range(2):
        warn(130, "kafka.net.selector", 657, logging.ERROR)  # an error of a library is no more
        warn(130, "streamrec.roles.learn", 30, logging.ERROR)
        warn(130, "streamrec.roles.learn", 30)
    assert len(stream.getvalue().splitlines()) == 3 + 1 + 3
    assert [line.split()[1] for line in stream.getvalue().splitlines()[4:]] == [
        "error", "warning", "error",
    ]  # fmt: skip
    warn(200, "kafka.net.transport", 1, logging.ERROR)
    assert " warning kafka.net.transport: at 200\n" in stream.getvalue()
    stream.truncate(stream.seek(0))
    for hundredth in range(250):  # as many as there are requests
        warn(hundredth / 100, "streamrec.http.routes", 83)
    assert [line.partition(": ")[2] for line in stream.getvalue().splitlines()] == [
        "at 0.0", "at 1.0 repeated=99", "at 2.0 repeated=99",
    ]  # fmt: skip


def test_what_a_role_tries_again_is_said_seldom_but_nothing_else_is_left_out() -> None:
    stream, root = io.StringIO(), logging.getLogger()
    set_up_logs(LoggingSettings(), stream=stream)

    def warn(second: float, partition: int) -> None:
        record = logging.LogRecord(
            "streamrec.roles.learning.stage", logging.WARNING, "stage.py", 252, "again", (), None
        )
        record.created, record.partition = second, partition
        root.handle(record)

    for second in range(21):
        for partition in (1, 2):
            warn(second, partition)
    of_one = ["again partition=1", *["again partition=1 repeated=9"] * 2]
    lines = [line.partition(": ")[2] for line in stream.getvalue().splitlines()]
    assert [line for line in lines if "partition=1" in line] == of_one
    assert len(lines) == 2 * len(of_one)
    for partition in range(3 * MOST_HELD):  # each another one
        warn(22, partition)
    assert len(stream.getvalue().splitlines()) == len(lines) + 3 * MOST_HELD - 2
    [held] = [len(f._seen) for h in root.handlers for f in h.filters if isinstance(f, Seldom)]
    assert held <= MOST_HELD


def test_at_level_error_a_library_tells_nothing() -> None:
    stream = io.StringIO()
    set_up_logs(LoggingSettings(level="error"), stream=stream)
    logging.getLogger("kafka.net.transport").error("no answer")
    assert stream.getvalue() == ""
    logging.getLogger("streamrec.roles").error("stage stopped")
    assert " error streamrec.roles: stage stopped" in stream.getvalue()


SECRET = "s3cr3tPW"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://u:{SECRET}@h:1/0", "redis://h:1"),
        (f"redis://:{SECRET}@[::1]:1/0", "redis://[::1]:1"),
        (f"redis://:a#{SECRET}@h:1/0", "redis://h:1"),
        (f"redis://:a/{SECRET}@h:1/0", "redis://h:1"),
        (f"redis://:a?{SECRET}@h:1/0", "redis://h:1"),
        (f"redis://:a[{SECRET}@h:1/0", "redis://h:1"),
        (f"redis://:a@{SECRET}@h:1/0", "redis://h:1"),
        (f"redis://h:1/0?password={SECRET}", "redis://h:1"),
        (f"rediss+sentinel://u:{SECRET}@a:1,b:2/shop/0", "rediss+sentinel://a:1,b:2"),
        (f"unix://u:{SECRET}@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        (f"redis://:{SECRET}", "redis://..."),
        (f"redis://h:1/0?password=a@{SECRET}", "redis://..."),
        (f"redis://h:1/0?db=0&password=a@{SECRET}", "redis://..."),
        (f"unix:///run/redis.sock?password=a@{SECRET}", "unix://..."),
        ("redis://h:1/0", "redis://h:1"),
    ],
)
def test_without_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_libraries_tell_nothing_at_debug() -> None:
    stream = io.StringIO()
    set_up_logs(LoggingSettings(level="debug"), stream=stream)
    for name in ("kafka.net.manager", "confluent_kafka", "redis", "another.library"):
        logging.getLogger(name).debug("password=%s", SECRET)
    logging.getLogger("streamrec.roles").debug("ours")
    assert SECRET not in stream.getvalue() and "ours" in stream.getvalue()
