"""Explanations add up to the score, and past items are named for what they did."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from laws.world import event, raws, small
from oracle import FLOOR, NAMES, NOW, PAST, SILENCE, M, maker_of, settings, summed, table, user

from streamrec.blend.learned import BUCKETS, EXTRAS, Features, LearnedBlend
from streamrec.blend.rules import ALL_EXTRAS, blend_rules
from streamrec.events.event import Item
from streamrec.flow import Flow
from streamrec.inspection.explain import Answer, answer
from streamrec.inspection.weights import weights_of
from streamrec.ranking.explain import explain, network_responds_to
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.state.keys import key_of
from streamrec.state.user_rows import UserRow, no_user

FACTORS, COSINE, SUCCESSORS = map(NAMES.index, ("factors", "cosine", "successors"))
KINDS = ("learned", "untaught", "led", "weighted", "vote", "borda", "cascade", "reordered")
WEIGHTS = {name: 0.2 + 0.1 * n for n, name in enumerate(NAMES)}
ALL = M + len(ALL_EXTRAS)


def config_of(kind: str = "weighted", **sections: dict[str, Any]) -> Settings:
    reorder = "factors" if kind == "reordered" else ""
    kind = {"untaught": "learned", "led": "learned", "reordered": "cascade"}.get(kind, kind)
    sections = {"lists": {"exclude": "none"}, "users": {"recent_items": 6}} | sections
    fixed = {"hidden": 3, "kind": kind, "weights": WEIGHTS, "reorder": reorder}
    return small(**sections | {"blend": fixed | sections.get("blend", {})})


def learnt(config: Settings, seed: int = 1, events: int = 90, items: int = 11) -> Flow:
    """Return all stages after random events; the items have titles."""
    rng, flow = np.random.default_rng(seed), Flow(config)
    log = [
        event(
            f"u{rng.integers(5)}", f"i{min(items - 1, int(rng.geometric(0.2)))}",
            ["click", "click", "view", "dislike"][int(rng.integers(4))], 3 * n,
            **({"segment": "at"} if n % 2 else {}),
        )
        for n in range(events)
    ]  # fmt: skip
    flow.learn(raws(log))
    for n in range(items):
        flow.announce(Item(f"i{n}", title=f"{['red', 'blue'][n % 2]} thing {n % 3}"))
    flow.follow()
    return flow


def taught(kind: str, config: Settings, seed: int) -> LearnedBlend | None:
    """Return a learned blend with a network that says something, or that a source leads."""
    if kind not in ("learned", "led"):
        return None
    rng, one = np.random.default_rng(seed), LearnedBlend(blend_rules(config))
    for array in (one.linear, one.outward, one.shift, one.mean):
        array += rng.normal(0, 0.3, array.shape).astype(np.float32)
    one.seen[:] = 50.0
    one.losses[:] = 40.0
    if kind == "led":
        one.losses[1 + int(rng.integers(M))] = 10.0
    return one


def ranked_for(
    flow: Flow, who: str, row: int = 0, config: Settings | None = None
) -> tuple[ListMaker, Ranked]:
    """Return the candidates of a user, and who ranked them, maybe under other settings."""
    maker, known = maker_of(flow.table, config), flow.users[0].users
    stored: UserRow = known.row(who) if who in known.row_of else no_user()
    shopper = maker.shopper(stored, flow.table, who)
    return maker, maker.rank([shopper], flow.table, [row])[0]


@budget_of(max_examples=60)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.sampled_from(["u0", "u3", "nobody"]))
def test_the_parts_of_every_candidate_add_up_to_its_score(kind: str, seed: int, user: str) -> None:
    off = ["content"] if seed % 3 == 0 else []
    config = config_of(
        kind, factors={"prior": 0.5 * (seed % 2), "context_norm": 0.5}, blend={"off": off}
    )
    flow = learnt(config, seed)
    flow.table.blend = taught(kind, config, seed)
    maker, ranked = ranked_for(flow, user)
    parts = ranked.mixture.blend.parts(ranked.filled, flow.table.blend)
    assert parts.shape == (len(ranked.candidates), ALL + 1) and len(ranked.candidates)
    assert parts.sum(axis=1) == pytest.approx(ranked.scores, rel=1e-4, abs=1e-4)
    on = [n for n, is_on in zip(maker.names, maker.mixture.roster.active, strict=True) if is_on]
    assert set(NAMES) - set(on) >= set(off)
    for n in range(len(ranked.candidates)):
        told = explain(maker, flow.table, ranked, n)
        assert told.mean + ranked.level == pytest.approx(parts.sum(axis=1).mean())
        total = told.mean + sum(told.parts.values())
        assert total + ranked.level == pytest.approx(ranked.scores[n], rel=1e-4, abs=1e-4)
        # extras and the network belong to no past item; nor do sources that know none
        assert list(told.parts) == [*on, *ALL_EXTRAS, "network"] and set(told.by_item) <= set(PAST)
        history = len(ranked.shopper.history)
        assert np.isfinite(told.past(history)).all() and len(told.past(history)) == history


def test_shares_follow_the_support_and_the_rest_is_the_items_own() -> None:
    """Similarity's part: three sevenths for its popularity, three and one for two past items."""
    config = settings(factors={"context_decay": 1.0}, blend={"weights": {"similarity": 6.0}})
    mine = table(4, config=config)
    a = mine.arrays
    a.popularity[:4], a.clock[:4] = 1.0, NOW
    a.similarity_keys[:2, :2], a.similarity_weights[0, :2] = (2, 3), (1.0, 1e-9)
    a.similarity_weights[1, :2], a.similarity_size[:2] = (1 / 3, 1e-9), 2
    summed(mine)
    a.similarity_total[:2] = 2.0
    maker = maker_of(mine)
    [ranked] = maker.rank([maker.shopper(user(1, 0), mine)], mine)
    assert ranked.candidates.tolist() == [2, 3]
    told = explain(maker, mine, ranked, 0)
    # 1/4 and 1/12 by the neighbours, (1/2 + 1/2) / 4 by popularity, which is all the other has
    part = 6 * math.log(7 / 3) / 2
    assert told.parts["similarity"] == pytest.approx(part)
    lift = 6 * (ranked.features.values[0, NAMES.index("similarity")] - FLOOR)
    assert told.by_item["similarity"] == pytest.approx([lift * 3 / 7, lift / 7])
    assert set(told.by_item) == {"similarity"}


