"""`streamrec demo` as a person runs it: a subprocess, its JSON, its children, its Ctrl-C."""

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from needs import needs_program
from waiting import wait_until

from tests.end_to_end.commands import Command, shell

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


def seen_by(log_file: Path, user: str, events: int) -> set[str]:
    rows = (line.split(",") for line in log_file.read_text().splitlines()[1 : 1 + events])
    return {row[1] for row in rows if row[0] == user}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Any]:
    running: list[Command] = []

    def start(*arguments: str) -> Command:
        running.append(Command(tmp_path, "demo", *arguments))
        return running[-1]

    yield start
    for one in running:
        one.kill()


pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@pytest.mark.timeout(600)
def test_it_replays_a_file_and_one_click_changes_a_list(
    demo: Any, log_file: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    run = demo("--seconds", "25", "--json", str(figures), "--events", str(log_file))
    # the first of all tests: on a fresh machine it compiles every kernel
    assert run.process.wait(500) == 0, run.output.read_text()
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
    seen = seen_by(log_file, reaction["user"], result["events"])
    assert not seen & set(reaction["before"])
    assert not (seen | {reaction["clicked"]}) & set(reaction["after"])
    assert 0 < reaction["milliseconds"] < 10_000
    output = run.output.read_text()
    assert "Traceback" not in output
    after = output.partition("One click")[2]
    assert "items are new" in after or "items is new" in after
    assert after.count(" popular") < 5, "the last act is not a list of what all take"


@pytest.mark.parametrize("moment", ["(embedded)", "the replay starts"])
def test_ctrl_c_ends_everything(demo: Any, log_file: Path, moment: str) -> None:
    run = demo("--events", str(log_file))
    run.wait_for(moment, 100)
    assert len(run.alive()) > 1
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(STOP_SECONDS) == 130
    assert run.all_gone(STOP_SECONDS), run.alive()
    assert "Traceback" not in run.output.read_text()


def test_the_printed_lines_work(demo: Any, log_file: Path) -> None:
    needs_program("kafkacat", "kcat")
    needs_program("redis-tools", "redis-cli")
    run = demo("--events", str(log_file), "--seconds", "12", "--keep")
    run.wait_for("streamrec recommend", 100)
    lines = run.output.read_text().splitlines()
    produce = next(line for line in lines if "| LD_PRELOAD=" in line or "| kcat" in line)
    read = next(line for line in lines if "redis-cli" in line)
    before = shell(read)
    shell(produce)
    wait_until(lambda: shell(read) != before)
    clicked = json.loads(produce.split("|")[1].split("'")[0])["item"]
    assert clicked in [item["item"] for item in json.loads(before)["items"]]
    assert clicked not in [item["item"] for item in json.loads(shell(read))["items"]]
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(STOP_SECONDS) == 0
    assert run.all_gone(STOP_SECONDS), run.alive()


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
        (("--events", "shares.csv"), "--set events.weights.share=1", 65),
        (("--columns", "shoe=size"), "--columns", 78),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    demo: Any, tmp_path: Path, arguments: tuple[str, ...], text: str, status: int
) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "shares.csv").write_text("user,item,type,ts\nu,i,share,1732300000\n")
    run = demo(*arguments)
    assert run.process.wait(60) == status
    assert run.all_gone(STOP_SECONDS)
    output = run.output.read_text()
    assert text in output
    assert "Traceback" not in output
