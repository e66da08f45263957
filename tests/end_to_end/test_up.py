"""`streamrec up`, and `streamrec replay` into it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.commands import Command

EVENTS = 2000

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Command]:
    running = Command(tmp_path, "up", "--learn", "2", "--partitions", "2")
    yield running
    running.kill()


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    file = tmp_path / "clicks.csv"
    rows = (f"u{n % 37},i{n * n % 101},{1_732_300_000 + n}" for n in range(EVENTS))
    file.write_text("user,item,ts\n" + "\n".join(rows) + "\n")
    return file


def test_replay_into_up(up: Command, log_file: Path) -> None:
    up.wait_for("streamrec recommend", 100)
    found = re.search(r"export STREAMREC_KAFKA=(\S+) STREAMREC_REDIS=(\S+)", up.output.read_text())
    assert found is not None
    environment = {**os.environ, "STREAMREC_KAFKA": found[1], "STREAMREC_REDIS": found[2]}

    def streamrec(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streamrec.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    def counted() -> dict[str, int]:
        report = json.loads(streamrec("audit", "--wait", "20", "--json"))
        totals: dict[str, int] = {}
        for shard in report["shards"]:
            if shard["topic"].endswith("events"):
                for name, count in shard["counters"].items():
                    totals[name] = totals.get(name, 0) + count
        return totals

    assert f"{EVENTS:,} learnt" in streamrec("replay", str(log_file), "--ids")
    assert counted()["accepted"] == EVENTS
    streamrec("replay", str(log_file), "--ids", "--speed", "4000")
    assert counted()["duplicate"] == EVENTS, "the same ids again"
    streamrec("replay", str(log_file), "--time-factor", "5000")
    counts = counted()
    assert counts["accepted"] == 2 * EVENTS, "without ids they count again"
    with log_file.open("a") as log:
        log.write("u1,,1732300000\n")
    words = streamrec("replay", str(log_file), status=65)
    assert f"line {EVENTS + 2}: item is missing" in words and "sent" not in words
    words = streamrec("replay", str(log_file), "--max-refused", "1", status=65)
    assert f"{EVENTS + 1:,} rows, {EVENTS:,} events, 1 refused: 1 schema" in words
    assert f"{EVENTS:,} learnt; 1 rows of the file were refused before." in words
    ours = ("--set", "events.weights.share=1")  # a weight that the learners do not have
    line = (*ours, "replay", str(log_file), "--as", "share")
    words = streamrec(*line, "--max-refused", "1", status=65)
    assert f"0 learnt, {EVENTS:,} rejected by `streamrec learn`" in words
    streamrec(*line, "--skip-refused")
    assert counted()["rejected"] == 2 * EVENTS
    list_of_one = json.loads(streamrec("recommend", "u1", "--json"))
    assert list_of_one["items"]
    stop(up)


def stop(up: Command) -> None:
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(15) == 0
    assert up.all_gone(10), up.alive()
    assert "Traceback" not in up.output.read_text()


def test_a_dead_child_ends_it_with_the_end_of_its_log(up: Command) -> None:
    up.wait_for("streamrec recommend", 100)
    victim = next(pid for pid, line in up.alive().items() if "streamrec.cli score" in line)
    os.kill(victim, signal.SIGKILL)
    assert up.process.wait(20) == 70
    assert "score ended by itself" in up.output.read_text()
    assert up.all_gone(10), up.alive()


def replay(*arguments: str) -> Any:
    command = [sys.executable, "-m", "streamrec.cli", "replay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--speed", "0"), "--speed must be above 0"),
        (("--speed", "5", "--time-factor", "2"), "exclude each other"),
        (("--columns", "user"), "FIELD=COLUMN"),
    ],
)
def test_wrong_options_of_replay(log_file: Path, arguments: tuple[str, ...], text: str) -> None:
    done = replay(str(log_file), *arguments)
    assert done.returncode == 78
    assert text in done.stderr
    assert "Traceback" not in done.stderr
