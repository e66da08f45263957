"""Explanations add up to the score, and past items are named for what they did."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from laws.world import World, event, raws, small
from streamrec.state.rows import UserRow

from streamrec.blend import combine as blend
from streamrec.blend.learned import BUCKETS, LINEAR, Features, LearnedBlend
from streamrec.blend.rules import blend_rules
from streamrec.evaluation.prequential import user_row
from streamrec.inspection.answers import Answer, Case, answer
from streamrec.inspection.weights import weights_of
from streamrec.ranking.explain import PARTS, contributions, explain, network_responds_to
from streamrec.ranking.lists import NOBODY, ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.sources.popularity import LOG_FLOOR
from streamrec.sources.registry import (
    CONTENT,
    COSINE,
    EXTRAS,
    FACTORS,
    POPULARITY_LONG,
    REPEATS,
    SEGMENT,
    SIMILARITY,
    SOURCES,
    SUCCESSORS,
)
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of

M = len(SOURCES)
KINDS = ("learned", "untaught", "led", "weighted", "vote", "borda", "cascade", "reordered")
WEIGHTS = {name: 0.2 + 0.1 * n for n, name in enumerate(SOURCES)}


def config_of(kind: str = "weighted", **sections: dict[str, Any]) -> Settings:
    reorder = "factors" if kind == "reordered" else ""
    kind = {"untaught": "learned", "led": "learned", "reordered": "cascade"}.get(kind, kind)
    sections = {"lists": {"exclude": "none"}, "users": {"recent_items": 6}} | sections
    fixed = {"hidden": 3, "kind": kind, "weights": WEIGHTS, "reorder": reorder}
    return small(**sections | {"blend": fixed | sections.get("blend", {})})


def learnt(config: Settings, seed: int = 1, events: int = 90, items: int = 11) -> World:
    """Return both folds after random events; the items have titles."""
    rng, world = np.random.default_rng(seed), World(config)
    log = [
        event(
            f"u{rng.integers(5)}", f"i{min(items - 1, int(rng.geometric(0.2)))}",
            ["click", "click", "view", "dislike"][int(rng.integers(4))], 3 * n,
            **({"segment": "at"} if n % 2 else {}),
        )
        for n in range(events)
    ]  # fmt: skip
    world.learn(raws(log))
    for n in range(items):
        described(world.table, f"i{n}", title=f"{['red', 'blue'][n % 2]} thing {n % 3}")
    return world


def described(table: ItemTable, item: str, **fields: Any) -> None:
    key, blob = key_of(item).to_bytes(8, "little"), json.dumps({"item": item, **fields}).encode()
    table.apply("catalogue", [(key, blob)])


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


def ranked_for(world: World, row: UserRow) -> tuple[ListMaker, Ranked]:
    maker = ListMaker(world.settings)
    maker.prepare(world.table)
    return maker, maker.rank([row], world.table, [0])[0]


def row_of(world: World, user: str) -> UserRow:
    shard = world.users[0]
    return user_row(shard, shard.users.row_of[user]) if user in shard.users.row_of else NOBODY


@budget_of(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.sampled_from(["u0", "u3", "nobody"]))
def test_the_parts_of_every_candidate_add_up_to_its_score(kind: str, seed: int, user: str) -> None:
    config = config_of(kind, factors={"prior": 0.5 * (seed % 2), "context_norm": 0.5})
    world = learnt(config, seed)
    world.table.blend = taught(kind, config, seed)
    maker, ranked = ranked_for(world, row_of(world, user))
    how = config.blend
    parts = blend.parts(
        how.kind, ranked.features, maker.weights, world.table.blend, how.reorder
    )  # fmt: skip
    assert parts.shape == (len(ranked.candidates), len(PARTS)) and len(ranked.candidates)
    assert parts.sum(axis=1) == pytest.approx(ranked.scores, rel=1e-4, abs=1e-4)
    for n, row in enumerate(ranked.candidates.tolist()):
        found = explain(config, world.table, ranked.history, row, parts[n])
        assert found.parts.tolist() == parts[n].tolist()
        assert found.by_item.shape == (M, len(ranked.history))
        total = found.by_item.sum() + found.own.sum()
        assert total == pytest.approx(parts[n].sum(), rel=1e-6, abs=1e-6)
        assert np.isfinite(found.by_item).all()
        # extras and the network belong to no past item; nor do sources that know none
        assert found.own[M:].tolist() == parts[n, M:].tolist()
        assert not found.by_item[[*range(POPULARITY_LONG + 1), SEGMENT]].any()


@pytest.mark.parametrize("user", ["u0", "u1", "u2", "u3", "u4"])
@pytest.mark.parametrize("prior", [0.0, 2.0])
def test_contributions_are_what_the_sources_said(user: str, prior: float) -> None:
    config = config_of(factors={"prior": 0.7, "context_norm": 0.5}, similarity={"prior": prior})
    world = learnt(config, 3)
    _, ranked = ranked_for(world, row_of(world, user))
    table, history = world.table, ranked.history
    every = range(len(table))
    given_by = np.array([contributions(config, table, history, j).sum(axis=1) for j in every])
    a, near = table.arrays, history[: config.similarity.window]
    shares = np.exp2(a.heats[: len(table), POPULARITY_LONG] - table.log2_totals()[POPULARITY_LONG])
    decay = config.factors.context_decay ** np.arange(len(near))
    mass = (decay * prior / (a.totals[near] + prior)).sum()
    wanted = np.full((len(table), M), np.nan)
    wanted[:, SIMILARITY] = given_by[:, SIMILARITY] + mass * shares
    for m in (COSINE, SUCCESSORS):
        wanted[:, m] = given_by[:, m] / given_by[:, m].sum()
    with np.errstate(divide="ignore"):
        wanted[:, [SIMILARITY, COSINE, SUCCESSORS]] = np.maximum(
            LOG_FLOOR, np.log(wanted[:, [SIMILARITY, COSINE, SUCCESSORS]])
        )
    h, total = table.prior_heat()
    floored = np.maximum(LOG_FLOOR, math.log(2.0) * (h - total))
    wanted[:, FACTORS] = given_by[:, FACTORS] + a.biases[: len(table)] + 0.7 * floored
    wanted[:, CONTENT] = given_by[:, CONTENT]
    values, rows = ranked.features.values, ranked.candidates
    for m in (SIMILARITY, COSINE, SUCCESSORS, FACTORS, CONTENT):
        assert wanted[rows, m] == pytest.approx(values[:, m], rel=1e-4, abs=1e-4), SOURCES[m]
    said = [SIMILARITY, COSINE, SUCCESSORS, FACTORS]
    assert (np.abs(given_by[rows][:, said]).max(axis=0) > 0).all()
    assert (given_by[:, REPEATS] > 0).tolist() == [j in history for j in every]


def test_shares_follow_the_contributions_and_the_rest_is_the_items_own() -> None:
    """Similarity's part: half for its popularity, the rest three to one for two past items."""
    config = small(
        factors={"context_decay": 1.0}, similarity={"prior": 2.0, "window": 2}, blend={"hidden": 3}
    )
    table = ItemTable(config, with_lists=True)
    for name in "abc":
        table.row(name)
    arrays = table.arrays
    arrays.popularity[:3, :] = 1.0
    table._take_popularity(np.arange(3))
    arrays.neighbours[:2, 0], arrays.weights[:2, 0], arrays.sizes[:2] = 2, (1.0, 1 / 3), 1
    arrays.totals[:2] = 2.0
    parts = np.zeros(len(PARTS))
    parts[SIMILARITY], parts[-1] = -6.0, 0.25
    found = explain(config, table, np.array([0, 1], np.int32), 2, parts)
    # of 1/4 and 1/12 by the neighbours, and (1/2 + 1/2) / 3 by popularity
    assert found.by_item[SIMILARITY] == pytest.approx([-6 * 3 / 8, -6 * 1 / 8])
    assert found.own[SIMILARITY] == pytest.approx(-3.0) and found.own[-1] == 0.25
    assert not np.delete(found.by_item, SIMILARITY, axis=0).any()


