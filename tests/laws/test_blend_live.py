"""The learned blend over both stages, a scorer and a real Redis; `explain` and `weights` on it."""

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from laws.spine import EVENTS, Scored, Spine
from laws.world import SMALL, event
from make import context, merged
from oracle import NAMES, M
from typer.testing import CliRunner

from streamrec.blend.learned import E, LearnedBlend
from streamrec.blend.rules import BLEND_KEY, blend_owner, blend_rules
from streamrec.cli import app
from streamrec.client import Recommendations
from streamrec.commands.explain import explain
from streamrec.commands.recommend import recommend
from streamrec.commands.weights import weights
from streamrec.errors import ConfigurationError, StoreError
from streamrec.inspection.answer import Answer
from streamrec.inspection.explain import explained
from streamrec.settings.sections import Settings
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state import updates
from streamrec.state.keys import key_of
from streamrec.state.served import sample_of, times_shown
from streamrec.transport.kafka.log import Partition
from streamrec.transport.redis.keys import key

Make = Callable[[Settings, int], Spine]
PARTS = 2
OWNER = blend_owner(PARTS)
ITEMS = 29


def settings(**sections: dict[str, Any]) -> Settings:
    own = {"blend": {"sample": 1.0, "hidden": 3}, "lists": {"length": 5}}
    return merged(SMALL | own, **sections)


