"""The command line without any server: help, errors in one line, exit codes."""

import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streamrec import cli
from streamrec.cli import app

COMMANDS = [*(command.__name__ for command in cli.COMMANDS), "topics", "items", "lists"]
NOW = 1_700_000_000_000
NO_REDIS = ("--redis", "redis://127.0.0.1:1/0")


pytestmark = pytest.mark.usefixtures("nothing_configured")


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_help_lists_every_command_and_the_exit_codes() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for word in (*COMMANDS, "Exit codes", "--set", "--config"):
        assert word in result.output


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, "topics create", "topics check", "items load", "items tune", "lists export"],
)
def test_help_of_every_command(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_help_is_fast() -> None:
    start = time.perf_counter()
    command = [sys.executable, "-X", "importtime", "-m", "streamrec.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and time.perf_counter() - start < 5
    for slow in ("numpy", "numba", "kafka", "redis", "prometheus_client", "torch"):
        assert f" {slow}\n" not in done.stderr


def test_version() -> None:
    assert run("version").output == "streamrec 0.1.0\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["learn", "--nonsense"], ["recommend"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("command", ["learn", "score", "up", "audit", "doctor", "recommend u1"])
def test_unknown_setting(command: str) -> None:
    result = run("--set", "lists.lenght=3", *command.split())
    assert result.exit_code == 78
    assert result.stderr.startswith("streamrec: --set lists.lenght: unknown setting")
    assert "did you mean lists.length?" in result.stderr and result.stderr.count("\n") == 1


def test_other_configuration_errors() -> None:
    assert run("--set", "lists.length", "audit").exit_code == 78
    assert run("--set", "lists.length=0", "audit").exit_code == 78
    assert run("--config", "none.toml", "audit").exit_code == 78
    assert run("--kafka", "nohost", "audit").exit_code == 78
    Path("streamrec.toml").write_text("[list]\nlength = 1\n")
    result = run("audit")
    assert result.exit_code == 78 and "streamrec.toml:1" in result.stderr


def test_help_and_version_do_not_need_a_right_configuration() -> None:
    Path("streamrec.toml").write_text("wrong")
    assert run("version").exit_code == run("audit", "--help").exit_code == 0


@pytest.mark.parametrize("command", ["recommend u1", "similar i1", "export --state out"])
def test_no_redis(command: str) -> None:
    result = run(*NO_REDIS, *command.split())
    assert result.exit_code == 69
    assert result.stderr.startswith("streamrec: Redis did not answer")


def test_a_role_ends_with_a_line_of_its_log() -> None:
    result = run(*NO_REDIS, "--set", "logging.format=json", "score")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert result.exit_code == 69 == lines[-1]["exit_code"]
    assert lines[-1]["level"] == "error" and "did not answer" in lines[-1]["message"]
    assert lines[0]["message"] == "starting"
    assert lines[0].keys() >= {"role", "version", "profile", "redis"}
    assert "kernels are ready" in [line["message"] for line in lines]


@pytest.mark.parametrize("arguments", [[], ["u1"], ["u1", "i1", "--stdin"], ["u1", "--stdin"]])
def test_send_needs_an_event(arguments: list[str]) -> None:
    assert run("send", *arguments).exit_code == 2


class Sent:
    """Stands for Kafka: keeps what is produced."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes | None, bytes | None]] = []

    def produce(self, topic: str, value: bytes | None, *, key: bytes | None = None) -> None:
        self.messages.append((topic, key, value))

    def flush(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    log = Sent()
    monkeypatch.setattr("streamrec.transport.kafka.open_log.open_for_command", lambda settings: log)
    return log


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["", "i1"], "bad_id"),
        (["u1", "a{b}"], "bad_id"),
        (["u1", "i1", "--type", "nonsense"], "unknown_type"),
        (["u1", "i1", "--ts", "yesterday"], "schema"),
        (["u1", "i1", "--ts", "99999999999999"], "future"),
        (["u1", "i1", "--value", "1e9"], "bad_number"),
    ],
)
def test_send_refuses_what_the_learners_would(
    sent: Sent, arguments: list[str], reason: str
) -> None:
    result = run("send", *arguments)
    assert result.exit_code == 65
    assert result.stderr.startswith(f"line 1: {reason}: ")
    assert "sent 0" in result.stdout


def test_send_lines(sent: Sent) -> None:
    result = run("send", "--stdin", stdin='{"user": 1}\n\nnot json\n')
    assert result.exit_code == 65
    assert "line 1: schema" in result.stderr and "line 3: malformed" in result.stderr
    assert "refused 2" in result.stdout


def test_send_one_event_of_a_mapped_shape() -> None:
    result = run("--set", "events.mapping.user=actor.id", "send", "u1", "i1")
    assert result.exit_code == 78 and "--stdin" in result.stderr


def test_send_one(sent: Sent) -> None:
    arguments = ["--type", "view", "--ts", "5", "--id", "e1", "--value", "2"]
    result = run("send", "u1", "i9", *arguments)
    assert result.exit_code == 0 and result.stdout == "sent 1 to streamrec.events\n"
    [(topic, key, value)] = sent.messages
    assert (topic, key) == ("streamrec.events", b"u1")
    event = {"user": "u1", "item": "i9", "type": "view", "ts": 5, "id": "e1", "value": 2.0}
    assert json.loads(value or b"") == event


def test_send_lines_as_they_are(sent: Sent) -> None:
    line = '{"user": 7, "item": "i9", "type": "click", "own": true}'
    result = run("send", "--stdin", stdin=f"{line}\nbad\n{line}\n")
    assert result.exit_code == 65
    assert sent.messages == [("streamrec.events", b"7", line.encode())] * 2


class Mapped(Exception):
    """Ends a command where it has read its file."""


@pytest.mark.parametrize(
    ("command", "reader"),
    [
        ("evaluate", "files.events.read_events"),
        ("replay", "files.events.read_events"),
        ("bootstrap", "files.events.read_events"),
        ("demo --events", "demo.demo.read_events"),
        ("items load", "files.items.read_counted"),
    ],
)
def test_one_mapping_serves_every_command_that_reads_a_file(
    command: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = f"streamrec.{reader}".rpartition(".")
    read = getattr(import_module(module), name)

    def stop(*given: Any) -> None:
        found = read(*given)
        raise Mapped(len(found[0] if isinstance(found, tuple) else found))

    monkeypatch.setattr(f"{module}.{name}", stop)
    config, log = tmp_path / "s.toml", tmp_path / "log.csv"
    mapping = '[events.mapping]\nuser = "who"\nitem = "what"\nts = "on"\n'
    config.write_text(f'{mapping}[items.mapping]\nitem = "what"\ntitle = "who"\n')
    log.write_text("who;what;on\n" + "".join(f"u{n};i{n};{NOW + n}\n" for n in range(3)))
    result = run("--config", str(config), *command.split(), str(log))
    assert isinstance(result.exception, Mapped), result.output
    assert result.exception.args == (3,)
    assert not isinstance(run(*command.split(), str(log)).exception, Mapped), "none is found"