def test_of_a_raw_score_each_past_item_accounts_for_what_it_adds() -> None:
    """Also where the score is negative, as with a prior, and where it is below the mean."""
    config = settings(
        lists={"exclude": "none"}, factors={"prior": 1.0}, blend={"weights": {"factors": 2.0}}
    )
    mine = table(40, config=config)
    maker = maker_of(mine)
    [ranked] = maker.rank([maker.shopper(user(4, 1, 3), mine)], mine)
    assert (ranked.scores < 0).any()
    past, w = [3, 1, 4], 0.7 ** np.arange(3)
    for at, row in enumerate(ranked.candidates):
        adds = 2.0 * w / w.sum() * (mine.arrays.contexts[past] @ mine.arrays.targets[row])
        told = explain(maker, mine, ranked, at)
        assert told.by_item["factors"] == pytest.approx(adds, rel=1e-4, abs=1e-5)


def asked(config: Settings, who: str, item: str, flow: Flow | None = None) -> Answer:
    flow = flow or learnt(config)
    row = flow.table.row_of[item]
    maker, ranked = ranked_for(flow, who, row, config)
    found = answer(maker, flow.table, ranked, row)
    assert (found.user, found.item) == (who, item)
    if found.score is not None:
        assert found.score == pytest.approx(found.mean + sum(found.parts.values()), abs=1e-4)
    return found


def names_of(config: Settings, who: str) -> list[str]:
    flow = learnt(config)
    _, ranked = ranked_for(flow, who)
    return [flow.table.ids[j] or "" for j in ranked.candidates[ranked.order]]