def clicks(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [event(f"u{n % 4}", f"i{n * 7 % ITEMS}", ts=start + n) for n in range(count)]


class Live(Scored):
    """Both stages and one scorer, after some clicks."""

    def __init__(self, spine: Spine, count: int = 60) -> None:
        super().__init__(spine, count)
        spine.learn(clicks(count), batch=10)
        self.score()

    def blend(self) -> LearnedBlend | None:
        blob = self.spine.store.rows(f"i{OWNER}", "blend", [BLEND_KEY])[0]
        return LearnedBlend.from_bytes(blob, blend_rules(self.spine.settings)) if blob else None


@pytest.fixture
def live(make_spine: Make) -> Live:
    return Live(make_spine(settings(), PARTS))


def test_the_whole_way_of_a_click_to_the_lists(live: Live) -> None:
    """Shown row -> click -> record of the blend's owner -> owner -> item table of the scorer."""
    spine, item = live.spine, live.listed("u1")[2]
    [shown] = spine.store.shown(["u1"])
    assert shown is not None
    sample = sample_of(shown, key_of(item), 1.0)
    assert sample is not None
    expected = LearnedBlend(blend_rules(spine.settings))
    features, clicked, weight = expected.read_sample(sample) or pytest.fail("not a sample")
    assert weight == 1.0 and clicked < len(features.values)

    spine.send([event("u1", item, ts=100)])
    spine.users.step()
    newest = [spine.broker.messages[Partition("updates", n)][-1] for n in range(PARTS)]
    records = [updates.decode(message.value or b"") for message in newest]
    assert records[OWNER].header.samples == [(60, sample)]
    assert records[1 - OWNER].header.samples == []
    assert live.blend() is None

    spine.items.step()
    expected.learn(features, clicked, weight)
    found = live.blend()
    assert found is not None and found.to_bytes() == expected.to_bytes()
    assert spine.store.rows(f"i{1 - OWNER}", "blend", [BLEND_KEY]) == [None]

    assert live.scorer._feed.table.blend is None
    live.score()
    table = live.scorer._feed.table
    assert table.blend is not None and table.blend.to_bytes() == expected.to_bytes()
    assert item not in live.listed("u1")


def test_many_clicks_move_the_blend_and_the_lists_follow_it(live: Live) -> None:
    for n in range(40):
        user = f"u{n % 4}"
        wanted = live.listed(user)
        live.click(user, wanted[n % len(wanted)] if wanted else "i1")
        live.score()
    found = live.blend()
    assert found is not None and found.seen[0] == live.spine.value("blend_samples_total") >= 30
    assert abs(found.linear[0, :M] - blend_rules(live.spine.settings).start).max() > 0
    feed = live.spine.new_feed()
    feed.refresh(1.0, live.spine.metrics)
    assert feed.table.blend is not None and feed.table.blend.to_bytes() == found.to_bytes()


def test_a_click_that_is_delivered_again_is_learnt_once(live: Live) -> None:
    item = live.listed("u1")[0]
    live.click("u1", item)
    before = live.blend()
    spine = live.spine
    offset = spine.items_log.high_watermark(Partition("updates", OWNER)) or 0
    spine.items_log.keep_back[Partition("updates", OWNER)] = offset - 1
    spine.items.step()
    again = spine.broker.messages[Partition("updates", OWNER)][-1].value  # the same, sent twice
    spine.broker.append(Partition("updates", OWNER), again)
    spine.items.step()
    after = live.blend()
    assert before is not None and after is not None and after.to_bytes() == before.to_bytes()
    spine.start()
    live.click("u2", live.listed("u2")[0])
    last = live.blend()
    assert last is not None and last.seen[0] == 2


def test_a_dislike_an_impression_and_a_click_elsewhere_teach_the_blend_nothing(live: Live) -> None:
    for kind in ("dislike", "impression", "remove"):
        live.click("u1", live.listed("u1")[0], kind)
    live.click("u1", "of no list")
    assert live.blend() is None and live.spine.value("blend_samples_total") == 0


def test_a_type_of_weight_0_teaches_the_blend_nothing(make_spine: Make) -> None:
    live = Live(make_spine(settings(blend={"event_weights": {"view": 0.0}}), PARTS))
    for kind, samples in (("view", 0), ("click", 1)):
        live.click("u1", live.listed("u1")[0], kind)
        live.score()
        assert live.spine.value("blend_samples_total") == samples
        assert (live.blend() is not None) == (samples > 0)


def test_a_stranger_clicks_on_the_popular_list(live: Live) -> None:
    """The first event of a user is not scorable, the second was proposed by the popular list."""
    popular = live.listed("~popular")
    live.click("new", popular[0])
    assert live.blend() is None
    live.click("new", popular[1])
    found = live.blend()
    assert found is not None and found.seen[0] == 1


def test_weights_are_printed(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    weights(context(live.spine.settings))
    assert "learnt from no click yet" in capsys.readouterr().out
    live.click("u1", live.listed("u1")[1])
    weights(context(live.spine.settings))
    text = capsys.readouterr().out
    assert "1 clicks learnt from; the lists follow" in text
    assert all((source in text) == (source != "repeats") for source in NAMES)
    weights(context(live.spine.settings), as_json=True)
    found = json.loads(capsys.readouterr().out)
    blend = live.blend()
    assert blend is not None and found["samples"] == 1
    assert found["linear"]["similarity"]["5+"] == pytest.approx(
        float(blend.weights(5)[NAMES.index("similarity")]), abs=1e-4
    )
    assert set(found["loss"]) == {"blend", *NAMES} - {"repeats"}  # off: lists hold nothing twice


def check_answer(live: Live, user: str) -> None:
    """The served list, and what `explain` says of each item, are one."""
    spine = live.spine
    listed = live.listed(user)
    assert listed
    entries = {e["item"]: e for e in spine.served(user)["items"]}
    for rank, item in enumerate(listed, 1):
        found = explained(spine.settings, spine.store, user, item)
        assert (found.listed, found.rank, found.why_not) == (True, rank, "")
        assert found.score == pytest.approx(entries[item]["score"], abs=2e-4)
        assert sum(found.parts.values()) + found.mean == pytest.approx(found.score, abs=1e-3)
        assert found.ranks


def test_explain_agrees_with_the_list_that_is_served(live: Live) -> None:
    for user in ("u0", "u3"):
        check_answer(live, user)
    for n in range(8):
        live.click(f"u{n % 4}", live.listed(f"u{n % 4}")[n % 3])
        live.score()
        check_answer(live, f"u{n % 4}")
    assert live.blend() is not None
    check_answer(live, "~popular")


def test_explain_agrees_with_rules_and_rotation(make_spine: Make) -> None:
    taken = {one["item"] for one in clicks(60) if one["user"] in ("u0", "u3")}
    never, *some = [f"i{n}" for n in range(ITEMS) if f"i{n}" not in taken]
    lists = {
        "length": 4, "rotation": 2.0, "filters": [f"item != '{never}' and user.id != 'u3'"],
        "boosts": {f"item in {json.dumps(some[:2])}": 0.9},
    }  # fmt: skip
    live = Live(make_spine(settings(lists=lists), PARTS))
    spine = live.spine
    assert live.listed("u0") and not live.listed("u3")
    lists_served = [live.listed("u0")]
    for _ in range(5):
        live.click("u0", "i1", "remove")  # due again; of the list nothing is taken
        [before] = spine.store.shown(["u0"])
        wanted = explain_all(live, "u0")  # what a list made now would be
        live.score()
        assert live.listed("u0") == wanted
        lists_served.append(wanted)
        [after] = spine.store.shown(["u0"])
        times = times_shown(after)
        assert times == {key: 1 + times_shown(before).get(key, 0) for key in times}
    assert max(times.values()) > 1 and len({*map(tuple, lists_served)}) > 2
    gone = explained(spine.settings, spine.store, "u0", never)
    assert not gone.listed and "removed by filter 1" in gone.why_not
    gone = explained(spine.settings, spine.store, "u3", some[0])
    assert not gone.listed and "user.id" in gone.why_not


def test_recommend_takes_more_filters(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    spine, user = live.spine, "u0"
    served = live.listed(user)

    def listed(*filters: str) -> list[str]:
        recommend(context(spine.settings), user, filters, as_json=True)
        found = msgspec.json.decode(capsys.readouterr().out, type=Recommendations)
        assert found.user == user and found.personal and found.at > 0
        return [entry.item for entry in found.items]

    assert listed('item != "none"') == served  # the same list, made anew
    less = listed(f'item != "{served[0]}"', f'item != "{served[2]}"')
    assert [i for i in less if i in served] == [served[1], *served[3:]] and len(less) == len(served)
    assert live.listed(user) == served  # what is served stays
    recommend(context(spine.settings), user, ['item == "none"'])
    assert "the filters remove every candidate" in capsys.readouterr().out
    spine.describe(item=served[1], title="A tea pot", attributes={"price": 12})
    spine.turn()
    assert listed("price < 20 and title contains 'tea'") == [served[1]]
    with pytest.raises(ConfigurationError, match='--filter: unknown field "pric"'):
        recommend(context(spine.settings), user, ["pric < 20"])


def explain_all(live: Live, user: str) -> list[str]:
    """Return the items that `explain` calls listed, by their ranks."""
    spine = live.spine
    found = [explained(spine.settings, spine.store, user, f"i{n}") for n in range(ITEMS)]
    return [a.item for a in sorted(found, key=lambda a: a.rank or 99) if a.listed]


def test_explain_says_why_not(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    spine = live.spine

    def ask(user: str, item: str) -> Answer:
        explain(context(spine.settings), user, item, as_json=True)
        return msgspec.json.decode(capsys.readouterr().out, type=Answer)

    taken = clicks(60)[57]["item"]  # of u1
    assert "the user had it" in ask("u1", taken).why_not
    assert ask("u1", "never heard of").why_not == "no event or metadata names this item"
    unlisted = [f"i{n}" for n in range(ITEMS) if f"i{n}" not in live.listed("nobody")]
    answers = {item: ask("nobody", item) for item in unlisted}
    [beyond, *_] = [a for a in answers.values() if not a.listed]
    assert beyond.why_not == f"{(beyond.rank or 0) - 1} candidates score higher; a list has 5"
    spine.describe(item="i3", title="Three", available=False)
    spine.turn()
    assert ask("nobody", "i3").why_not == "it is not available"
    spine.describe(item="unclicked", title="New")
    spine.turn()
    assert ask("nobody", "unclicked").user == "nobody"
    live.click("u1", "i5", "dislike")
    assert "disliked" in ask("u1", "i5").why_not
    explain(context(spine.settings), "u1", live.listed("u1")[0])
    assert " of a list made now for u1" in capsys.readouterr().out
    explain(context(spine.settings), "u1", "[bold]i5")
    assert "[bold]i5 is not in a list" in capsys.readouterr().out


def test_explain_says_what_the_network_responds_to(
    live: Live, clean_redis: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spine, item = live.spine, live.listed("u1")[0]
    found = LearnedBlend(blend_rules(spine.settings))  # no source leads it
    found.inward[:] = 0.0
    found.inward[0, M + E + NAMES.index("popularity_short")] = 1.0  # its 1 / log2(1 + rank)
    for slope in (3.0, -3.0, 0.0):
        found.outward[0] = slope
        clean_redis.client().hset(key(f"i{OWNER}", "blend"), BLEND_KEY, found.to_bytes())
        answer = explained(spine.settings, spine.store, "u1", item)
        assert sum(answer.parts.values()) + answer.mean == pytest.approx(answer.score, abs=1e-4)
        explain(context(spine.settings), "u1", item, as_json=True)
        wanted = slope / math.log2(1 + answer.ranks["popularity_short"])
        assert json.loads(capsys.readouterr().out)["network_responds_to"] == (
            {"popularity_short": pytest.approx(wanted, abs=1e-5)} if slope else {}
        )
        assert ("network" in answer.parts) == (slope != 0.0)
        explain(context(spine.settings), "u1", item)
        line = f"The network responds to: popularity_short {wanted:+.2f} "
        line += "(each alone; these do not sum)."
        assert (line in capsys.readouterr().out) == (slope != 0.0)


@pytest.mark.usefixtures("nothing_configured")
def test_the_commands(live: Live) -> None:
    live.click("u1", live.listed("u1")[1])
    live.score()
    sizes = ["factors.size=4", "factors.context=2", "users.recent_items=5", "blend.hidden=3",
             "lists.length=5", "content.size=4", "similarity.window=3", "similarity.neighbours=30",
             "cosine.neighbours=5", "successors.entries=6", "similarity.half_life_seconds=50",
             "cosine.half_life_seconds=80"]  # fmt: skip
    before = ["--redis", live.spine.settings.redis.url]
    before += [word for size in sizes for word in ("--set", size)]
    for command, said in (
        (["weights"], "1 clicks learnt from"), (["weights", "--json"], '"samples":1'),
        (["explain", "u1", live.listed("u1")[0]], " of a list made now for u1"),
        (["explain", "u1", "i1", "--json"], '"user":"u1","item":"i1"'),
    ):  # fmt: skip
        result = CliRunner().invoke(app, [*before, *command])
        assert result.exit_code == 0 and said in result.stdout, result.output
    for command in (["weights"], ["explain", "u1", "i1"]):
        result = CliRunner().invoke(app, ["--redis", "redis://127.0.0.1:1/0", *command])
        assert result.exit_code == 69 and result.stderr.startswith("streamrec: Redis did not")
    assert CliRunner().invoke(app, ["explain", "u1"]).exit_code == 2


def test_a_segment_counts_in_the_served_list(make_spine: Make) -> None:
    spine = make_spine(settings(blend={"weights": {"segment": 1.0}}), PARTS)
    spine.send([event(f"w{n}", f"i{n % 3}", ts=n, segment="at") for n in range(30)])
    spine.send([event(f"v{n}", f"i{3 + n % 5}", ts=n, segment="de") for n in range(30)])
    spine.send([event("u1", "elsewhere", ts=90, segment="at")])
    spine.turn()
    spine.score()
    listed = spine.listed("u1")
    assert set(listed[:3]) == {"i0", "i1", "i2"}
    assert not any(item.startswith(SEGMENT_PREFIX) for item in listed)
    found = explained(spine.settings, spine.store, "u1", listed[0])
    assert max(found.parts, key=lambda part: -abs(found.parts[part])) == "segment"
    assert spine.broker.messages[EVENTS]


def test_without_state_there_is_nothing_to_explain(
    make_spine: Make, clean_redis: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spine = make_spine(settings(), PARTS)
    clean_redis.client().flushall()
    for ask in (
        lambda: weights(context(spine.settings)),
        lambda: explain(context(spine.settings), "u1", "i1"),
    ):
        with pytest.raises(StoreError, match="start `streamrec learn`") as caught:
            ask()
        assert caught.value.exit_code == 69
    spine.store.declare(1, PARTS, 1, spine.settings.factors.size)
    found = explained(spine.settings, spine.store, "u1", "i1")
    assert found.why_not == "no event or metadata names this item"
    assert capsys.readouterr().out == ""
