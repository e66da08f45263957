"""`streamrec demo` as a person runs it: a subprocess, its JSON, its children, its Ctrl-C."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

USERS, ITEMS, EVENTS = 300, 400, 60_000
STOP_SECONDS = 10.0


@pytest.fixture(scope="module")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A click log of users with tastes: most of what one takes is of one of 20 kinds."""
    dice = random.Random(1)
    file = tmp_path_factory.mktemp("demo") / "clicks.csv"
    lines = ["user_id,item_id,event_type,ts"]
    for n in range(EVENTS):
        user = dice.randrange(USERS)
        kind = user % 20 if dice.random() < 0.8 else dice.randrange(20)
        item = kind + 20 * int(dice.paretovariate(1.0)) % ITEMS
        lines.append(f"u{user},i{item},click,{1_732_300_000_000 + 997 * n}")
    file.write_text("\n".join(lines) + "\n")
    return file


def seen_by(log_file: Path, user: str) -> set[str]:
    rows = (line.split(",") for line in log_file.read_text().splitlines())
    return {row[1] for row in rows if row[0] == user}


class Demo:
    """A running demonstration; every process of it carries a mark in its environment."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = folder / "output.txt"
        self._mark = f"STREAMREC_TEST_MARK={folder.name}-{os.getpid()}"
        name, _, value = self._mark.partition("=")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamrec.cli", "demo", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
                env={**os.environ, name: value, "COLUMNS": "100", "TMPDIR": str(folder)},
            )

    def alive(self) -> list[str]:
        """Return the command lines of all processes that descend from the demonstration."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def wait_for(self, text: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)

    def all_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.alive()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Any]:
    running: list[Demo] = []

    def start(*arguments: str) -> Demo:
        running.append(Demo(tmp_path, *arguments))
        return running[-1]

    yield start
    for one in running:
        one.kill()


pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def test_it_replays_a_file_and_one_click_changes_a_list(
    demo: Any, log_file: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    run = demo("--seconds", "25", "--json", str(figures), "--events", str(log_file))
    assert run.process.wait(150) == 0, run.output.read_text()
    assert run.all_gone(2.0), run.alive()
    result = json.loads(figures.read_text())
    assert 0 < result["first_personal_list_seconds"] < 60
    assert result["events"] > 0
    assert result["events_per_second"] > 0
    assert 0 < result["freshness_ms"]["p50"] <= result["freshness_ms"]["p99"]
    assert {"blend", "similarity", "factors"} <= set(result["recall@20"])
    reaction = result["reaction"]
    assert reaction["before"] != reaction["after"]
    assert reaction["clicked"] in reaction["before"]
    assert reaction["clicked"] not in reaction["after"]
    assert 0 < reaction["milliseconds"] < 10_000
    output = run.output.read_text()
    assert "Traceback" not in output
    assert "One click" in output


def test_a_reaction_has_no_seen_items(demo: Any, log_file: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    short = tmp_path / "short.csv"
    short.write_text("\n".join(log_file.read_text().splitlines()[:3000]) + "\n")
    run = demo("--seconds", "25", "--json", str(figures), "--events", str(short))
    assert run.process.wait(150) == 0, run.output.read_text()
    result = json.loads(figures.read_text())
    assert result["events"] == 2999, "the file has ended, so all of it was learnt"
    reaction = result["reaction"]
    seen = seen_by(short, reaction["user"])
    assert not seen & set(reaction["before"])
    assert not (seen | {reaction["clicked"]}) & set(reaction["after"])


@pytest.mark.parametrize("moment", ["(embedded)", "the replay starts"])
def test_ctrl_c_ends_everything(demo: Any, log_file: Path, moment: str) -> None:
    run = demo("--events", str(log_file))
    run.wait_for(moment, 100)
    assert len(run.alive()) > 1
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(STOP_SECONDS) == 130
    assert run.all_gone(STOP_SECONDS), run.alive()
    assert "Traceback" not in run.output.read_text()


def test_a_killed_demonstration_leaves_no_child(demo: Any, log_file: Path) -> None:
    run = demo("--events", str(log_file))
    run.wait_for("the replay starts", 100)
    run.process.kill()
    assert run.all_gone(STOP_SECONDS), run.alive()


@pytest.mark.parametrize(
    ("arguments", "text", "status"),
    [
        (("--events", "absent.csv"), "No such file", 78),
        (("--events", "bad.csv"), "no column", 78),
        (("--columns", "shoe=size"), "--columns", 78),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    demo: Any, tmp_path: Path, arguments: tuple[str, ...], text: str, status: int
) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    run = demo(*arguments)
    assert run.process.wait(60) == status
    assert run.all_gone(STOP_SECONDS)
    output = run.output.read_text()
    assert text in output
    assert "Traceback" not in output
