"""Places: what each may show of one user, by rules of its own."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from oracle import MINUTE, NOW, names, settings
from oracle import user as took
from test_passing import describe
from test_passing import table_of as described_table

from streamrec.errors import ConfigurationError
from streamrec.ranking.lists import ListMaker, UserList
from streamrec.ranking.rerank import Reranker
from streamrec.ranking.why_not import why_not
from streamrec.settings.load import load
from streamrec.settings.place_rules import as_home, asks_for_contents, place_names, place_of
from streamrec.settings.places import EXAMPLES, PlaceSettings, age_of
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import UserRow

TYPES = ("view", "cart", "purchase")
DAY = 24 * 60


def config_of(place: dict[str, Any], name: str = "deals", **sections: Any) -> Settings:
    return settings(places={name: place}, **sections)


def table_of(config: Settings, items: int = 60) -> ItemTable:
    table = described_table(settings(lists={"filters": ["available"]}), items)
    table.settings = config
    return table


def made(config: Settings, row: UserRow, place: str = "deals", items: int = 60) -> UserList:
    table = table_of(config, items)
    maker = ListMaker(config)
    maker.prepare(table)
    who = maker.shopper(row, table, "u1", types=TYPES)
    [found] = maker.make([who], table, Reranker(place_of(config, place)))
    return found


def past(*entries: tuple[int, str, int]) -> UserRow:
    """Return a user by (item, type, minutes ago), oldest first."""
    row = took(*[n for n, _, _ in entries], minutes=tuple(m for _, _, m in entries))
    return row._replace(types=np.array([TYPES.index(kind) for _, kind, _ in entries], np.uint8))


def test_a_place_has_what_lists_has_but_for_what_it_says() -> None:
    lists = {"length": 7, "filters": ["available"], "boosts": {"seen": 1.0, "available": 2.0},
             "diversity": "mmr", "rotation": 0.5}  # fmt: skip
    config = config_of({"filters": ["price < 9"], "boosts": {"seen": 3.0}}, lists=lists)
    assert place_names(config) == ("home", "deals")
    home, deals = place_of(config), place_of(config, "deals")
    assert (home.length, deals.length) == (7, 7) and home.diversity == deals.diversity == "mmr"
    assert home.filters == ("available",) and deals.filters == ("available", "price < 9")
    assert deals.boosts == {"seen": 3.0, "available": 2.0}
    assert (home.rotation, deals.rotation) == (0.5, 0.0)
    assert home.exclude is deals.exclude is None and home.reasons


def test_ages_in_words() -> None:
    assert [age_of(text) for text in ("30 days", "1 hour", "1.5 weeks", "session", "ever")] == [
        2.592e9, 3.6e6, 9.072e8, -1.0, float("inf"),
    ]  # fmt: skip
    assert {age_of(text) for text in ("", "30", "days", "-1 days", "3 months", "1 day ago")} == {
        None
    }


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("places.Deals", "{}", "a place's name is of a-z"),
        ("places.a:b", "{}", "a place's name is of a-z"),
        ("places.deals", "{lenght = 3}", "has no 'lenght'; did you mean length = 10? Its keys: "),
        ("places.deals", "{length = 0}", "places.deals.length cannot be 0; expected: whole number"),
        ("places.deals", "{pins = 'a'}", "cannot be 'a'; expected: list, each string, for example"),
        ("places.deals", "{diversity = 'x'}", "expected: `none` or `mmr` or `dpp`, for example"),
        (
            "places.deals",
            "3",
            "places.deals cannot be 3; expected: table, for example [places.deals]",
        ),
        ("places.deals", "no", "places.deals cannot be 'no'; expected: table, for example"),
        (
            "places",
            "{lenght = 3}",
            "places.lenght cannot be 3; expected: table, for example "
            "[places.home] and below it length = 10",
        ),
        ("places", "3", "places cannot be 3; expected: table, for example [places.home]"),
        ("places.deals", "{length = 51}", "more than blend.candidates, 50"),
        ("places.deals", "{caps = {brand = 0}}", "places.deals.caps cannot be {'brand': 0}"),
        ("places.deals", '{exclude = {buy = "1 day"}}', "names 'buy', which is none of cart"),
        ("places.deals", '{exclude = {view = "soon"}}', 'write "30 days", "session" or "ever"'),
        ("places.deals", '{filters = ["pric < 3"]}', 'nearest is "price"'),
        ("places.deals", "{boosts = {seen = inf}}", "not a finite number"),
        ("places.deals.length", "3", "for example places.deals = { length = 10 }"),
        ("places.deals.lenght", "3", "for example places.deals = { length = 10 }"),
    ],
)
def test_a_wrong_place_is_refused(flag: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, {}, {flag: value})
    assert said in str(caught.value) and "places" in str(caught.value)


def test_every_setting_of_a_place_has_an_example_that_is_one() -> None:
    assert list(EXAMPLES) == [field.name for field in msgspec.structs.fields(PlaceSettings)]
    for key, value in EXAMPLES.items():
        needs = f", sources = {EXAMPLES['sources']}" if key == "blend" else ""
        flags = {"places.deals": f"{{ {key} = {value}{needs} }}"}
        found = load(None, {}, flags).places["deals"]
        assert getattr(found, key) != getattr(PlaceSettings(), key)


def test_a_misspelt_setting_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[places]\nlenght = 3\n")
    with pytest.raises(ConfigurationError, match=r"s.toml:1: places.lenght cannot be 3") as caught:
        load(file, {}, {})
    assert "\n" not in str(caught.value)


def test_places_come_from_the_file_and_the_profile(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('profile = "durable"\n[places.deals]\nlength = 5\ncaps = { brand = 2 }\n')
    found = load(file, {}, {"places.cart": "{length = 3}"})
    assert place_names(found) == ("home", "deals", "cart")
    assert place_of(found).exclude == {
        "purchase": 1.5552e10, "cart": 6.048e8, "view": -1.0, "click": -1.0,
    }  # fmt: skip
    assert place_of(found, "deals").caps == {"brand": 2} and place_of(found, "cart").length == 3
    assert asks_for_contents(found) and not asks_for_contents(load(None, {}, {}))
    by_variable = load(None, {"STREAMREC_PLACES": '{"home": {"pins": ["a"]}}'}, {})
    assert place_of(by_variable).pins == ("a",)


@budget_of(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 29), st.sampled_from(TYPES), st.integers(1, 60 * DAY)),
        max_size=12, unique_by=lambda e: e[0],
    ),
    st.dictionaries(
        st.sampled_from(TYPES), st.sampled_from(["session", "ever", "2 days", "9 minutes"])
    ),
    st.sampled_from(["user", "session", "none"]),
)  # fmt: skip
def test_what_is_left_out_goes_by_event_type_and_age(
    entries: list[tuple[int, str, int]], exclude: dict[str, str], rule: str
) -> None:
    """Whatever lists.exclude says: the table of the place stands in its stead."""
    entries = sorted(entries, key=lambda e: -e[2])
    lists = {"length": 30, "exclude": rule, "session_seconds": 600.0}
    config = config_of({"exclude": exclude}, lists=lists, blend={"candidates": 40})
    table = table_of(config, 30)
    table.arrays.popularity[:30] = 1.0
    table.arrays.clock[:30], table.arrays.available[:30] = NOW, True
    table._take_popularity(np.arange(30))
    out, newest = set(), NOW
    for n, kind, minutes in reversed(entries):
        ts = NOW - minutes * MINUTE
        begun = newest - ts <= 600_000 or newest == NOW
        if not begun:
            newest = 0  # an earlier session
        elif newest:
            newest = ts
        age = age_of(exclude[kind]) if kind in exclude else None
        if age is not None and (age < 0 and newest or age >= 0 and NOW - ts <= age):
            out.add(f"a{n}")
    maker = ListMaker(config)
    maker.prepare(table)
    who = maker.shopper(past(*entries), table, types=TYPES)
    [found] = maker.make([who], table, Reranker(place_of(config, "deals")))
    assert set(names(found)) == {f"a{n}" for n in range(30)} - out


def test_home_may_leave_out_by_type_too() -> None:
    config = config_of({"exclude": {"purchase": "30 days", "view": "session"}}, "home")
    table = table_of(config)
    table.arrays.available[:20] = True
    maker = ListMaker(config)
    maker.prepare(table)
    row = past((1, "purchase", 40 * DAY), (2, "purchase", DAY), (3, "view", DAY), (4, "view", 1))
    [ranked] = maker.rank([maker.shopper(row, table, types=TYPES)], table)
    assert sorted(table.ids[r] or "" for r in ranked.shopper.excluded) == ["a2", "a4"]
    who = ranked.shopper
    assert why_not(maker, who, table, table.row_of["a2"]) == (
        "the user had it: purchase 23 hours before the newest event "
        "(places.home.exclude: purchase = 30 days)"
    )
    assert why_not(maker, who, table, table.row_of["a3"]).startswith("no source")


def test_types_are_those_of_the_rows_shard() -> None:
    """A shard keeps the numbers that types had when it began."""
    config = config_of({"exclude": {"purchase": "ever"}})
    table = table_of(config)
    table.arrays.available[:60] = True
    maker = ListMaker(config)
    maker.prepare(table)
    rules = Reranker(place_of(config, "deals"))
    row = past((1, "view", 9), (2, "purchase", 8))
    for types, out in ((TYPES, "a2"), (("purchase", "cart", "view"), "a1"), (("view",), None)):
        [ranked] = maker.rank([maker.shopper(row, table, types=types)], table, rules=rules)
        assert [table.ids[r] for r in ranked.shopper.excluded] == ([out] if out else [])


@budget_of(max_examples=40)
@given(st.integers(1, 3), st.integers(1, 12), st.sampled_from(["none", "mmr"]), st.booleans())
def test_caps_hold_and_nothing_better_was_left_out(
    most: int, length: int, diversity: str, pinned: bool
) -> None:
    caps = {"brand": most, "category": most + 1}
    pins = ("a7", "a9") if pinned else ()
    place = {"length": length, "caps": caps, "diversity": diversity, "pins": pins}
    config = config_of(place, blend={"candidates": 50})
    table = table_of(config)
    maker = ListMaker(config)
    maker.prepare(table)
    who = maker.shopper(took(3), table, types=TYPES)
    [free] = maker.rank([who], table, rules=Reranker(place_of(config_of({"length": 50}), "deals")))
    [found] = maker.make([who], table, Reranker(place_of(config, "deals")))
    counts: Counter[Any] = Counter()
    wanted: list[str] = []
    first = [p for p in pins if table.arrays.available[table.row_of[p]]][:length]
    scored = [table.ids[r] or "" for r in free.candidates[free.order].tolist()]
    for name in [*first, *(n for n in scored if n not in first)]:
        entry = table.details.get(table.row_of[name])
        brand = entry.attributes.get("brand") if entry else None
        mine = [("b", brand)] if brand not in (None, "") else []
        mine += [("c", c) for c in (entry.categories if entry else []) if c]
        if name in first or all(counts[k] < most + (k[0] == "c") for k in mine):
            wanted.append(name)
            counts.update(mine)
    if diversity == "none":
        assert names(found) == wanted[:length]
    else:
        assert len(found.items) == min(length, len(wanted)) and set(names(found)) <= set(wanted)
        assert names(found)[: len(first)] == first


def test_pins_come_first_where_the_user_may_see_them() -> None:
    place = {"pins": ["a5", "a30", "a12", "unknown", "a1", "a9"], "filters": ["item != 'a12'"]}
    config = config_of({**place, "exclude": {"purchase": "ever"}, "length": 6})
    table = table_of(config)
    table.arrays.available[:60] = True
    table.arrays.available[9] = False
    maker = ListMaker(config)
    maker.prepare(table)
    who = maker.shopper(past((1, "purchase", 3)), table, types=TYPES)
    [found] = maker.make([who], table, Reranker(place_of(config, "deals")))
    assert names(found)[:2] == ["a5", "a30"] and len(set(names(found))) == 6
    assert not {"a12", "a1", "a9", "unknown"} & set(names(found))


def test_reasons_may_be_left_out() -> None:
    row = past((3, "view", 5), (4, "view", 1))
    bare = made(config_of({"reasons": False}), row)
    full = made(config_of({}), row)
    assert names(bare) == names(full)
    assert all(not item.because and not item.source for item in bare.items)
    assert any(item.because for item in full.items) and all(item.source for item in full.items)


def test_places_of_the_same_pool_share_their_candidates() -> None:
    """A list made of another place's candidates is the one that would be made for itself."""
    places = {
        "top": {"length": 4, "caps": {"brand": 1}, "boosts": {"price < 9": 1.0}},
        "bare": {"length": 20, "reasons": False, "diversity": "mmr"},
        "few": {"filters": ["price < 30"]},
        "pinned": {"pins": ["a5"]},
        "again": {"exclude": {}},
    }
    config = settings(places=places, blend={"candidates": 25})
    table = table_of(config)
    maker = ListMaker(config)
    maker.prepare(table)
    people = [maker.shopper(past((3, "view", 5), (n, "cart", 1)), table) for n in range(4, 9)]
    home = maker.make(people, table)
    shares = {}
    for name in places:
        rules = Reranker(place_of(config, name))
        shares[name] = rules.pool == maker.rules.pool
        if shares[name]:
            wanted = maker.make(people, table, rules)
            found = maker.reordered(home, table, rules)
            assert [one.items for one in found] == [one.items for one in wanted]
    assert shares == {"top": True, "bare": True, "few": False, "pinned": False, "again": False}


def test_as_home_is_the_place() -> None:
    place = {"filters": ["price < 30"], "boosts": {"price < 5": 2.0}, "length": 6,
             "caps": {"brand": 2}, "pins": ["a4"], "exclude": {"view": "session"}}  # fmt: skip
    config = config_of(place, lists={"filters": ["available"]})
    row = past((3, "purchase", 5), (4, "view", 3 * DAY))
    alone = as_home(config, "deals")
    assert place_of(alone)._replace(name="deals") == place_of(config, "deals")
    assert made(alone, row, "home").items == made(config, row).items
    assert as_home(config, "home").lists == config.lists


def test_the_contents_are_kept_where_a_place_asks() -> None:
    for place, kept in (({"caps": {"brand": 1}}, True), ({"length": 3}, False)):
        table = ItemTable(config_of(place), with_lists=True)
        describe(table, 1, np.random.default_rng(1))
        assert bool(table.details) == kept
    assert msgspec.json.encode(config_of({"length": 3}).places)
