"""Explanations and lists under filters over HTTP, from the state of both stages in a real Redis."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from http_app import http_app
from laws.http_state import some_state
from laws.spine import Spine
from laws.world import event, small
from servers import RedisServer
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from streamrec.http import made_now
from streamrec.http.made_now import MadeNow
from streamrec.inspection.explain import explained
from streamrec.settings.places import PlaceSettings
from streamrec.settings.sections import Settings


@pytest.fixture
def spine(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    product = PlaceSettings(context="item", length=4, filters=("price < 20",))
    return some_state(make_spine, {"product": product})


@pytest.fixture
def http(spine: Spine) -> Iterator[TestClient]:
    with http_app(spine.settings) as client, client:
        yield client


def test_explanations_of_places(http: TestClient, spine: Spine) -> None:
    def ask(item: str, **query: str) -> dict[str, Any]:
        found: dict[str, Any] = http.get(f"/v1/users/new/explain/{item}", params=query).json()
        return found

    listed = http.get("/v1/items/i7/lists/product").json()["items"]
    for rank, one in enumerate(listed, 1):
        found = explained(spine.settings, spine.store, "new", one["item"], "product", "i7")
        assert (found.listed, found.rank, found.place) == (True, rank, "product")
    dear = ask("i25", place="product")
    assert "removed by filter 1: price < 20 is false: price = 25" in dear["why_not"]
    assert dear == ask("i25", place="product", **{"with": ""})
    assert ask("i7", place="product", **{"with": "i7"})["why_not"] == "it is the item of the page"
    assert ask("i7", place="mail")["status"] == 404
    assert "with the user alone" in ask("i7", **{"with": "i3"})["detail"]


def test_explanations_are_those_of_the_command(http: TestClient, spine: Spine) -> None:
    explained(spine.settings, spine.store, "u1", "i1")  # compiles
    served = http.get("/v1/users/u1/lists/home").json()["items"]
    for rank, item in enumerate([entry["item"] for entry in served], 1):
        answer = http.get(f"/v1/users/u1/explain/{item}")
        assert answer.status_code == 200
        wanted = explained(spine.settings, spine.store, "u1", item)
        assert answer.json() == msgspec.to_builtins(wanted)
        assert answer.json()["rank"] == rank
    unknown = http.get("/v1/users/u1/explain/nothing").json()
    assert not unknown["listed"] and "names this item" in unknown["why_not"]
    assert http.get("/v1/users/u1/explain/i1?n=3").status_code == 400


def test_an_explanation_follows_what_is_learnt(http: TestClient, spine: Spine) -> None:
    first = http.get("/v1/users/new/explain/i1").json()
    spine.learn([event("new", "i8", ts=100)])
    assert first["past"] == {}

    def past() -> dict[str, float]:
        found: dict[str, float] = http.get("/v1/users/new/explain/i15").json()["past"]
        return found

    assert list(past()) == ["i8"]


def test_a_list_made_now_under_filters(http: TestClient) -> None:
    url = "/v1/users/u1/lists/home"
    answer = http.get(url, params={"filter": ["price < 20", "price > 3"], "n": 3}).json()
    assert answer["personal"] and answer["user"] == "u1" and answer["at"]
    assert 0 < len(answer["items"]) <= 3
    assert all(3 < int(entry["item"][1:]) < 20 for entry in answer["items"])
    nothing = http.get(url, params={"filter": "price > 99"}).json()
    assert nothing["items"] == [] and nothing["at"]
    wrong = http.get(url, params={"filter": "pric <"})
    assert wrong.status_code == 400 and "filter" in wrong.json()["detail"]
    assert http.get(url, params={"filter": ["price < 9"] * 11}).status_code == 400
    assert http.get(url, params={"filter": f"item != '{'x' * 1000}'"}).status_code == 400


def test_reasons_of_each_item_of_a_list(http: TestClient, spine: Spine) -> None:
    """Their shares are those of what `explain` says of the item."""
    url = "/v1/users/u1/lists/home"
    served = http.get(url).json()["items"]
    assert served and all("why" not in item for item in served)
    answer = http.get(url, params={"explain": "true", "n": 3}).json()
    assert [item["item"] for item in answer["items"]] == [item["item"] for item in served[:3]]
    for item in answer["items"]:
        why = explained(spine.settings, spine.store, "u1", item["item"])
        for shares, parts in ((item["why"]["shares"], why.parts), (item["why"]["past"], why.past)):
            above = {name: part for name, part in parts.items() if part > 0}
            total = sum(above.values())
            expected = {name: part / total for name, part in above.items()}
            assert shares == pytest.approx(expected, abs=1e-3) and shares
            assert list(shares.values()) == sorted(shares.values(), reverse=True)
    both = http.get(url, params={"explain": "true", "filter": "price < 20"}).json()["items"]
    assert both and all(item["why"]["shares"] for item in both)
    assert "explain" in http.get(url, params={"explain": "yes"}).json()["detail"]


def test_without_state_it_is_said(clean_redis: RedisServer) -> None:
    settings = small(redis={"url": clean_redis.url})
    asked = MadeNow(settings).ask(lambda state: state.now("u1"))
    with pytest.raises(Exception, match="no streamrec state"):
        asyncio.run(asked)


def test_what_takes_too_long_is_not_waited_for(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question hangs, one waits behind it, a third is refused at once."""
    monkeypatch.setattr(made_now, "MOST_WAITING", 2)
    go_on = threading.Event()

    async def three() -> list[object]:
        now = MadeNow(spine.settings, seconds=0.5)
        asked = [now.ask(lambda state: go_on.wait(30)) for _ in range(3)]
        found: list[object] = await asyncio.gather(*asked, return_exceptions=True)
        go_on.set()
        assert await MadeNow(spine.settings).ask(lambda state: 5) == 5
        now.close()
        return found

    found = asyncio.run(three())
    assert [isinstance(each, HTTPException) and each.status_code for each in found] == [503] * 3
    details = [each.detail for each in found if isinstance(each, HTTPException)]
    assert ["Too many" in each for each in details] == [False, False, True]
