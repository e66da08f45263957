"""Which profile fits a log."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated import DAY, HOUR, MINUTE, NOW, Click, figures, run, written

from streamrec.evaluation.choose import choose

pytestmark = pytest.mark.usefixtures("nothing_configured")


def columns(log: Sequence[Click]) -> tuple[Any, Any, Any]:
    users = {c.user: n for n, c in enumerate(log)}
    items = {c.item: n for n, c in enumerate(log)}
    return (
        np.array([users[c.user] for c in log], np.int32),
        np.array([items[c.item] for c in log], np.int32),
        np.array([c.ts for c in log], np.int64),
    )


def test_a_log_of_repeats_is_a_shops() -> None:
    log = [Click(f"u{n % 9}", f"i{n // 9 % 4}", NOW + n * HOUR) for n in range(300)]
    assert choose(*columns(log)).profile == "shop"
    at_once = [Click(f"u{n}", f"i{n % 40}", NOW + n * HOUR) for n in range(150) for _ in range(5)]
    assert choose(*columns(at_once)).profile != "shop"  # reloads of a page are no repeats
    result = run(written(log))
    assert "Profile shop: 88%" in result.stderr and "take an item again" in result.stderr


def test_repeats_in_later_visits_are_a_shops() -> None:
    """Six of a hundred: too few of all events, and of films that nobody rates twice there are none.

    They may come late: a third of a long log is looked at.
    """

    def log(repeats: int, new: int = 0) -> list[Click]:
        first = [Click(f"n{n}", f"n{n % 50}", NOW - DAY + n) for n in range(new)]
        visits = [Click("u", f"i{n}", NOW + n * MINUTE) for n in range(100)]
        later = [Click("u", f"i{n if n < repeats else 1000 + n}", NOW + DAY + n * MINUTE)
                 for n in range(100)]  # fmt: skip
        others = [Click(f"o{n}", f"n{n % 50}", NOW + 2 * DAY + n) for n in range(new)]
        return first + visits + later + others * 4

    assert choose(*columns(log(6))).profile == "shop"
    assert "in later visits" in choose(*columns(log(6))).why
    assert choose(*columns(log(4))).profile == "catalogue"
    assert choose(*columns(log(6, 25_000))).profile == "shop"
    few = [click for click in log(6) if click.ts < NOW + DAY + 99 * MINUTE]
    assert choose(*columns(few)).profile == "catalogue"  # 99 events in later visits


def turning_over(hours: int, step: int) -> list[Click]:
    """Return clicks of ever new users on twenty items, which are others after so many hours."""
    rng = np.random.default_rng(1)
    log = []
    for n in range(2000):
        age = n * step // (hours * HOUR)
        log.append(Click(f"u{n}", f"i{age}-{rng.integers(20)}", NOW + n * step))
    return log


def test_a_log_that_turns_over_fast_is_news() -> None:
    choice = choose(*columns(turning_over(2, MINUTE)))
    assert choice.profile == "news" and "in the last hour hits" in choice.why


def test_where_no_hour_has_its_favourites_is_no_news() -> None:
    """The last hour may know a little more than the week, by chance or for a song."""
    log = [Click(f"u{n // 8}", f"i{n // 2 * 7919 % 3000}", NOW + n * MINUTE) for n in range(3000)]
    log += [Click(f"v{n}", f"i{n % 3}", NOW + 3000 * MINUTE + n) for n in range(100)]
    choice = choose(*columns(log))
    assert choice.profile == "catalogue", choice.why


def test_a_log_that_lasts_is_a_catalogues() -> None:
    rng = np.random.default_rng(1)
    log = [Click(f"u{n}", f"i{min(80, rng.geometric(0.04))}", NOW + n * 20 * MINUTE)
           for n in range(2000)]  # fmt: skip
    assert choose(*columns(log)).profile == "catalogue"
    assert choose(*columns(log[:1])).profile == "catalogue"


def test_the_profile_is_chosen_only_where_none_was_given() -> None:
    log = written([Click(f"u{n % 9}", f"i{n // 9 % 4}", NOW + n * HOUR) for n in range(100)])
    chosen = figures(log)["protocol"]
    assert (chosen["profile"], chosen["exclude"]) == ("shop", "none")
    for options, before in (
        (["--profile", "news"], []), ([], ["--set", "profile=news"]),
        (["--profile", "news"], ["--set", "profile=catalogue"]),
    ):  # fmt: skip
        result = run(log, *options, "--json", "out.json", before=before)
        assert "Profile" not in result.stderr
        protocol = json.loads(Path("out.json").read_text())["protocol"]
        assert (protocol["profile"], protocol["exclude"]) == ("news", "session")
    both = figures(log, before=["--set", "lists.exclude=user"])["protocol"]
    assert (both["profile"], both["exclude"]) == ("shop", "user")