def test_an_answer_about_a_listed_item() -> None:
    config = config_of(lists={"length": 4, "exclude": "none"})
    listed = names_of(config, "u1")
    for rank, item in enumerate(listed, 1):
        found = asked(config, "u1", item)
        assert (found.listed, found.rank, found.why_not) == (True, rank, "")
        assert (
            set(found.parts) <= {*NAMES, *ALL_EXTRAS, "network"}
            and found.ranks["popularity_long"] >= 1.0
        )
        assert set(found.past) <= {f"i{n}" for n in range(11)} and found.past
        json.dumps(found.ranks, allow_nan=False)


def test_an_answer_about_an_item_that_is_not_listed() -> None:
    config = config_of(lists={"length": 4, "exclude": "none"})
    listed = names_of(config, "u1")
    others = [f"i{n}" for n in range(1, 11) if f"i{n}" not in listed]
    answers = [asked(config, "u1", item) for item in others]
    found = [one for one in answers if one.rank is not None]
    assert {one.why_not[:19] for one in answers if one not in found} <= {"the user had it, or"}
    assert sorted(one.rank or 0 for one in found) == list(range(5, 5 + len(found)))
    assert len(found) > 3
    for one in found:
        assert not one.listed
        assert one.why_not == f"{(one.rank or 0) - 1} candidates score higher; a list has 4"


def test_an_answer_about_no_candidate() -> None:
    config = config_of(lists={"length": 4, "exclude": "user"})
    flow = learnt(config)
    taken = int(flow.users[0].users.row("u1").keys[0])
    item = next(i for i in flow.table.row_of if key_of(i) == taken)
    found = asked(config, "u1", item)
    assert (found.listed, found.rank, found.score) == (False, None, None)
    assert (found.parts, found.past) == ({}, {}) and "the user had it" in found.why_not
    assert "popularity_long" in found.ranks  # where it would be


def test_an_answer_about_a_cascade_that_is_reordered() -> None:
    config = config_of("reordered", lists={"length": 4, "exclude": "none"})
    for rank, item in enumerate(names_of(config, "u1"), 1):
        found = asked(config, "u1", item)
        assert found.listed and found.rank == rank and found.parts["factors"]
        assert not found.network_responds_to


def looking_at(config: Settings, **of: float) -> LearnedBlend:
    """Return a blend whose network adds so much a unit of a source's value, or gain of its rank."""
    one = LearnedBlend(blend_rules(config))
    one.inward[:] = 0.0
    for h, (name, slope) in enumerate(of.items()):
        source, _, rank = name.partition("_rank")
        one.inward[h, NAMES.index(source) + (ALL if _ else 0)] = 1.0
        one.outward[h] = slope
    return one


def test_what_the_network_responds_to() -> None:
    """Two candidates: 2 and -1 of the factors; the second is listed by cosine and successors."""
    config = config_of("learned")
    values, ranks = np.zeros((2, M), np.float32), np.zeros((2, M), np.uint8)
    values[:, FACTORS], ranks[1, [COSINE, SUCCESSORS]] = (2.0, -1.0), (1, 3)
    f = Features(values, ranks, np.zeros((2, len(ALL_EXTRAS)), np.float32), 3, SILENCE)
    untaught = LearnedBlend(blend_rules(config))  # as it starts: the network is silent
    assert (
        network_responds_to(untaught, f, 0, NAMES)
        == network_responds_to(untaught, f, 1, NAMES)
        == {}
    )
    one = looking_at(config, factors=0.5, cosine_rank=-0.2, successors_rank=0.019)
    before = (values.copy(), ranks.copy())
    # factors: 0.5 (2 - mean 0.5); nothing lists the first one
    assert network_responds_to(one, f, 0, NAMES) == pytest.approx({"factors": 0.75})
    # 0.5 (0.1 (-1) - 0.5), leaky below 0; -0.2 / log2(2); 0.019 / log2(4) is too small to name
    found = network_responds_to(one, f, 1, NAMES)
    assert list(found) == ["factors", "cosine"]
    assert found == pytest.approx({"factors": -0.3, "cosine": -0.2})
    assert (values == before[0]).all() and (ranks == before[1]).all()


