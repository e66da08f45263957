"""Options of `streamrec evaluate` that make no sense, and what it says to them."""

import sys

import pytest
from logs import Click, clicks, refused, written

pytestmark = pytest.mark.usefixtures("nothing_configured")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--types", "buy"], "--types: the log has no events of type buy; it has click"),
        (["--sources", "cosine,nearest"], "--sources: 'nearest' is none of popularity_short"),
        (["--peers", "popularity_7d,nobody"], "--peers: 'nobody' is none of popularity_7d"),
        (["--compare", "best"], "--compare: 'best' is none of weighted"),
        (["--profile", "films"], "profile cannot be 'films'"),
        (["--place", "cart"], "there is no place 'cart'; places: home"),
        (["--exclude", "all"], "lists.exclude cannot be 'all'"),
        (["--blend", "best"], "blend.kind cannot be 'best'"),
        (["--lag", "soon"], "--lag 'soon' is neither a number of events nor a time"),
        (["--lag", "-5"], "--lag '-5' is neither"),
        (["--lag", "-1h"], "--lag '-1h' is neither"),
        (["--lag", "infs"], "--lag 'infs' is neither"),
        (["--lag", "1w"], "--lag '1w' is neither"),
        (["--lag", ""], "--lag '' is neither"),
        (["--columns", "user"], "--columns: 'user' is not FIELD=COLUMN"),
        (["--columns", "colour=red"], "--columns: 'colour' is none of"),
        (["--columns", "item=sku"], "no column sku for the item"),
        (["--item-columns", "ts=at"], "--item-columns: 'ts' is none of item, title"),
        (["--time-format", "days"], "--time-format 'days' is none of s, ms, us, ns"),
        (["--time-zone", "Berlin"], "--time-zone 'Berlin' is not known"),
        (["--types-map", "1"], "--types-map: '1' is not OLD=NEW"),
        (["--max-refused", "few"], "--max-refused 'few' is neither"),
        (["--max-refused", "101%"], "--max-refused '101%' is neither"),
        (["--min-value", "4"], "no column value or rating for the value"),
        (["--report", "no/such/folder.html"], "there is no folder no/such"),
        (["--report", "."], "it is a folder"),
    ],
)
def test_options_that_make_no_sense(options: list[str], said: str) -> None:
    refused_text = refused(written(clicks(20)), *options, "--json", "out.json")
    assert said in " ".join(refused_text.split())


@pytest.mark.parametrize(
    "options",
    [["--limit", "1"], ["--warm-up", "1"], ["--warm-up", "-0.1"], ["--workers", "0"],
     ["--seed", "-1"], ["--seed", "x"], ["--nonsense"]],
)  # fmt: skip
def test_wrong_usage(options: list[str]) -> None:
    refused(written(clicks(20)), *options, code=2)


@pytest.mark.parametrize(
    ("options", "library"),
    [
        (["--peers", "popularity_7d,implicit_als"], "implicit"),
        (["--compare", "tree"], "river.tree"),
    ],
)
def test_a_library_that_is_missing_is_named(
    options: list[str], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    said = refused(written(clicks(20)), *options, "--json", "out.json")
    assert "pip install 'streamrec[peers]'" in said


def test_a_filter_that_is_no_expression_is_refused() -> None:
    log = written(clicks(20))
    said = refused(log, before=["--set", 'lists.filters=["pric < 20"]'])
    assert 'unknown field "pric": nearest is "price"' in said
    assert "expected" in refused(log, before=["--set", 'lists.boosts={"price <" = 1.0}'])


def test_an_item_may_not_look_like_a_segment() -> None:
    said = refused(written([*clicks(20), Click("u1", "\x1fat")]))
    assert "line 22: item is '\\x1fat': 1..128 bytes without controls or braces" in said


def test_the_json_is_not_written_into_a_folder_that_is_not_there() -> None:
    assert "there is no folder no" in refused(written(clicks(20)), "--json", "no/out.json")
