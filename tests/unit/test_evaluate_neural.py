"""The neural ranker in `streamrec evaluate`: trained as it goes, judged before it learns."""

import re
from typing import Any

import msgspec
import numpy as np
import pytest
from logs import figures, paired, refused, run, written
from needs import needs

from streamrec.evaluation.neural import why_off
from streamrec.settings.sections import Settings

pytestmark = pytest.mark.usefixtures("nothing_configured")
ONLINE = "blend:online"
SOON = ("--set", "neural.refresh_samples=500", "--set", "neural.passes=2")


def test_it_is_trained_judged_and_told() -> None:
    needs("torch")
    log = paired(2600)
    found = figures(log, "--neural", "on", "--profile", "shop", "--warm-up", "0", before=SOON)
    assert found["protocol"]["neural"] is True
    neural = found["neural"]
    assert neural["refreshes"] == len(neural["periods"]) >= 3
    assert 0 <= neural["served"] <= 1 and neural["training_seconds"] > 0
    first, *later = neural["periods"]
    assert first["candidate"] is None and not first["promoted"] and not first["open"]
    assert all(p["samples"] >= 500 and p["losses"][0] > 0 for p in neural["periods"])
    assert all(p["candidate"] is not None for p in later)
    assert {"blend", ONLINE} <= set(found["sources"])
    against = {one["metric"]: one for one in found["comparisons"] if one["b"] == ONLINE}
    assert set(against) == {"recall@20", "ndcg@10"}
    for metric, one in against.items():
        mine, theirs = (found["sources"][name][metric] for name in ("blend", ONLINE))
        assert one["difference"] == pytest.approx(mine - theirs)
        assert one["low"] <= one["difference"] <= one["high"]
    said = run(
        "log.csv", "--neural", "on", "--profile", "shop", "--warm-up", "0", before=SOON
    ).output
    words = " ".join(said.split())
    assert re.search(r"The neural ranker adds .* to the recall@20 and .* to the ndcg@10 of", words)


def test_without_it_the_online_blend_is_the_same() -> None:
    """What the network orders teaches the online blend nothing else."""
    needs("torch")
    log = paired(1500)
    options = ("--profile", "shop", "--warm-up", "0")
    on = figures(log, "--neural", "on", *options, before=SOON)
    off = figures(log, "--neural", "off", *options)
    names = {"recall@10", "recall@20", "ndcg@10", "mrr@20"}
    mine = {name: on["sources"][ONLINE][name] for name in names}
    assert mine == {name: off["sources"]["blend"][name] for name in names}
    for name in set(off["sources"]) - {"blend"}:
        assert on["sources"][name] == off["sources"][name]
    assert "neural" not in off and ONLINE not in off["sources"]


def test_what_is_not_counted_teaches_the_network_all_the_same() -> None:
    """The warm-up asks no network for an order, and learns and judges as if it did."""
    needs("torch")
    log = paired(2600)
    options = ("--neural", "on", "--profile", "shop")
    whole, last = (
        figures(log, *options, "--warm-up", share, before=SOON) for share in ("0", "0.9")
    )
    assert whole["neural"]["periods"] == last["neural"]["periods"]
    assert any(p["open"] for p in whole["neural"]["periods"])
    assert last["scored"] < whole["scored"] / 5


def test_the_same_log_and_seed_give_the_same_figures() -> None:
    needs("torch")
    log = paired(1500)
    options = ("--neural", "on", "--profile", "shop", "--warm-up", "0")
    one, two = (figures(log, *options, before=SOON) for _ in range(2))
    for found in (one, two):
        found.pop("events_per_second")
        found["neural"].pop("training_seconds")
    assert one == two


def test_why_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(paired(50))
    assert "neither on nor off" in refused(file, "--neural", "maybe")
    off: Any = {"neural": {"on": False}}
    assert "neural.on" in why_off(msgspec.convert(off, Settings))
    fixed: Any = {"blend": {"kind": "vote"}}
    assert "blend.kind is vote" in why_off(msgspec.convert(fixed, Settings))
    monkeypatch.setattr("streamrec.evaluation.neural.find_spec", lambda name: None)
    assert "pip install 'streamrec[neural]'" in refused(file, "--neural", "on")
    result = run(file, "--neural", "")
    assert result.exit_code == 0 and "Without the neural ranker: torch" in result.output


def test_it_is_refreshed_where_the_lists_get_worse_all_at_once() -> None:
    needs("torch")
    rng, log = np.random.default_rng(6), paired(3000)
    log[2000:] = [c._replace(item=f"i{rng.integers(60)}") for c in log[2000:]]
    found = figures(log, "--neural", "on", "--profile", "shop", "--warm-up", "0", before=SOON)
    periods = found["neural"]["periods"]
    whys = [p["why"] for p in periods]
    assert whys == ["due", "due", "due", "drift", "due"]
    noticed = periods[3]
    assert 100 <= noticed["samples"] < 500 and 1900 < noticed["clicks"] < 2200


def test_what_serves_is_shrunk_as_the_setting_says() -> None:
    """The gate judges it so; that `evaluate` serves it so shows in the lists."""
    needs("torch")
    log, gained = paired(2600), dict[float, float]()
    for shrinkage in (0.05, 1.0):
        mine = ("neural.passes=7", f"neural.shrinkage={shrinkage}")  # enough to tell apart
        before = (*SOON, "--set", mine[0], "--set", mine[1])
        found = figures(log, "--neural", "on", "--profile", "shop", "--warm-up", "0", before=before)
        assert any(p["open"] for p in found["neural"]["periods"])
        sources = found["sources"]
        gained[shrinkage] = abs(sources["blend"]["ndcg@10"] - sources[ONLINE]["ndcg@10"])
    assert 0.0 < gained[0.05] < 0.4 * gained[1.0], gained
