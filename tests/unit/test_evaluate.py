"""`streamrec evaluate` on made-up logs: figures, and files that cannot be read."""

import itertools
import json
import math
import re
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logs import DAY, HOUR, MINUTE, NOW, PLAIN, Click, clicks, figures, refused, run, written
from oracle import NAMES
from report_page import check

from streamrec.commands.interrupt import first_interrupt_noted, until
from streamrec.evaluation.peers.other_blends import OtherBlends
from streamrec.evaluation.plan import lag_words, parse_lag
from streamrec.evaluation.prequential import Lag

METRICS = {"recall@10", "recall@20", "precision@10", "ndcg@10", "ndcg@20", "mrr@20"}
LISTS = {"coverage@10", "novelty@10", "diversity@10", "popularity_bias@10"}
KEYS = [
    "protocol", "events", "scored", "new_item_share", "candidates", "sources", "slices",
    "windows", "comparisons", "events_per_second",
]  # fmt: skip


FEW = ["--set", "blend.candidates=5", "--set", "lists.length=5"]
pytestmark = pytest.mark.usefixtures("nothing_configured")


def test_the_json_says_which_place_was_measured_and_its_rules() -> None:
    place = (
        'places.deals={length = 5, filters = ["item != \'i1\'"], pins = ["i2"], '
        'exclude = {click = "2 days", view = "session", cart = "ever"}}'
    )
    result = run(
        written(clicks(60)), *PLAIN, "--place", "deals", "--json", "out.json", "--report", "o.html",
        before=["--set", place],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(Path("out.json").read_text())["protocol"]["place"]
    assert (told["name"], told["length"], told["pins"]) == ("deals", 5, ["i2"])
    assert told["filters"] == ["item != 'i1'"]
    assert told["exclude"] == {"click": 172_800.0, "view": "session", "cart": "ever"}
    assert "name: deals, length: 5" in Path("o.html").read_text()


def test_who_logs_in_is_scored_with_what_they_did_before() -> None:
    """Each visitor takes one item, turns out to be a user, and takes one more."""
    rows = []
    for n in range(60):
        rows.append({"user": f"v{n}", "item": f"i{n % 5}", "type": "click", "ts": NOW + 2 * n})
        rows.append({"user": f"u{n}", "type": "merge", "from": f"v{n}"})
        event = {"item": f"i{(n + 1) % 5}", "type": "click", "ts": NOW + 2 * n + 1}
        rows.append({"user": f"u{n}"} | event)
    scored = {}
    for name, kept in (("with", rows), ("without", [r for r in rows if r["type"] == "click"])):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
        result = run(f"{name}.jsonl", *PLAIN, "--peers", "popularity_7d", "--json", "out.json")
        assert result.exit_code == 0, result.output
        scored[name] = json.loads(Path("out.json").read_text())["scored"]
    assert scored == {"with": 60, "without": 0}


def same_but_speed(*found: dict[str, Any]) -> bool:
    for one in found:
        assert one.pop("events_per_second") > 0
    return all(one == found[0] for one in found)


def test_the_json_has_the_documented_shape() -> None:
    log = clicks(500)
    found = figures(log, "--peers", "popularity_7d,own_recent", "--exclude", "none")
    assert list(found) == KEYS
    place = found["protocol"]["place"]
    assert (place["name"], place["length"], place["filters"]) == ("home", 20, [])
    assert found["protocol"] == {
        "file": "log.csv", "profile": "shop", "exclude": "none", "limit": None, "warm_up": 0.3,
        "types": ["click"], "lag": "0 events", "workers": 1, "seed": 1, "blend": "learned",
        "events": 500, "items": len({c.item for c in log}), "off": [],
        "peers": ["popularity_7d", "own_recent"], "blends": [], "texts": "hashed",
        "neural": False,
        "place": place,
    }  # fmt: skip
    assert found["events"] == 500 and 340 < found["scored"] <= 350
    own = {"blend", *NAMES} - {"content", "segment", "cosine"}  # a shop has no cosine
    assert set(found["sources"]) == own | {"peer:popularity_7d", "peer:own_recent"}
    for name, one in found["sources"].items():
        assert set(one) == METRICS | (set() if name.startswith("peer:") else LISTS)
        assert all(math.isfinite(value) for value in one.values())
        assert one["precision@10"] == pytest.approx(one["recall@10"] / 10)
        assert one["recall@10"] <= one["recall@20"] and one["ndcg@10"] <= one["recall@10"]
    assert set(found["slices"]) <= {
        "new_user", "new_item", "history_1", "history_2_4", "history_5_plus",
    }  # fmt: skip
    for part in found["slices"].values():
        assert set(part["sources"]) == set(found["sources"]) and 0 < part["scored"]
        assert all(set(one) == METRICS for one in part["sources"].values())
    histories = [n for name, n in found["slices"].items() if name.startswith("history")]
    assert sum(part["scored"] for part in histories) == found["scored"]
    assert sum(window["scored"] for window in found["windows"]) == found["scored"]
    assert all(window["scored"] >= 100 for window in found["windows"])  # none is a short rest
    for window in found["windows"]:
        assert set(window) == {"first", "last", "ts", "scored", "sources", "weights"}
        assert 150 <= window["first"] <= window["last"] < 500 and window["ts"] >= NOW
    assert {one["b"] for one in found["comparisons"]} == set(found["sources"]) - {"blend"}
    for one in found["comparisons"]:
        assert set(one) == {"a", "b", "metric", "difference", "low", "high"}
        mine, theirs = (found["sources"][one[side]]["recall@20"] for side in "ab")
        assert one["difference"] == pytest.approx(mine - theirs)
        assert one["low"] <= one["difference"] <= one["high"] and one["metric"] == "recall@20"


def test_the_report_is_a_page() -> None:
    result = run(written(clicks(300)), "--report", "out.html", "--peers", "popularity_7d")
    assert result.exit_code == 0
    page = check(Path("out.html").read_text())
    assert "log.csv" in page.text and "popularity 7d (peer)" in page.text
    assert {"sources", "over-time", "comparisons", "protocol"} <= set(page.sections)


def test_a_report_without_its_extra_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("streamrec.evaluation.report.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    said = refused(written(clicks(20)), "--report", "out.html", "--json", "out.json")
    assert "--report needs vl_convert" in said and "pip install 'streamrec[report]'" in said


def test_what_is_printed() -> None:
    result = run(written(clicks(300)), *PLAIN, "--peers", "popularity_7d")
    assert re.match(
        r"20 suggestions hold the next item [\d.]+ times in 100; the most popular items alone ",
        result.stdout,
    )
    for words in ("300 events", "full catalogue of", "recall@20", "popularity_medium",
                  "peer:popularity_7d", "history_5_plus", "paired block bootstrap"):  # fmt: skip
        assert words in result.stdout
    assert "…" not in result.stdout
    assert result.stderr.startswith("log.csv: 300 rows, 300 events, 0 refused, 2023-11-14 to")
    slow = " events, "  # of the progress after 10 s, on a busy machine
    lines = result.stderr.splitlines()
    assert [line for line in lines if slow not in line.partition(" of ")[2]] == lines[:1]


def slow_popularity(log: Sequence[Click], exclude: str) -> list[float]:
    """Return the places of scored events in a list by count, ties mid way; inf for new items."""
    counts: Counter[str] = Counter()
    had: dict[str, set[str]] = defaultdict(set)
    places = []
    for click in log:
        gone = had[click.user] if exclude == "user" else set()
        if had[click.user] and click.item not in gone:
            mine = counts[click.item]
            others = [c for i, c in counts.items() if i != click.item and i not in gone]
            place = sum(c > mine for c in others) + sum(c == mine for c in others) / 2
            places.append(place if mine else math.inf)
        counts[click.item] += 1
        had[click.user].add(click.item)
    return places


@pytest.mark.parametrize("exclude", ["user", "none"])
def test_metrics_by_hand(exclude: str) -> None:
    """All events at one time: popularity is a count, and so is the peer's."""
    rng = np.random.default_rng(3)
    log = [Click(f"u{rng.integers(9)}", f"i{min(40, rng.geometric(0.06))}") for _ in range(300)]
    places = slow_popularity(log, exclude)
    found = figures(log, *PLAIN, "--exclude", exclude, "--peers", "popularity_7d")
    hits = [p for p in places if p < 20]
    wanted = {
        "recall@10": sum(p < 10 for p in places) / len(places),
        "recall@20": len(hits) / len(places),
        "precision@10": sum(p < 10 for p in places) / len(places) / 10,
        "ndcg@10": sum(1 / math.log2(p + 2) for p in places if p < 10) / len(places),
        "ndcg@20": sum(1 / math.log2(p + 2) for p in hits) / len(places),
        "mrr@20": sum(1 / (p + 1) for p in hits) / len(places),
    }
    assert found["scored"] == len(places)
    assert found["new_item_share"] == pytest.approx(places.count(math.inf) / len(places))
    listed = figures(log, *PLAIN, "--exclude", exclude, before=FEW)
    assert 0 < listed["candidates"]["a_list"] <= 5 * len(NAMES)
    assert found["candidates"]["share"] > listed["candidates"]["share"] > 0
    assert found["sources"]["blend"]["recall@20"] <= found["candidates"]["share"]
    assert found["candidates"]["share"] <= 1 - found["new_item_share"]
    for name in (*NAMES[:3], "peer:popularity_7d"):
        assert {m: found["sources"][name][m] for m in METRICS} == pytest.approx(wanted), name


def test_a_tiny_log_by_hand() -> None:
    """Popularity is a count; what a user had is left out; ties are mid way."""
    log = [
        Click("u1", "a"), Click("u1", "b"),  # b: new
        Click("u3", "a"), Click("u2", "a"),  # first events of a user are not scored
        Click("u2", "c"),  # new
        Click("u2", "b"),  # of b alone: a and c are had
        Click("u1", "c"),  # of c alone
        Click("u3", "c"),  # of b and c, both counted twice: a tie
    ]  # fmt: skip
    found = figures(log, *PLAIN)
    assert (found["events"], found["scored"]) == (8, 5)
    assert found["new_item_share"] == pytest.approx(2 / 5)
    one = found["sources"]["popularity_long"]
    assert one["recall@10"] == pytest.approx(3 / 5)
    assert one["mrr@20"] == pytest.approx((1 + 1 + 1 / 1.5) / 5)
    assert one["ndcg@10"] == pytest.approx((1 + 1 + 1 / math.log2(2.5)) / 5)
    assert found["slices"]["history_1"]["scored"] == 3
    assert found["slices"]["history_2_4"]["scored"] == 2


def test_new_items_are_misses_for_all() -> None:
    log = [Click(f"u{n % 5}", f"i{n}") for n in range(60)]
    found = figures(log, *PLAIN, "--peers", "popularity_7d")
    assert found["new_item_share"] == 1.0 and found["scored"] == 55
    assert found["candidates"] == {"a_list": 0.0, "share": 0.0}
    assert found["sources"] == {"blend": dict.fromkeys(METRICS, 0.0)} and not found["comparisons"]
    result = run("log.csv", *PLAIN, "--report", "out.html", "--staleness", "--ablation")
    assert result.exit_code == 0 and "100.0%" in result.stdout
    check(Path("out.html").read_text())


def test_where_nothing_can_be_scored() -> None:
    log = [Click(f"u{n}", f"i{n % 3}") for n in range(20)]
    found = figures(log, *PLAIN)
    assert (found["scored"], found["new_item_share"], found["windows"]) == (0, 0.0, [])
    result = run("log.csv", *PLAIN, "--staleness", "--ablation", "--report", "out.html")
    assert result.exit_code == 0 and "No event could be scored" in result.stdout
    check(Path("out.html").read_text())


def test_limit_takes_the_first_events() -> None:
    log = clicks(300)
    limited = figures(log, *PLAIN, "--limit", "120")
    alone = figures(log[:120], *PLAIN)
    assert limited["protocol"].pop("limit") == 120 and alone["protocol"].pop("limit") is None
    assert same_but_speed(limited, alone) and limited["events"] == 120
    assert figures(log, *PLAIN, "--limit", "9999")["events"] == 300
    late = clicks(300) + [Click(f"u{n % 8}", "i1", NOW + DAY + n * HOUR) for n in range(900)]
    chosen = [figures(one, *plan)["protocol"]["profile"] for one, plan in
              ((late[:300], ()), (late, ("--limit", "300")))]  # fmt: skip
    assert chosen[0] == chosen[1]


def test_warm_up_is_learnt_but_not_scored() -> None:
    log = clicks(200)
    everything = figures(log, *PLAIN)
    late = figures(log, *PLAIN[2:], "--warm-up", "0.5")
    assert late["scored"] < everything["scored"]
    assert late["windows"][0]["first"] >= 100 > everything["windows"][0]["first"]
    nothing = figures(log[:100], *PLAIN)
    hits = [one["sources"]["popularity_long"]["recall@10"] * one["scored"]
            for one in (everything, nothing, late)]  # fmt: skip
    assert hits[0] == pytest.approx(hits[1] + hits[2])


def test_other_blends_learn_in_the_warm_up_as_ours_does(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[float] = []
    monkeypatch.setattr(OtherBlends, "learn", lambda *_: learnt.append(1.0))
    counts = []
    for warm_up in ("0", "0.9"):
        learnt.clear()
        figures(clicks(200), *PLAIN[2:], "--warm-up", warm_up, "--compare", "vote")
        counts.append(len(learnt))
    assert counts[0] == counts[1] > 50


def test_types_are_scored_alone_and_all_are_learnt() -> None:
    kinds = ("view", "click", "purchase", "impression")
    log = [c._replace(type=kinds[n % 4]) for n, c in enumerate(clicks(240))]
    bought = figures(log, *PLAIN, "--types", "purchase")
    assert bought["protocol"]["types"] == ["purchase"]
    assert 0 < bought["scored"] <= 60
    both = figures(log, *PLAIN, "--types", " purchase, view ")
    assert both["protocol"]["types"] == ["purchase", "view"] and both["scored"] > bought["scored"]
    fewer = figures([c for c in log if c.type == "purchase"], *PLAIN)
    assert fewer["sources"]["popularity_long"] != bought["sources"]["popularity_long"]
    assert figures(log, *PLAIN, "--types", "impression")["scored"] == 0


def test_a_type_without_a_weight_is_refused_as_live() -> None:
    log = [c._replace(type="share" if n % 2 else "click") for n, c in enumerate(clicks(100))]
    assert "type 'share' has no weight" in refused(written(log), *PLAIN)
    weight = ["--set", "events.weights.share=1"]
    mixed = figures(log, *PLAIN, before=weight)
    same = figures([c._replace(type="click") for c in log], *PLAIN)
    assert mixed["protocol"].pop("types") == ["click", "share"] and same["protocol"].pop("types")
    assert same_but_speed(mixed, same)


def test_names_are_printed_as_they_are() -> None:
    log = [c._replace(type="[/b]" if n % 2 else "click") for n, c in enumerate(clicks(60))]
    result = run(written(log, "[red]log.csv"), *PLAIN, "--skip-refused")
    assert result.exit_code == 0, result.output
    assert "type '[/b]' has no weight" in result.stderr and "[red]log.csv: 30" in result.stdout


def test_sources_take_part_alone() -> None:
    found = figures(clicks(200), *PLAIN, "--sources", "similarity,popularity_long")
    assert set(found["sources"]) == {"blend", "similarity", "popularity_long"}
    assert set(found["protocol"]["off"]) == set(NAMES) - {"similarity", "popularity_long"}
    alone = figures("log.csv", *PLAIN, "--sources", "popularity_long", "--blend", "weighted")
    blend, source = (alone["sources"][name] for name in ("blend", "popularity_long"))
    assert {m: blend[m] for m in METRICS} == {m: source[m] for m in METRICS}
    silent = figures("log.csv", *PLAIN, "--sources", "repeats", "--exclude", "user")
    assert silent["sources"]["blend"]["recall@20"] == 0.0


@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_the_rule_of_exclusion(exclude: str) -> None:
    log = clicks(200, step=7 * MINUTE)
    found = figures(log, *PLAIN, "--exclude", exclude)
    assert found["protocol"]["exclude"] == exclude
    assert ("repeats" in found["sources"]) == (exclude == "none")
    had: dict[str, set[str]] = defaultdict(set)
    again = 0
    for click in log:
        again += click.item in had[click.user]
        had[click.user].add(click.item)
    first_events = len(had)
    if exclude != "session":
        assert found["scored"] == 200 - first_events - (again if exclude == "user" else 0)


def test_a_lag_makes_lists_older() -> None:
    """One user takes b at each second event; with a lag the lists do not know it yet."""
    log = [Click(f"u{n}", "a", NOW + n * MINUTE) for n in range(30)]
    log += [Click(f"u{n}", "b", NOW + (100 + n) * MINUTE) for n in range(30)]
    log += [Click("v", "c", NOW + 300 * MINUTE)]
    options = (*PLAIN, "--sources", "popularity_long")
    now = figures(log, *options)
    assert now["scored"] == 30 and now["sources"]["blend"]["recall@10"] == pytest.approx(29 / 30)
    late = figures(log, *options, "--lag", "10")
    assert late["protocol"]["lag"] == "10 events"
    # b is taken 30 times a minute apart: until it has arrived it is no candidate
    assert late["sources"]["blend"]["recall@10"] == pytest.approx(19 / 30)
    later = figures(log, *options, "--lag", "15m")
    assert later["protocol"]["lag"] == "15m"
    assert later["sources"]["blend"]["recall@10"] == pytest.approx(15 / 30)
    assert figures(log, *options, "--lag", "1h")["sources"]["blend"]["recall@10"] == 0.0
    zero = figures(log, *options, "--lag", "0s")
    assert zero["protocol"].pop("lag") == "0s" and now["protocol"].pop("lag") == "0 events"
    assert same_but_speed(zero, now)


@pytest.mark.parametrize(
    ("text", "lag"),
    [("0", Lag()), ("10", Lag(10)), ("30s", Lag(0, 30_000)), ("5m", Lag(0, 5 * MINUTE)),
     ("1.5h", Lag(0, 90 * MINUTE)), ("2d", Lag(0, 2 * DAY))],
)  # fmt: skip
def test_lags_in_words(text: str, lag: Lag) -> None:
    assert parse_lag(text) == lag
    assert lag_words(text) == (text if text[-1] in "smhd" else f"{text} events")


def test_workers_share_the_log() -> None:
    log = clicks(300)
    alone, two = (figures(log, *PLAIN, "--workers", str(n)) for n in (1, 2))
    assert two["protocol"]["workers"] == 2 and two["scored"] == alone["scored"]
    # what is counted does not depend on how it is cut
    for name in NAMES[:3]:
        assert two["sources"][name]["recall@20"] == alone["sources"][name]["recall@20"]
    difference = two["sources"]["blend"]["recall@20"] - alone["sources"]["blend"]["recall@20"]
    assert abs(difference) < 0.1


def test_the_same_seed_gives_the_same_figures() -> None:
    log = clicks(250)
    options = (*PLAIN, "--peers", "popularity_7d,isgd", "--workers", "2", "--seed", "5")
    one, again = figures(log, *options), figures(log, *options)
    other = figures(log, *options[:-1], "6")
    assert one["protocol"]["seed"] == 5 and same_but_speed(one, again)
    assert other["sources"]["factors"] != one["sources"]["factors"]


def test_staleness_and_ablation_repeat_the_run() -> None:
    log = clicks(120)
    assert MINUTE < log[-1].ts - log[0].ts < 3 * HOUR
    found = figures(log, *PLAIN, "--staleness", "--ablation")
    lags = [one["lag"] for one in found["staleness"]]
    assert lags == ["0 events", "100 events", "1h"]  # others are longer than the log
    blend = found["sources"]["blend"]
    assert {m: found["staleness"][0][m] for m in blend} == blend
    assert found["staleness"][1]["recall@20"] < blend["recall@20"]
    assert [one["without"] for one in found["ablation"]] == [
        name for name in NAMES if name in found["sources"]
    ]
    assert list(found)[: len(KEYS)] == KEYS


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Press Ctrl-C at so many events, all runs together."""

    def after(most: int) -> None:
        count = itertools.count(1)

        def shown(events: Iterable[Any], *_: Any) -> Iterator[Any]:
            for event in events:
                if next(count) == most:
                    signal.raise_signal(signal.SIGINT)
                yield event

        monkeypatch.setattr("streamrec.commands.evaluate.with_progress", shown)

    return after


def test_ctrl_c_prints_what_was_scored(interrupted: Callable[[int], None]) -> None:
    log = clicks(300)
    alone = figures(log[:200], *PLAIN, "--warm-up", "0")
    interrupted(200)
    result = run(written(log), *PLAIN, "--warm-up", "0", "--json", "out.json", "--staleness")
    assert result.exit_code == 130
    assert result.stdout.startswith("Ended by Ctrl-C after 200 of 300 events: the figures are of")
    assert "20 suggestions hold the next item" in result.stdout and "lag " in result.stdout
    found = json.loads(Path("out.json").read_text())
    assert found["protocol"].pop("interrupted") == "after 200 of 300 events"
    assert found.pop("staleness") == [] and same_but_speed(found, alone)


def test_ctrl_c_in_the_warm_up_and_among_repeats(interrupted: Callable[[int], None]) -> None:
    interrupted(20)
    result = run(written(clicks(120)), *PLAIN, "--warm-up", "0.5")
    assert result.exit_code == 130 and "No event had been scored" in result.stdout
    interrupted(120 + 120 + 60)
    result = run("log.csv", *PLAIN, "--staleness", "--json", "out.json", "--report", "out.html")
    assert result.exit_code == 130 and "Ended by Ctrl-C among the repeats" in result.stdout
    found = json.loads(Path("out.json").read_text())
    assert found["events"] == 120 and [one["lag"] for one in found["staleness"]] == ["0 events"]
    assert "among the repeats" in check(Path("out.html").read_text()).text


def test_a_second_ctrl_c_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), first_interrupt_noted() as stopped:
        assert list(until([1, 2], stopped)) == [1, 2]
        signal.raise_signal(signal.SIGINT)
        assert stopped() and list(until([1, 2], stopped)) == []
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_order_of_the_file_does_not_matter() -> None:
    log = clicks(200)
    shuffled = [log[n] for n in np.random.default_rng(1).permutation(200)]
    assert same_but_speed(figures(log, *PLAIN), figures(shuffled, *PLAIN))


def test_items_bring_their_content() -> None:
    rng = np.random.default_rng(1)
    log = [Click(f"u{n % 6}", f"{'rb'[n % 2]}{rng.integers(15)}", NOW + n * MINUTE)
           for n in range(240)]  # fmt: skip
    lines = [f"{kind}{n},{word} {word} thing,{word},,{n}.5" for kind, word in
             (("r", "red"), ("b", "blue")) for n in range(15)]  # fmt: skip
    Path("items.csv").write_text("item_id,title,category,text,price\n" + "\n".join(lines))
    without, having = figures(log, *PLAIN), figures(log, *PLAIN, "--items", "items.csv")
    assert "content" not in without["sources"]
    known = 1.0 - having["new_item_share"]
    assert having["sources"]["content"]["recall@20"] == pytest.approx(known)  # 15 of a colour
    assert without["sources"]["similarity"]["recall@20"] <= known
    Path("empty.csv").write_text("item_id,title,category,text\n" + "r1,,,\nb2,,,\n")
    empty = figures(log, *PLAIN, "--items", "empty.csv")["sources"]
    assert set(empty) == set(without["sources"])  # texts that say nothing are no content
    assert empty["popularity_long"]["ndcg@10"] == without["sources"]["popularity_long"]["ndcg@10"]
    filtered = figures(
        log, *PLAIN, "--items", "items.csv", before=["--set", 'lists.filters=["price == 1.5"]']
    )
    hits = filtered["sources"]["blend"]["recall@20"]
    assert 0.0 < hits < 0.2


def test_a_place_is_measured_under_its_rules() -> None:
    """As if the place were home: its filters, what it leaves out."""
    log = written(clicks(120))
    place = 'places.deals={filters = ["item != \\"i1\\""], exclude = {}}'
    found = figures(log, *PLAIN, "--place", "deals", before=["--set", place])
    wanted = figures(
        log, *PLAIN, before=["--set", 'lists.filters=["item != \\"i1\\""]',
                             "--set", "places.home={exclude = {}}"],
    )  # fmt: skip
    assert found["scored"] == wanted["scored"] > 0
    assert found["sources"]["blend"] == wanted["sources"]["blend"]
    home = figures(log, *PLAIN, before=["--set", place])
    assert home["sources"]["blend"] != found["sources"]["blend"]


def test_what_metadata_joins_with_is_said() -> None:
    log = written(clicks(20))
    Path("items.csv").write_text("item_id,title\ni1,One\ni2,Two\ni999,None\n")
    assert "2 of the log's" in run(log, *PLAIN, "--items", "items.csv").stderr
    Path("items.csv").write_text("sku,title\n1,One\n")
    said = " ".join(
        run(log, *PLAIN, "--items", "items.csv", "--item-columns", "item=sku").stderr.split()
    )
    assert "None of the log's" in said and "file of items as '1'" in said
    mapped = ["--set", "items.mapping.item=sku"]
    assert "file of items as '1'" in run(log, *PLAIN, "--items", "items.csv", before=mapped).stderr
    assert "items.csv has no column item_id" in refused(log, *PLAIN, "--items", "items.csv")


def test_one_mapping_serves_files_too_and_options_go_before_it() -> None:
    lines = "".join(f"u{n % 4};i{n % 3};{21 + n % 3}-07-2015;{n % 2};5\n" for n in range(30))
    Path("log.csv").write_text("who;what;on;clicked;stars\n" + lines + "u1;i1;soon;1;5\n")
    Path("s.toml").write_text(
        '[events.mapping]\nuser = "who"\nitem = "nothing"\ntype = "clicked"\nts = "on"\n'
        'value = "stars"\n'
    )
    options = [
        "--columns", "item=what", "--time-format", "%d-%m-%Y", "--time-zone", "Europe/Berlin",
        "--types-map", "0=impression,1=click", "--min-value", "4", "--max-refused", "5%",
    ]  # fmt: skip
    result = run("log.csv", *PLAIN, *options, before=["--config", "s.toml"])
    assert result.exit_code == 0
    assert "31 rows, 30 events, 1 refused: 1 schema (the first: line 32" in result.stderr
    assert "2015-07-20 to 2015-07-22" in result.stderr and "no weight" not in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.csv", None, "Cannot read none.csv: No such file"),
        ("log.xlsx", "x", "its name says no format"),
        ("log.csv", "", "has 0 events"),
        ("log.csv", "user_id,item_id,ts\n", "has 0 events"),
        ("log.csv", "user_id,item_id,ts\nu1,i1,T\n", "log.csv has 1 events: nothing to evaluate"),
        ("log.csv", "user_id,ts\nu1,5\nu1,5\n", "no column item_id or item for the item"),
        ("log.csv", "user_id,item_id,ts\nu1,i1,T\nu1,,T\n", "log.csv, line 3: item is missing"),
        ("log.csv", "user_id,item_id,ts\nu1,i1,T\nu1,i2,soon\n", "log.csv, line 3: "),
        ("log.csv", "user_id,item_id,ts\nu1,i1,T\nu1\n", "log.csv, line 3: "),
        (
            "log.jsonl",
            '{"user": "u", "item": "i", "ts": T}\n{{{\n',
            "log.jsonl, line 2: it is not a JSON object",
        ),
        ("log.csv", b"user_id,item_id,ts\n\xff,1,5\n", "log.csv, line 2: it is not UTF-8"),
        ("log.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "Cannot read log.csv.gz"),
        ("log.parquet", "PAR1", "log.parquet"),
    ],
)
def test_logs_that_cannot_be_read(name: str, text: str | bytes | None, said: str) -> None:
    if text is not None:
        raw = text if isinstance(text, bytes) else text.replace("T", "1700000000").encode()
        Path(name).write_bytes(raw)
    assert said in refused(name, "--json", "out.json")


def test_what_a_filter_removes_is_not_scored() -> None:
    log = clicks(200)
    of_all = figures(log, *PLAIN, "--exclude", "none")
    options = ["--set", 'lists.filters=["item != \\"i1\\""]']
    found = figures(log, *PLAIN, "--exclude", "none", before=options)
    had: set[str] = set()
    on_it = -1  # the first is of an item that nobody knows yet
    for click in log:
        on_it += click.item == "i1" and (click.user in had or on_it < 0)
        had.add(click.user)
    assert found["scored"] == of_all["scored"] - on_it < of_all["scored"]
    said = " ".join(run("log.csv", *PLAIN, before=options).stderr.split())
    assert "peers are not filtered, the blend and sources alone are" in said


def test_the_profile_is_chosen_only_where_none_was_given() -> None:
    log = written([Click(f"u{n % 9}", f"i{n // 9 % 4}", NOW + n * HOUR) for n in range(100)])
    said = " ".join(run(log).stderr.split())
    assert "Profile shop: 64%" in said and "take an item again" in said
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


@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_peers_and_sources_rank_under_one_rule(exclude: str) -> None:
    """The same popularity, as a source and as a peer, has the same figures."""
    rng = np.random.default_rng(5)
    log = [Click(f"u{n}", f"i{k}", NOW) for n, k in enumerate(
        k for k in range(8) for _ in range(25 * k)
    )]  # fmt: skip
    kinds = ("click", "click", "click", "impression", "dislike", "remove")
    for n in range(150):
        user, item = f"v{rng.integers(6)}", f"i{rng.integers(8)}"
        log.append(Click(user, item, NOW + n * MINUTE, kinds[int(rng.integers(6))]))
    before = [
        "--set", "popularity.half_lives_seconds=[1e9,2e9,3e9]",
        "--set", "lists.session_seconds=900",
    ]  # fmt: skip
    found = figures(
        log, "--profile", "general", "--exclude", exclude, "--peers", "popularity_7d",
        "--warm-up", str(1 - 150 / len(log)), before=before,
    )  # fmt: skip
    ours, theirs = (found["sources"][n] for n in ("popularity_long", "peer:popularity_7d"))
    assert found["scored"] >= 30
    # a session is told from the history, which has each item once, at its newest time
    near = 0.05 if exclude == "session" else 1e-9
    assert {m: theirs[m] for m in METRICS} == pytest.approx({m: ours[m] for m in METRICS}, abs=near)


def test_settings_of_a_run_hold_all_its_users() -> None:
    """Else users would be evicted in the middle of an evaluation."""
    log = [Click(f"u{n // 2}", f"i{n % 7}", NOW + n * MINUTE) for n in range(200)]
    tight = ["--set", "users.cached_users=1", "--set", "users.max_users=1"]
    assert same_but_speed(figures(log, *PLAIN), figures(log, *PLAIN, before=tight))
