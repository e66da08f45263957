"""The paces of a replay, with a clock of our own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrec.replay.pace import LARGEST, SMALLEST, EventTimePace, KeepUpPace, SteadyPace


def test_a_steady_pace_sends_rate_times_elapsed() -> None:
    pace = SteadyPace(100.0)
    assert pace.allowed(50.0, 0) == 0
    assert pace.allowed(50.5, 0) == 50
    assert pace.allowed(51.0, 50) == 50
    assert pace.allowed(51.0, 130) < 0


def test_event_time_sends_what_has_happened_by_then() -> None:
    pace = EventTimePace(np.array([1000, 2000, 2000, 9000], np.int64), 10.0)
    assert pace.allowed(7.0, 0) == 1
    assert pace.allowed(7.11, 1) == 2
    assert pace.allowed(7.2, 3) == 0
    assert pace.allowed(7.81, 3) == 1


def waits(capacity: float, target: float, seconds: float, step: float = 0.05) -> list[float]:
    """Return how long events wait at learners that take `capacity` events a second."""
    pace, sent, learnt, now, found = KeepUpPace(target), 0, 0.0, 0.0, []
    while now < seconds:
        pace.observe(now, int(learnt))
        sent += max(0, pace.allowed(now, sent))
        found.append((sent - learnt) / capacity)
        learnt = min(sent, learnt + capacity * step)
        now += step
    return found


@given(st.floats(1000.0, 40_000.0), st.floats(0.2, 1.0))
def test_keeping_up_settles_at_the_target_wait(capacity: float, target: float) -> None:
    settled = waits(capacity, target, 30.0)[-100:]
    assert max(settled) <= 1.5 * target + SMALLEST / capacity
    assert min(settled) >= 0.3 * target or capacity * target > LARGEST


def test_nothing_learnt_means_no_more_is_sent_and_is_told() -> None:
    pace = KeepUpPace(0.3)
    pace.observe(0.0, 0)
    assert pace.allowed(0.0, 0) == SMALLEST
    for n in range(100):
        pace.observe(0.1 * n, 0)
    assert pace.allowed(10.0, SMALLEST) == 0
    assert pace.stalled_seconds(10.0, SMALLEST) == 10.0
    pace.observe(11.0, SMALLEST)
    assert pace.stalled_seconds(12.0, SMALLEST) == 0.0
