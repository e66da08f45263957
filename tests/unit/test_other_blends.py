"""Other blends over the same candidates, and the log's own sessions."""

import numpy as np
from needs import needs
from oracle import NAMES, SILENCE, M

from streamrec.blend.learned import E, Features
from streamrec.evaluation.peers.other_blends import OtherBlends
from streamrec.evaluation.prequential import Prequential
from streamrec.events.event import Event
from streamrec.settings.load import load
from streamrec.settings.sections import Settings

SIMILARITY, FACTORS = NAMES.index("similarity"), NAMES.index("factors")
MINUTE = 60_000


def features(rng: np.random.Generator, count: int = 12) -> tuple[Features, int]:
    """Return candidates of which the best by factors is the one that gets clicked."""
    values = rng.normal(size=(count, M)).astype(np.float32)
    ranks = np.zeros((count, M), np.uint8)
    for m in (SIMILARITY, FACTORS):
        ranks[:, m] = 1 + np.argsort(np.argsort(-values[:, m]))
    return Features(values, ranks, np.zeros((count, E), np.float32), 3, SILENCE), int(
        values[:, FACTORS].argmax()
    )


def test_fixed_blends_follow_their_formulas() -> None:
    settings = load(None, {}, {"blend.weights": '{"factors": 1.0, "similarity": 0.0}'})
    blends = OtherBlends(["weighted", "cascade", "vote", "borda"], settings)
    assert blends.names == ["blend:weighted", "blend:cascade", "blend:vote", "blend:borda"]
    some, clicked = features(np.random.default_rng(1))
    assert blends.places(some, clicked) == [0.0] * 4  # all weight is with the factors
    worst = int(some.values[:, FACTORS].argmin())
    assert blends.places(some, worst) == [11.0] * 4


def test_borda_by_hand() -> None:
    settings = load(None, {}, {"blend.weights": '{"factors": 1.0, "similarity": 1.0}'})
    ranks = np.zeros((4, M), np.uint8)
    ranks[:, FACTORS], ranks[:, SIMILARITY] = (1, 2, 3, 4), (0, 2, 1, 3)
    # 3/4, 2/4 + 2/4, 1/4 + 3/4, 0 + 1/4: two share the first place
    some = Features(np.zeros((4, M), np.float32), ranks, np.zeros((4, E), np.float32), 3, SILENCE)
    blends = OtherBlends(["borda"], settings)
    assert [blends.places(some, j)[0] for j in range(4)] == [2.0, 0.5, 0.5, 3.0]


def test_the_cascade_reorders_by_the_finer_source_of_the_settings() -> None:
    flags = {"blend.weights": '{"similarity": 1.0}', "blend.reorder": "factors"}
    some, clicked = features(np.random.default_rng(1))
    [before] = OtherBlends(["cascade"], load(None, {}, flags | {"blend.reorder": ""})).places(
        some, clicked
    )
    assert before == some.ranks[clicked, SIMILARITY] - 1 > 0
    assert OtherBlends(["cascade"], load(None, {}, flags)).places(some, clicked) == [0.0]


def test_the_tree_learns_which_source_is_right() -> None:
    needs("river")
    blends = OtherBlends(["tree"], Settings())
    rng = np.random.default_rng(2)
    places = []
    for _ in range(600):
        some, clicked = features(rng)
        places.append(blends.places(some, clicked)[0])
        blends.learn(some, clicked)
    assert np.mean(places[:50]) > 1.5 * np.mean(places[-200:])


def looked(same: list[bool | None]) -> list[bool]:
    """Return which events of one user, two and sixty minutes apart, are scored."""
    settings = load(None, {}, {"lists.exclude": "session", "events.duplicate_window": "0"})
    live = Prequential(settings)
    for item in ("a", "b", "c"):
        live.step(Event("other", item, "click", 0))
    times = [0, 2 * MINUTE, 62 * MINUTE]
    events = [Event("u", item, "click", at) for item, at in zip("abc", times, strict=True)]
    return [live.step(event, one) is not None for event, one in zip(events, same, strict=True)]


def test_without_sessions_in_the_log_a_gap_ends_one() -> None:
    assert looked([None, None, None]) == [False, True, False]


def test_the_sessions_of_the_log_win_over_the_gap() -> None:
    assert looked([False, True, True]) == [False, True, True]
    assert looked([False, False, False]) == [False, False, False]
