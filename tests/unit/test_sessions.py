"""Sessions that a log names: what a user has had in one is not scored again."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from logs import DAY, HOUR, MINUTE, NOW, PLAIN, Click, figures

pytestmark = pytest.mark.usefixtures("nothing_configured")


def with_sessions(log: Sequence[Click], names: Sequence[str]) -> str:
    lines = [f"{c.user},{c.item},{c.ts},{name}" for c, name in zip(log, names, strict=True)]
    Path("log.csv").write_text("\n".join(["user_id,item_id,ts,session_id", *lines]) + "\n")
    return "log.csv"


def test_of_a_named_session_no_item_is_scored_twice() -> None:
    """Sessions go on over gaps; items come again in them. All lists are asked the same."""
    rng, gap = np.random.default_rng(3), 30 * MINUTE
    log, names, taken, newest = [], [], defaultdict(set), {}  # type: ignore[var-annotated]
    near: dict[str, set[str]] = defaultdict(set)  # what lists leave out: near the newest click
    scored, ts = 0, NOW
    for n in range(600):
        user, item = f"u{rng.integers(6)}", f"i{rng.integers(12)}"
        ts += int(rng.choice([1, 2, 15])) * MINUTE
        name = f"{user} {n // 150}"
        scored += bool(taken[name]) and item not in taken[name] | near[user]
        if ts - newest.get(user, ts) > gap:
            near[user] = set()
        near[user].add(item)
        taken[name].add(item)
        newest[user] = ts
        log.append(Click(user, item, ts))
        names.append(name)
    before = ["--set", "lists.session_seconds=1800"]
    found = figures(
        with_sessions(log, names), *PLAIN, "--exclude", "session", "--peers", "popularity_7d",
        before=before,
    )  # fmt: skip
    assert found["scored"] == scored > 30
    # of twelve items each list holds what is left, so all find what was not new
    for name in ("blend", "popularity_long", "peer:popularity_7d"):
        assert found["sources"][name]["recall@20"] == pytest.approx(1 - found["new_item_share"])


@pytest.mark.parametrize(("step", "named", "unnamed"), [(MINUTE, 3, 6), (HOUR, 20, 0)])
def test_a_log_may_name_its_sessions(step: int, named: int, unnamed: int) -> None:
    """Pairs of clicks are a session each. By gaps of 10 minutes all would be one, or each alone.

    What lists leave out goes by the gap in any case.
    """
    log = [Click("u", f"i{n % 7}", NOW + n * step) for n in range(40)]
    log += [Click("w", f"i{n}", NOW - DAY + n) for n in range(7)]
    options = (*PLAIN, "--exclude", "session", "--peers", "popularity_7d")
    before = ["--set", "lists.session_seconds=600"]
    names = [f"s{n // 2}" for n in range(40)] + ["w"] * 7
    found = figures(with_sessions(log, names), *options, before=before)
    assert found["scored"] == named + 6
    names[30] = ""  # then none of the names can be relied on
    found = figures(with_sessions(log, names), *options, before=before)
    assert found["scored"] == unnamed + 6