def asked(config: Settings, user: str, item: str, world: World | None = None) -> Answer:
    world = world or learnt(config)
    maker = ListMaker(config)
    maker.prepare(world.table)
    row, who = world.table.row_of[item], row_of(world, user)
    [ranked] = maker.rank([who], world.table, [row], [user])
    return answer(config, maker, user, item, who, Case(world.table, ranked, row))


def names_of(config: Settings, user: str) -> list[str]:
    world = learnt(config)
    maker = ListMaker(config)
    maker.prepare(world.table)
    [made] = maker.make([row_of(world, user)], world.table, [user])
    return [entry.item for entry in made.items]


def test_an_answer_about_a_listed_item() -> None:
    config = config_of(lists={"length": 4, "exclude": "none"})
    listed = names_of(config, "u1")
    for place, item in enumerate(listed, 1):
        found = asked(config, "u1", item)
        assert (found.listed, found.place, found.why_not) == (True, place, "")
        assert found.score == pytest.approx(sum(found.parts.values()), abs=1e-4)
        assert set(found.parts) <= set(PARTS) and found.places["popularity_long"] >= 1.0
        assert set(found.past) <= {f"i{n}" for n in range(11)} and found.past
        json.dumps(found.places, allow_nan=False)


def test_an_answer_about_an_item_that_is_not_listed() -> None:
    config = config_of(lists={"length": 4, "exclude": "none"})
    listed = names_of(config, "u1")
    others = [f"i{n}" for n in range(1, 11) if f"i{n}" not in listed]
    answers = [asked(config, "u1", item) for item in others]
    found = [one for one in answers if one.place is not None]
    assert {one.why_not[:19] for one in answers if one not in found} <= {"the user had it, or"}
    assert sorted(one.place or 0 for one in found) == list(range(5, 5 + len(found)))
    assert len(found) > 3
    for one in found:
        place = one.place or 0
        assert not one.listed
        assert one.why_not == f"{place - 1} candidates score higher; a list has 4"


