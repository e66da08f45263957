"""The neural ranker in a list: its part adds up, is shared out over past items, and is a reason."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from laws.world import NOW, small
from numpy.typing import NDArray

from streamrec.evaluation.prequential import Prequential
from streamrec.events.event import Event, Item
from streamrec.flow import Flow
from streamrec.neural.projected import Projected
from streamrec.neural.reading import PAST, Shape
from streamrec.neural.sample import kept
from streamrec.neural.serve import Served
from streamrec.ranking.explain import explain
from streamrec.ranking.lists import NEURAL, ListMaker, Ranked
from streamrec.ranking.moves import moved
from streamrec.text.words import WIDTH, Encoder


def any_network(shape: Shape, seed: int = 1, size: float = 0.5) -> Served:
    """Return a network of random weights, which needs no torch."""
    rng, u, d, t = np.random.default_rng(seed), 5, 7, 3

    def some(*sizes: int) -> Any:
        return (size * rng.standard_normal(sizes)).astype(np.float32)

    return Served(
        alpha=1.3, pair=some(len(shape.channels) + 1, u), past=some(PAST, u), pair_bias=some(u),
        unit=some(u, u), unit_bias=some(u), inward=some(shape.facts + 2 * u, d),
        inward_bias=some(d), again=some(d, d), again_bias=some(d), head=some(d),
        project=some(shape.text, t), middle=some(t),
    )  # fmt: skip


def learnt(encoder: Encoder | None = None, **sections: dict[str, Any]) -> Flow:
    """Return all stages after random events, of a blend that has learnt a little."""
    config = small(
        lists={"exclude": "none", "length": 6, "because": 3},
        users={"recent_items": 6},
        neural={"candidates": 8, "history": 4},
        **sections,
    )
    rng, live = np.random.default_rng(3), Prequential(config, encoder=encoder)
    for n in range(12):
        live.announce(Item(f"i{n}", title=f"{['red', 'blue'][n % 2]} thing {n % 3}"))
    for n in range(250):
        who, what = f"u{rng.integers(5)}", f"i{min(11, int(rng.geometric(0.2)))}"
        live.step(Event(who, what, "click", 1_700_000_000_000 + 60_000 * n))
    live.flow.follow()
    assert live.table.blend is not None
    live.table.blend.losses[0] = 0.0  # no source leads
    return live.flow


def ranked_by(flow: Flow, network: Served | None, user: str = "u1") -> tuple[ListMaker, Ranked]:
    maker = flow.prepared()
    maker.network = network
    shopper = maker.shopper(flow.users[0].users.row(user), flow.table, user)
    return maker, maker.rank([shopper], flow.table)[0]


def times_shown(network: bool, counted: bool) -> dict[str, dict[int, int]]:
    """Return how often in a row each item was in the lists of each user, under rotation."""
    config = small(
        lists={"exclude": "none", "length": 3, "rotation": 5.0},
        users={"recent_items": 6},
        neural={"candidates": 8, "history": 4},
    )
    rng, live = np.random.default_rng(3), Prequential(config)
    lists = live.flow.lists
    lists.network = any_network(lists.reader.shape) if network else None
    for n in range(150):
        if live.table.blend is not None:
            live.table.blend.losses[0] = 0.0  # no source leads
        who, what = f"u{rng.integers(5)}", f"i{min(11, int(rng.geometric(0.2)))}"
        live.step(Event(who, what, "click", 1_700_000_000_000 + 60_000 * n), counted=counted)
    return live.times


def test_what_a_warm_up_would_have_listed_is_rotated() -> None:
    counted = times_shown(network=True, counted=True)
    assert times_shown(network=True, counted=False) == counted
    assert times_shown(network=False, counted=True) != counted


def test_without_a_network_lists_are_the_blends() -> None:
    flow = learnt()
    _, ranked = ranked_by(flow, None)
    assert not ranked.moves.any() and ranked.reading is None
    np.testing.assert_array_equal(ranked.scores, ranked.blended)


def test_the_network_orders_the_best_and_leaves_the_others_below() -> None:
    flow = learnt()
    maker, ranked = ranked_by(flow, any_network(flow.lists.reader.shape))
    reading = ranked.reading
    assert reading is not None and len(reading.at) == 8 < len(ranked.candidates)
    best = np.argsort(-ranked.blended, kind="stable")[:8]
    np.testing.assert_array_equal(reading.at, best)
    np.testing.assert_allclose(ranked.scores, ranked.blended + ranked.moves)
    rest = np.setdiff1d(np.arange(len(ranked.candidates)), best)
    assert ranked.scores[rest].max() <= ranked.scores[best].min()
    kept_order = ranked.scores[rest][np.argsort(-ranked.blended[rest], kind="stable")]
    assert (np.diff(kept_order) <= 0).all()
    assert set(ranked.order.tolist()) <= set(best.tolist())
    assert ranked.order.tolist() != best[:6].tolist()


def test_the_parts_add_up_and_past_items_share_the_networks() -> None:
    flow = learnt()
    network = any_network(flow.lists.reader.shape)
    maker, ranked = ranked_by(flow, network)
    for at in range(len(ranked.candidates)):
        told = explain(maker, flow.table, ranked, at)
        total = told.mean + sum(told.parts.values())
        assert total + ranked.level == pytest.approx(ranked.scores[at], rel=1e-4, abs=1e-4)
        assert told.parts[NEURAL] == pytest.approx(ranked.moves[at] - ranked.moves.mean())
        shares = told.by_item[NEURAL]
        assert len(shares) == len(ranked.shopper.history) and not shares[4:].any()
    assert NEURAL not in explain(*_rank_again(flow, None), 0).parts


def _rank_again(flow: Flow, network: Served | None) -> Any:
    maker, ranked = ranked_by(flow, network)
    return maker, flow.table, ranked


def test_an_item_that_the_network_lifts_names_it_and_its_past_items_in_their_order() -> None:
    flow = learnt()
    network = any_network(flow.lists.reader.shape, size=1.0)
    maker, ranked = ranked_by(flow, network)
    [made] = maker.make([ranked.shopper], flow.table)
    ids = [flow.table.ids[row] for row in ranked.shopper.history.tolist()]
    named = 0
    for entry, at in zip(made.items, ranked.order.tolist(), strict=True):
        if entry.source == NEURAL:
            shares = explain(maker, flow.table, ranked, at).by_item[NEURAL]
            found = [shares[ids.index(name)] for name in entry.because]
            assert found == sorted(shares[shares > 0], reverse=True)[:3]
            named += len(found)
    assert named


class Sizes:
    """Encodes a text as its number of letters, in one of seven directions."""

    name, number = "sizes", 7

    def encode(self, texts: Sequence[str]) -> NDArray[np.int8]:
        out = np.zeros((len(texts), WIDTH), np.int8)
        for row, text in zip(out, texts, strict=True):
            row[:8] = len(text) % 7 == np.arange(8)
            row[7] = len(text)
        return out


@pytest.mark.parametrize("encoder", [None, Sizes()])
def test_another_title_or_network_is_read_in_the_next_list(encoder: Sizes | None) -> None:
    flow = learnt(encoder, text={"model": "minilm" if encoder else "hashed"})
    networks = [any_network(flow.lists.reader.shape, seed) for seed in (1, 2)]
    _, first = ranked_by(flow, networks[0])
    assert first.reading is not None
    for row in first.reading.rows[:2].tolist():
        flow.announce(Item(flow.table.ids[row] or "", title="another title"))
    flow.follow()
    for network, before in ((networks[0], first.units), (networks[1], None)):
        maker, ranked = ranked_by(flow, network)
        maker._texts = Projected(maker.reader.vectors)
        _, anew = ranked_by(flow, network)
        np.testing.assert_array_equal(ranked.units, anew.units)
        assert before is None or (ranked.units != before).any()


def test_what_is_read_is_of_the_list_and_not_of_what_came_after() -> None:
    """A click changes what the sources say of its pair: a reading made later would show it."""
    flow = learnt()
    maker, ranked = ranked_by(flow, None)
    before = maker.reading_of(ranked, flow.table)
    assert before is not None
    target = flow.table.ids[int(ranked.candidates[ranked.order[0]])]
    at = flow.users[0].offset, NOW + 10**8
    flow.fold([(*at, Event("u1", str(target), "click", NOW + 10**8))])
    flow.follow()
    maker, again = ranked_by(flow, None)
    after = maker.reading_of(again, flow.table)
    assert after is not None and after.past_rows.tolist() != before.past_rows.tolist()
    listed = kept(before, flow.table.keys, 1)
    assert np.array_equal(listed.past_keys, flow.table.keys[before.past_rows])
    assert listed.made_at == 1


def test_moves_keep_the_others_below() -> None:
    class Read:
        at = np.array([2, 0])

    blended = np.array([1.0, -2.0, 3.0, -1.0])
    out = blended + moved(blended, Read, np.array([-5.0, 1.0]))  # type: ignore[arg-type]
    assert out.tolist() == [2.0, -5.0, -2.0, -4.0]
    np.testing.assert_array_equal(moved(blended, Read, np.zeros(2)), np.zeros(4))  # type: ignore[arg-type]
