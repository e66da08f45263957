"""The report page: well-formed, self-contained, honest about gaps, and safe from names."""

import copy
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_page import DAY, RECALL, SECTIONS, Page, check, result

from streamrec.evaluation.report.render import METRICS, render


def test_a_whole_result_has_every_part() -> None:
    page = check(render(result()))
    assert tuple(page.sections) == SECTIONS
    assert page.source.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in page.source and "viewport" in page.source
    wide, narrow = page.having("svg", "wide"), page.having("svg", "narrow")
    assert len(wide) == len(narrow) == 8


@pytest.mark.parametrize(
    ("missing", "sections"),
    [
        ("windows", {"over-time", "weights"}),
        ("slices", {"slices"}),
        ("comparisons", {"comparisons"}),
        ("staleness", {"staleness"}),
        ("ablation", {"ablation"}),
        ("protocol", {"protocol"}),
    ],
)
def test_what_is_not_there_is_left_out(missing: str, sections: set[str]) -> None:
    for nothing in (None, [], {}, "?"):
        given_ = result() | {missing: nothing}
        assert set(check(render(given_)).sections) == set(SECTIONS) - sections
    given_ = result()
    del given_[missing]
    assert set(check(render(given_)).sections) == set(SECTIONS) - sections


def test_an_empty_result_is_a_page() -> None:
    assert check(render({})).sections == []


def test_a_result_of_few_events() -> None:
    """One window, one source, no time: nothing to divide by."""
    one = {"sources": {"blend": {"recall@20": 0.0}}, "windows": [
        {"first": 0, "last": 5, "ts": 0, "scored": 5, "sources": {"blend": {"recall@20": 0.0}},
         "weights": {"similarity": 0.0, "factors": 1.0}}]}  # fmt: skip
    page = check(render(one))
    assert page.sections == ["sources", "over-time", "weights"]
    assert "The blend's recall@20 is 0.0000." in page.text


def test_the_headline_names_the_best_others_with_their_intervals() -> None:
    text = check(render(result())).text
    assert "The blend's recall@20 is 0.1530: 0.0120 above the best single source," in text
    assert "similarity (0.1410; 95% interval of the difference +0.0020 to +0.0220)" in text
    assert "and 0.0140 above the best peer, item_knn (0.1390; 95%" in text


def test_the_headline_does_not_boast() -> None:
    doubtful = result()
    doubtful["comparisons"][0] |= {"low": -0.001}
    assert "not clearly apart from the best single source, similarity" in render(doubtful)
    worse = result()
    worse["sources"]["blend"]["recall@20"] = 0.12
    worse["comparisons"] = []
    text = check(render(worse)).text
    assert "0.0210 below the best single source, similarity (0.1410), and" in text


def test_sources_are_sorted_and_the_best_marked() -> None:
    page = check(render(result()))
    heads = [words for tag, words in page.within if tag == "th"]
    names = [name.strip() for name in heads if name.strip() in {n.split(":")[-1] for n in RECALL}]
    in_order = sorted(RECALL, key=lambda name: -RECALL[name])
    assert names[: len(in_order)] == [name.split(":")[-1] for name in in_order]
    assert len(page.having("tr", "blend")) == 1
    marked = re.findall(r'<td class="best">([^<]*)', render(result() | {"staleness": []}))
    assert len(marked) == len(METRICS) and marked[0] == "0.1530"
    bias = [row["popularity_bias@10"] for row in result()["sources"].values()]
    assert f"{min(bias):.4f}" in marked


def test_what_shows_nothing_is_not_the_least_biased() -> None:
    mute = result()
    mute["sources"]["cosine"] |= {"coverage@10": 0.0, "popularity_bias@10": 0.0}
    text = render(mute)
    assert '<td class="best">0.0000' not in text
    plot = Page(text[text.index('<figure id="bias-plot">') :].split("</figure>")[0] + "</figure>")
    assert len(plot.having("circle", "dot")) == 2 * (len(RECALL) - 1)


def test_lines_are_few_and_broken_where_nothing_was_scored() -> None:
    text = render(result())
    plot = re.search(r'<figure id="over-time-plot">.*?</figure>', text, re.S)
    assert plot
    page = Page(plot.group())
    lines = [a["class"] for a in page.having("polyline", "line")]
    assert len(lines) == 2 * 2 * 8, "two widths, two parts of each of 8 lines"
    assert len(page.having("polyline", "bold s0")) == 4
    assert len(page.having("polyline", "dashed")) == 2 * 2 * 2, "two of the eight are peers"
    assert "Not drawn: popularity_long, cosine, popularity (peer)." in page.text
    assert "Gaps: nothing was scored." in page.text
    starts = sorted(float(a["points"].split(",")[0]) for a in page.having("polyline", "bold s0"))
    assert starts[0] == starts[1] == 50 and starts[2] > 50


def test_a_gap_of_weights_and_a_single_window_of_them() -> None:
    gap = result()
    for n in (1, 4, 5):
        gap["windows"][n]["weights"] = {}
    page = check(render(gap))
    bands = page.having("polygon", "band s1")
    assert len(bands) == 2 * 3, "three runs: one window, two, and the rest"
    for band in bands:
        ys = [float(point.split(",")[1]) for point in band["points"].split()]
        assert min(ys) >= 12 and max(ys) <= 228