def test_an_answer_about_no_candidate() -> None:
    config = config_of(lists={"length": 4, "exclude": "user"})
    world = learnt(config)
    taken = int(world.users[0].users.arrays.keys[world.users[0].users.row_of["u1"], 0])
    item = next(i for i in world.table.row_of if key_of(i) == taken)
    found = asked(config, "u1", item)
    assert (found.listed, found.place, found.score) == (False, None, None)
    assert (found.parts, found.past) == ({}, {}) and "the user had it" in found.why_not
    assert "popularity_long" in found.places  # where it would be


def test_an_answer_about_a_cascade_that_is_reordered() -> None:
    config = config_of("reordered", lists={"length": 4, "exclude": "none"})
    for place, item in enumerate(names_of(config, "u1"), 1):
        found = asked(config, "u1", item)
        assert found.listed and found.place == place and 0.0 < found.parts["factors"]
        assert found.score == pytest.approx(sum(found.parts.values()), abs=1e-4)
        assert not found.network_responds_to


def looking_at(config: Settings, **of: float) -> LearnedBlend:
    """Return a blend whose network adds so much a unit of a source's value, or gain of its rank."""
    one = LearnedBlend(blend_rules(config))
    one.inward[:] = 0.0
    for h, (name, slope) in enumerate(of.items()):
        source, _, rank = name.partition("_rank")
        one.inward[h, SOURCES.index(source) + (LINEAR if _ else 0)] = 1.0
        one.outward[h] = slope
    return one