def test_an_answer_says_what_the_network_responds_to() -> None:
    config = config_of("learned")
    flow = learnt(config)
    [best, *_] = names_of(config_of(), "u1")
    one = flow.table.blend = looking_at(config, popularity_short_rank=0.4)
    found = asked(config, "u1", best, flow)
    rank = 1.0 + found.ranks["popularity_short"]
    assert found.network_responds_to == pytest.approx(
        {"popularity_short": 0.4 / math.log2(rank)}, abs=1e-5
    )
    maker, ranked = ranked_for(flow, "u1")
    mean = ranked.mixture.blend.parts(ranked.filled, flow.table.blend)[:, -1].mean()
    responds = found.network_responds_to["popularity_short"]
    assert found.parts["network"] == pytest.approx(responds - mean, abs=1e-5)
    for kind in ("weighted", "vote"):  # a blend is stored, and not used
        assert not asked(config_of(kind), "u1", best, flow).network_responds_to
    one.losses[:], one.losses[1], one.seen[:] = 40.0, 10.0, 50.0
    assert not asked(config, "u1", best, flow).network_responds_to  # popularity leads


def test_an_answer_about_what_a_filter_removes() -> None:
    plain = config_of(lists={"length": 4, "exclude": "none"})
    best, second, *_ = names_of(plain, "u1")
    lists = {"length": 4, "exclude": "none", "filters": [f"item != '{best}' or user.id == 'u2'"]}
    config = config_of(lists=lists)
    found = asked(config, "u1", best)
    assert not found.listed and found.rank is None  # it is not even a candidate
    assert found.why_not.startswith("removed by filter 1")
    assert asked(config, "u1", second).rank == 1  # of the list, as it is shown
    assert "removed" not in asked(config, "u2", best).why_not


def test_an_answer_counts_boosts() -> None:
    plain = config_of(lists={"length": 4, "exclude": "none"})
    item = next(f"i{n}" for n in range(1, 11) if f"i{n}" not in names_of(plain, "u1"))
    before = asked(plain, "u1", item)
    lists = {"length": 4, "exclude": "none", "boosts": {f"item == '{item}'": 50.0}}
    found = asked(config_of(lists=lists), "u1", item)
    assert found.listed and found.rank == 1 and found.parts["rules"] == pytest.approx(50.0)
    assert found.score == pytest.approx((before.score or 0.0) + 50.0)
    assert "rules" not in before.parts


def test_an_answer_about_what_makes_way_for_variety() -> None:
    lists = {"length": 4, "exclude": "none"}
    plain = names_of(config_of(lists=lists), "u1")
    varied = config_of(lists=lists | {"diversity": "mmr", "diversity_budget": 1.0})
    gone = [item for item in plain if item not in names_of(varied, "u1")]
    assert gone
    for item in gone:
        found = asked(varied, "u1", item)
        assert not found.listed and "diversity" in found.why_not


def test_an_answer_about_a_stranger() -> None:
    config = config_of()
    found = asked(config, "nobody", names_of(config, "nobody")[0])
    assert found.listed and found.rank == 1 and found.past == {}
    assert set(found.ranks) <= set(NAMES[:3])


def test_weights_in_words() -> None:
    config = config_of("learned")
    one = taught("learned", config, 2)
    assert one is not None
    found = weights_of(config, one)
    assert found.leads == "blend" and found.samples == 50
    assert list(found.linear) == [*NAMES, *ALL_EXTRAS]
    assert list(found.linear["factors"]) == ["0", *(f"{low}+" for low in BUCKETS)]
    for bucket, length in zip(found.linear["factors"], (0, *BUCKETS), strict=True):
        weight = one.weights(length)[FACTORS]
        assert found.linear["factors"][bucket] == pytest.approx(weight, abs=1e-4)
    assert found.loss["blend"] == pytest.approx(0.8) and set(found.importance) == set(NAMES)
    one.losses[1 + COSINE] = 10.0
    assert weights_of(config, one).leads == "cosine"
    off = {"cosine", "repeats"}  # repeats where lists hold nothing twice
    less = config_of("learned", lists={"exclude": "user"}, blend={"off": ["cosine"]})
    found = weights_of(less, one)
    assert list(found.linear) == [n for n in (*NAMES, *EXTRAS) if n not in off]
    assert set(found.importance) == set(NAMES) - off == set(found.loss) - {"blend"}