def test_intervals_about_zero_look_different() -> None:
    given_ = result()
    given_["comparisons"][0] |= {"low": -0.001}
    given_["comparisons"][1] |= {"difference": -0.02, "low": -0.03, "high": -0.01}
    page = check(render(given_))
    assert len(page.having("g", "level")) == len(page.having("g", "down")) == 2
    assert len(page.having("g", "up")) == 2 * (len(given_["comparisons"]) - 2)


def test_a_source_that_harms_points_the_other_way() -> None:
    page = check(render(result()))
    assert "without cosine: 0.1550" in page.text
    assert "\N{MINUS SIGN}0.0020" in page.text and "0.0120" in page.text


def test_the_protocol_is_spelled_out() -> None:
    text = check(render(result())).text
    assert "The first 30% of the events are learnt from, not scored." in text
    assert "What a user has taken in the same session is left out of the lists." in text
    assert "event types view, buy" in text and "seed 7" in text
    assert "off" not in text.split("How it was measured")[1].split()
    late = result()
    late["protocol"]["lag"] = "100 events"
    assert "Lists are made from what was known 100 events before" in render(late)


EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'</title></svg></style>"


def test_names_cannot_break_out() -> None:
    evil = copy.deepcopy(result())
    for name in ("similarity", "peer:isgd"):
        bad = name.replace("similarity", EVIL).replace("isgd", EVIL)
        for rows in (evil["sources"], *(w["sources"] for w in evil["windows"])):
            rows[bad] = rows.pop(name)
        for window in evil["windows"]:
            window["weights"][bad] = window["weights"].pop(name, 0.1)
        for one in evil["comparisons"]:
            one["b"] = bad if one["b"] == name else one["b"]
    evil["slices"][EVIL] = {"scored": 1, "sources": evil["sources"]}
    evil["comparisons"].append(evil["comparisons"][0] | {"a": EVIL, "metric": EVIL})
    evil["protocol"] |= {"file": EVIL, EVIL: EVIL, "types": [EVIL], "exclude": EVIL, "lag": EVIL}
    evil["staleness"][0]["lag"] = evil["ablation"][0]["without"] = EVIL
    page = check(render(evil))
    assert page.text.count("<script>") > 5, "shown as text"
    assert tuple(page.sections) == SECTIONS


def test_long_and_odd_names_are_shown() -> None:
    odd = result()
    for name in ("x" * 300, "\ud800", "имя", "", "a\nb"):
        odd["sources"][name] = {"recall@20": 0.2, "coverage@10": 0.1, "novelty@10": 3.0}
        for window in odd["windows"]:
            window["sources"][name] = {"recall@20": 0.2}
    odd["protocol"]["items"] = ["item"] * 5000
    page = check(render(odd))
    assert "имя" in page.text and len(page.source) < 200_000
    labels = [words for tag, words in page.within if tag == "text"]
    assert max(map(len, labels)) < 110


def test_numbers_that_cannot_be_drawn_are_left_out() -> None:
    odd = result()
    wrong = (math.nan, math.inf, -math.inf, 1e300, "0.5", True, [], None)
    for value, name in zip(wrong, odd["sources"], strict=False):
        odd["sources"][name] = dict.fromkeys(METRICS, value)
    for value, window in zip(wrong, odd["windows"], strict=False):
        window["sources"]["blend"]["recall@20"] = window["weights"]["similarity"] = value
    odd["comparisons"][0]["low"] = math.nan
    check(render(odd))


def test_time_falls_back_to_event_numbers() -> None:
    assert "2023-11-14 to 2024-01-08, UTC." in render(result())
    for ts in (None, 0, 1e18, -5):
        odd = result()
        for window in odd["windows"]:
            window["ts"] = ts
        assert "By number of events." in check(render(odd)).text
    for window in odd["windows"]:
        del window["last"]
    assert "By number of window." in check(render(odd)).text


@pytest.mark.parametrize("days", [0.0001, 0.02, 0.3, 2, 30, 200, 2000, 20000, 200000])
def test_a_stream_of_any_length_has_a_few_marks_of_time(days: float) -> None:
    long = result()
    for n, window in enumerate(long["windows"]):
        window["ts"] = int(n * days * DAY / 11)
    plot = check(render(long)).source.split('<svg class="wide"')[1].split("</svg>")[0]
    below = re.findall(r'class="tick"[^>]*text-anchor="middle"', plot)
    assert 1 <= len(below) <= 8


def test_input_is_not_edited_and_the_page_is_a_function_of_it() -> None:
    given_ = result()
    before = copy.deepcopy(given_)
    assert render(given_) == render(before)
    assert given_ == before


def holes(value: Any, rng: np.random.Generator, share: float) -> Any:
    """Return the same JSON with some of its parts missing, null or of a wrong type."""
    if rng.uniform() < share:
        return [None, 0, -1.5, "x", [], {}, math.nan, 1e14][rng.integers(8)]
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if rng.uniform() >= share}
        return {k: holes(v, rng, share) for k, v in kept.items()}
    if isinstance(value, list):
        return [holes(v, rng, share) for v in value if rng.uniform() >= share]
    return value


@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=60, deadline=None)
def test_no_hole_in_the_result_breaks_the_page(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    found = {key: holes(part, rng, share) for key, part in result().items()}
    check(render(found))
