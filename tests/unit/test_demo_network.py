"""What the demonstration says of the neural ranker, from metrics as they come."""

from streamrec.demo.network import Network
from streamrec.monitoring.numbers import Samples


def scored(version: int) -> Samples:
    return {("streamrec_network_version", frozenset()): float(version)}


def trained(version: int, clicks: int, blend: float = 0.0, mine: float = 0.0) -> Samples:
    gains = {"blend": blend, "candidate": mine}
    return {
        ("streamrec_train_version", frozenset()): float(version),
        ("streamrec_train_samples_total", frozenset({("kind", "new")})): float(clicks),
        ("streamrec_train_samples_total", frozenset({("kind", "old")})): 77.0,
        **{
            ("streamrec_train_gain", frozenset({("order", order)})): gain
            for order, gain in gains.items()
            if gain
        },
    }


def test_each_step_is_said_once() -> None:
    network = Network()
    assert network.news(None, {}) == [] and network.summary() is None
    [first] = network.news(trained(1, 500), scored(0))
    assert "trained, on 500 clicks" in first
    assert network.news(trained(1, 600), scored(0)) == []
    assert "none judged yet; the blend serves" in (network.summary() or "")
    [second] = network.news(trained(2, 900, 0.2, 0.21), scored(1))
    assert "version 1, orders the lists from now on (+5.0% " in second
    assert network.news(None, scored(1)) == [], "a busy trainer changes nothing"
    assert network.figures()["stored"] == 2 and network.figures()["serves"] == 1
    assert round(network.figures()["gain"], 6) == 0.05
    assert "+5.0%" in (network.summary() or "")
    [third] = network.news(trained(3, 1400, 0.2, 0.19), scored(0))
    assert "off again" in third and "-5.0%" in third