def test_what_the_network_responds_to() -> None:
    """Two candidates: 2 and -1 of the factors; the second is listed by cosine and successors."""
    config = config_of("learned")
    values, ranks = np.zeros((2, M), np.float32), np.zeros((2, M), np.uint8)
    values[:, FACTORS], ranks[1, [COSINE, SUCCESSORS]] = (2.0, -1.0), (1, 3)
    f = Features(values, ranks, np.zeros((2, len(EXTRAS)), np.float32), 3)
    untaught = LearnedBlend(blend_rules(config))  # as it starts: the network is silent
    assert network_responds_to(untaught, f, 0) == network_responds_to(untaught, f, 1) == {}
    one = looking_at(config, factors=0.5, cosine_rank=-0.2, successors_rank=0.019)
    before = (values.copy(), ranks.copy())
    # factors: 0.5 (2 - mean 0.5); nothing lists the first one
    assert network_responds_to(one, f, 0) == pytest.approx({"factors": 0.75})
    # 0.5 (0.1 (-1) - 0.5), leaky below 0; -0.2 / log2(2); 0.019 / log2(4) is too small to name
    found = network_responds_to(one, f, 1)
    assert list(found) == ["factors", "cosine"]
    assert found == pytest.approx({"factors": -0.3, "cosine": -0.2})
    assert (values == before[0]).all() and (ranks == before[1]).all()


def test_an_answer_says_what_the_network_responds_to() -> None:
    config = config_of("learned")
    world = learnt(config)
    [best, *_] = names_of(config_of(), "u1")
    one = world.table.blend = looking_at(config, popularity_short_rank=0.4)
    found = asked(config, "u1", best, world)
    rank = 1.0 + found.places["popularity_short"]
    assert found.network_responds_to == pytest.approx(
        {"popularity_short": 0.4 / math.log2(rank)}, abs=1e-5
    )
    assert found.parts["network"] == found.network_responds_to["popularity_short"]
    assert found.score == pytest.approx(sum(found.parts.values()), abs=1e-4)
    for kind in ("weighted", "vote"):  # a blend is stored, and not used
        assert not asked(config_of(kind), "u1", best, world).network_responds_to
    one.losses[:], one.losses[1], one.seen[:] = 40.0, 10.0, 50.0
    assert not asked(config, "u1", best, world).network_responds_to  # popularity leads


def test_an_answer_about_what_a_filter_removes() -> None:
    plain = config_of(lists={"length": 4, "exclude": "none"})
    best, second, *_ = names_of(plain, "u1")
    lists = {"length": 4, "exclude": "none", "filters": [f"item != '{best}' or user.id == 'u2'"]}
    config = config_of(lists=lists)
    found = asked(config, "u1", best)
    assert not found.listed and found.place == 1
    assert found.why_not.startswith("removed by filter 1")
    assert asked(config, "u1", second).place == 1  # of the list, as it is shown
    assert "removed" not in asked(config, "u2", best).why_not


def test_an_answer_counts_boosts() -> None:
    plain = config_of(lists={"length": 4, "exclude": "none"})
    item = next(f"i{n}" for n in range(1, 11) if f"i{n}" not in names_of(plain, "u1"))
    before = asked(plain, "u1", item)
    lists = {"length": 4, "exclude": "none", "boosts": {f"item == '{item}'": 50.0}}
    found = asked(config_of(lists=lists), "u1", item)
    assert found.listed and found.place == 1 and found.parts["rules"] == pytest.approx(50.0)
    assert found.score == pytest.approx((before.score or 0.0) + 50.0)
    assert found.score == pytest.approx(sum(found.parts.values()), abs=1e-4)
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
    assert found.listed and found.place == 1 and found.past == {}
    assert set(found.places) <= set(SOURCES[:3])


def test_weights_in_words() -> None:
    config = config_of("learned")
    one = taught("learned", config, 2)
    assert one is not None
    found = weights_of(one)
    assert found.leads == "blend" and found.samples == 50
    assert list(found.linear) == [*SOURCES, *EXTRAS]
    assert list(found.linear["factors"]) == ["0", *(f"{low}+" for low in BUCKETS)]
    for bucket, length in zip(found.linear["factors"], (0, *BUCKETS), strict=True):
        weight = one.weights(length)[FACTORS]
        assert found.linear["factors"][bucket] == pytest.approx(weight, abs=1e-4)
    assert found.loss["blend"] == pytest.approx(0.8) and set(found.importance) == set(SOURCES)
    one.losses[1 + COSINE] = 10.0
    assert weights_of(one).leads == "cosine"
