"""The report page: well-formed, self-contained, honest about gaps, and safe from names."""

import copy
import json
import math
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_page import SECTIONS, Page, check, result

from streamrec.evaluation.report import render as module
from streamrec.evaluation.report.charts import WIDTHS, Figure
from streamrec.evaluation.report.render import METRICS, render


@cache
def whole() -> Page:
    return check(render(result()))


def part(*names: str, **changed: Any) -> dict[str, Any]:
    """Return a few parts of the result: each plot takes a tenth of a second."""
    return {name: value for name, value in result().items() if name in names} | changed


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing; what would be drawn must be JSON without NaN all the same."""

    def spec(figure: Figure, style: str) -> str:
        assert json.dumps(figure.plot(WIDTHS[style]), allow_nan=False)
        return f'<svg role="img" aria-label="plot" aria-describedby="{figure.slug}"></svg>'

    monkeypatch.setattr(module, "draw", spec)


def test_a_whole_result_has_every_part_for_a_desk_and_a_phone() -> None:
    assert whole().sections == SECTIONS
    wide, narrow = (whole().having("svg", **{"class": style}) for style in WIDTHS)
    assert len(wide) == len(narrow) == len(whole().having("figure")) == 9
    style = render({})
    assert "prefers-color-scheme: dark" in style and "viewport" in style


@pytest.mark.usefixtures("undrawn")
def test_what_is_not_there_is_left_out() -> None:
    for name in ("windows", "slices", "comparisons", "staleness", "ablation", "protocol"):
        gone = {"over-time", "weights"} if name == "windows" else {name}
        for nothing in (None, [], {}, "?"):
            page = check(render(result() | {name: nothing}))
            assert set(page.sections) == set(SECTIONS) - gone
    assert check(render({})).sections == ()


def test_a_result_of_few_events() -> None:
    """One window, one source, no time: nothing to divide by."""
    one = {"sources": {"blend": {"recall@20": 0.0}}, "windows": [
        {"first": 0, "last": 5, "ts": 0, "scored": 5, "sources": {"blend": {"recall@20": 0.0}},
         "weights": {"similarity": 0.0, "factors": 1.0}}]}  # fmt: skip
    page = check(render(one))
    assert page.sections == ("sources", "over-time", "weights")
    assert "20 suggestions hold the next item 0.0 times in 100." in page.text
    assert "By number of window." in page.text


def test_the_page_opens_with_a_plain_sentence_and_then_the_intervals() -> None:
    text = whole().text
    plain = (
        "20 suggestions hold the next item 15 times in 100; the most popular items alone 7.1. "
        "The blend's recall@20 is 0.1530: 0.0120 above the best single source, similarity (0.1410; "
        "95% interval of the difference +0.0020 to +0.0220), and 0.0140 above the best peer, item "
        "knn (0.1390; 95%"
    )
    assert plain in text


def test_the_headline_does_not_boast() -> None:
    doubtful = part("sources", "comparisons")
    doubtful["comparisons"][0] |= {"low": -0.001}
    page = check(render(doubtful))
    assert "not clearly apart from the best single source, similarity" in page.text
    worse = part("sources")
    worse["sources"]["blend"]["recall@20"] = 0.12
    text = check(render(worse)).text
    assert "0.0210 below the best single source, similarity (0.1410), and" in text


def test_lists_are_sorted_named_alike_and_the_best_marked() -> None:
    names = [name.strip() for name in whole().texts("th")]
    first = ["blend", "weighted (blend)", "similarity", "item knn (peer)", "successors", "factors"]
    at = names.index("blend")
    assert names[at : at + len(first)] == first
    assert {"weighted (blend)", "item knn (peer)"} <= set(whole().texts("text"))
    assert "_" not in whole().text and "precision" not in whole().text
    assert len(whole().having("tr", **{"class": "blend"})) == 1
    marked = re.findall(r'<td class="best">([^<]*)', render(part("sources")))
    assert len(marked) == len(METRICS) and marked[0] == "0.1530"
    bias = [row["popularity_bias@10"] for row in result()["sources"].values()]
    assert f"{min(bias):.4f}" in marked


def test_what_shows_nothing_is_not_the_least_biased() -> None:
    mute = part("sources")
    mute["sources"]["cosine"] |= {"coverage@10": 0.0, "popularity_bias@10": 0.0}
    text = render(mute)
    assert '<td class="best">0.0000' not in text
    bias = Page(re.search(r'<figure id="popularity_bias-plot">.*?</figure>', text, re.S).group())
    assert bias.texts("text").count("similarity") == 2 and "cosine" not in bias.texts("text")


@pytest.mark.usefixtures("undrawn")
def test_sources_that_are_off_are_not_listed() -> None:
    off = result()
    off["protocol"]["off"] = ["similarity"]
    text = check(render(off)).text
    assert "best single source, successors" in text
    assert text.count("similarity") == 1, "as one that is switched off"
    assert "cosine" not in Page(render(part("windows"))).text, "it never had a weight"


def test_a_window_says_its_values_and_lines_have_gaps_and_names() -> None:
    said = [words for words in whole().texts("title") if words.startswith("2023-11-14 22:13")]
    assert len(said) == 4, "two plots in two widths"
    assert said[0].splitlines()[1:3] == ["blend 0.1530", "weighted (blend) 0.1510"]
    assert "2023-11-14 to 2024-01-08, UTC." in whole().text
    assert (
        "Dashed: peers. Gaps: nothing was scored. Not drawn: factors, isgd (peer)," in whole().text
    )
    course = "blend: from 0.1530 to 0.1867, lowest 0.1530, highest 0.1867."
    assert any(course in words for words in whole().texts("desc"))
    paths = [a for a in whole().having("path", stroke="var(--s0)") if "stroke-width" in a]
    thick = [a["d"] for a in paths if a["stroke-width"] == "3.5"]
    assert [d.count("M") for d in thick] == [2, 2], "broken at the fourth window"


@pytest.mark.usefixtures("undrawn")
def test_a_stream_of_one_day_or_without_time() -> None:
    short = part("sources", "windows")
    for n, window in enumerate(short["windows"]):
        window["ts"] = 1_700_000_000_000 + n * 60_000
    assert "2023-11-14 22:13 to 22:24, UTC." in check(render(short)).text
    for ts in (None, 0, 1e18, -5):
        for window in short["windows"]:
            window["ts"] = ts
        assert "By number of window." in check(render(short)).text


def test_intervals_about_zero_look_different() -> None:
    given_ = part("comparisons")
    given_["comparisons"][0] |= {"low": -0.001}
    given_["comparisons"][1] |= {"difference": -0.02, "low": -0.03, "high": -0.01}
    page = check(render(given_))
    dots = [attrs["fill"] for attrs in page.having("path") if "--" in attrs.get("fill", "")]
    assert (dots.count("var(--down)"), dots.count("var(--soft)")) == (2, 4)
    assert dots.count("var(--up)") == 2 * (len(given_["comparisons"]) - 3)
    assert "factors: \N{MINUS SIGN}0.0200, from \N{MINUS SIGN}0.0300 to" in page.text
    assert "without cosine: \N{MINUS SIGN}0.0020." in whole().text, "what harms is below zero"


def test_the_protocol_is_spelled_out() -> None:
    text = whole().text.split("How it was measured")[1]
    assert "only learnt from, not scored the first 30% of the events" in text
    assert "left out of lists what the user has taken in the same session" in text
    assert "event types view, buy" in text and "seed 7" in text and "peers isgd, item knn" in text
    assert "lag of the lists 100 events" in text and "off" not in text.split()


EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'</title></svg></style>"


def test_names_cannot_break_out() -> None:
    evil = copy.deepcopy(result())
    for name in ("similarity", "peer:item_knn"):
        bad = name.replace("similarity", EVIL).replace("item_knn", EVIL)
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
    assert page.sections == SECTIONS


def test_long_and_odd_names_are_shown() -> None:
    odd = part("sources", "windows")
    names = ["x" * 300, "\ud800", "имя", "", "a\nb\0\x1b", "{{ 1 }}", "datum.x", "\uffff", "🙂"]
    for name in names:
        odd["sources"][name] = {"recall@20": 0.2, "coverage@10": 0.1, "novelty@10": 3.0}
        for window in odd["windows"]:
            window["sources"][name] = {"recall@20": 0.2}
            window["weights"][name] = 0.1
    page = check(render(odd))
    assert {"имя", "a b", "{{ 1 }}", "datum.x", "🙂"} <= set(map(str.strip, page.texts("text")))
    assert "x" * 48 not in page.text


def test_numbers_that_cannot_be_drawn_are_left_out() -> None:
    odd = part("sources", "windows", "comparisons")
    wrong = (math.nan, math.inf, -math.inf, 1e300, "0.5", True, [], None)
    for value, name in zip(wrong, odd["sources"], strict=False):
        odd["sources"][name] = dict.fromkeys(METRICS, value)
    for value, window in zip(wrong, odd["windows"], strict=False):
        window["sources"]["blend"]["recall@20"] = window["weights"]["similarity"] = value
    odd["comparisons"][0]["low"] = math.nan
    check(render(odd))


def test_the_page_is_a_function_of_its_input_which_is_not_edited() -> None:
    given_ = part("sources", "comparisons")
    assert render(given_) == render(copy.deepcopy(given_))
    assert given_ == part("sources", "comparisons")


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


def holed(seed: int, share: float) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {key: holes(value, rng, share) for key, value in result().items()}


@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=100)
def test_no_hole_in_the_result_breaks_the_page(seed: int, share: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        undrawn.__wrapped__(patch)
        check(render(holed(seed, share)))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_left_beside_holes_can_be_drawn(seed: int) -> None:
    check(render(holed(seed, 0.05)))
