"""A place's own sources: who ranks there, against a slow sum of what each says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from oracle import FLOOR, NAMES, SHARES, USERS, Slow, check, learned, maker_of, settings, table

from streamrec.errors import ConfigurationError
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.ranking.rerank import Reranker
from streamrec.settings.load import load
from streamrec.settings.place_rules import as_home, blended_at, place_of
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import UserRow

LEARNED: dict[str, Any] = {"kind": "learned"}
SPEAKING = [name for name in NAMES if name != "repeats"]


def config_of(place: dict[str, Any], **blend: Any) -> Settings:
    return settings(places={"deals": place}, blend=LEARNED | blend)


def rank(maker: ListMaker, mine: ItemTable, who: UserRow, place: str = "deals") -> Ranked:
    rules = Reranker(place_of(maker.settings, place))
    [ranked] = maker.rank([maker.shopper(who, mine)], mine, rules=rules)
    return ranked


WEIGHTS = st.dictionaries(
    st.sampled_from(SPEAKING), st.sampled_from([0.5, 1.0, 2.0]), min_size=1, max_size=4
)


@budget_of(max_examples=25)
@given(WEIGHTS, st.sampled_from(["", "weighted", "vote", "borda"]), st.sampled_from(USERS))
def test_a_place_ranks_by_its_sources_alone(
    sources: dict[str, float], kind: str, who: UserRow
) -> None:
    config = config_of({"sources": sources, "blend": kind or None})
    mine = table(40, config=config)
    mine.blend = learned()
    maker = maker_of(mine, config)
    home = rank(maker, mine, who, "home")
    ranked = rank(maker, mine, who)
    again = rank(maker, mine, who, "home")
    assert np.array_equal(home.scores, again.scores) and (home.order == again.order).all()
    own = blended_at(config, place_of(config, "deals"))
    slow = Slow(mine, own, who)
    check(ranked, slow)
    pools = {name: [j for j in ranked.alone[NAMES.index(name)].tolist() if j >= 0]
             for name in sources}  # fmt: skip
    wanted = []
    for j in ranked.candidates.tolist():
        score = 0.0
        for name, weight in sources.items():
            place = pools[name].index(j) if j in pools[name] else -1
            if kind in ("", "weighted"):
                value = float(slow.said(name).values[j])
                silent = FLOOR if SHARES[NAMES.index(name)] else 0.0
                score += weight * (silent if np.isnan(value) else value)
            elif place >= 0 and kind == "vote":
                score += weight / (61 + place)
            elif place >= 0:
                score += weight * (len(ranked.candidates) - place - 1) / len(ranked.candidates)
        wanted.append(score)
    assert ranked.scores == pytest.approx(wanted, abs=1e-3)
    assert (np.diff(ranked.scores[ranked.order]) <= 0).all()


def test_a_place_without_some_sources_learns_nothing_else() -> None:
    config = config_of({"off": ["popularity_long", "content"]}, off=["segment"])
    mine, who = table(40, config=config), USERS[0]
    mine.blend = learned()
    maker = maker_of(mine, config)
    ranked = rank(maker, mine, who)
    own = blended_at(config, place_of(config, "deals"))
    assert own.blend.off == ("segment", "popularity_long", "content")
    check(ranked, Slow(mine, own, who))
    assert ranked.mixture.blend.kind == "learned"
    assert ranked.scores == pytest.approx(mine.blend.scores(ranked.filled), abs=1e-5)


def test_what_is_measured_alone_is_the_place() -> None:
    for place in ({"sources": {"similarity": 2.0, "factors": 1.0}}, {"off": ["factors"]}):
        config = config_of({**place, "length": 6})
        mine, who = table(40, config=config), USERS[1]
        mine.blend = learned()
        ranked, alone = rank(maker_of(mine, config), mine, who), as_home(config, "deals")
        again = rank(maker_of(mine, alone), mine, who, "home")
        assert np.array_equal(ranked.scores, again.scores)
        assert ranked.order.tolist() == again.order.tolist()


def test_places_of_other_sources_share_no_candidates() -> None:
    places: dict[str, Any] = {
        "one": {"sources": {"similarity": 1.0}}, "two": {"sources": {"similarity": 2.0}},
        "three": {"off": ["similarity"]}, "four": {"length": 3},
        "five": {"sources": {"similarity": 1.0}, "length": 3},
    }  # fmt: skip
    config = settings(places=places)
    pools = {name: Reranker(place_of(config, name)).pool for name in ("home", *places)}
    assert pools["one"] == pools["five"] and pools["four"] == pools["home"]
    assert len(set(pools.values())) == 4


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("{sources = {similar = 1.0}}", "places.deals.sources names 'similar', which is none of"),
        ("{sources = {similarity = 0.0}}", "places.deals.sources switches every source off"),
        ("{sources = {similarity = -1.0}}", "cannot be {'similarity': -1.0}"),
        ('{sources = {factors = 1.0}, off = ["content"]}', "has sources and off"),
        ('{blend = "vote"}', "places.deals.sources names no sources to blend"),
        ('{blend = "learned", sources = {factors = 1.0}}', "expected: `weighted` or `cascade`"),
        ('{off = ["factor"]}', "places.deals.off names 'factor'"),
        (f"{{off = {list(NAMES)}}}", "places.deals.off switches every source off"),
    ],
)
def test_wrong_sources_are_refused(place: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, {}, {"places.deals": place})
    assert said in str(caught.value)


def test_home_is_what_the_blend_says() -> None:
    with pytest.raises(ConfigurationError, match=r"is said in \[blend\]: kind, weights and off"):
        load(None, {}, {"places.home": "{sources = {factors = 1.0}}"})


def test_sources_that_keep_nothing_are_named() -> None:
    flags = {"places.deals": "{sources = {cosine = 1.0}}", "cosine.neighbours": "0"}
    config = load(None, {}, flags)
    with pytest.raises(ConfigurationError, match=r"places.deals.sources: none of cosine keeps"):
        ListMaker(config).mixture_at(Reranker(place_of(config, "deals")))
