"""The requests that read Redis."""

import time
from collections.abc import Mapping

import msgspec
from msgspec import UNSET
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from streamrec.client import Recommendations
from streamrec.errors import ConfigurationError
from streamrec.http.answers import answer_of
from streamrec.http.asked import MOST_ITEMS, filters, flag, number
from streamrec.http.lists import Lists
from streamrec.http.made_now import MadeNow
from streamrec.http.readers import Readers
from streamrec.http.shapes import Listed, PageOfLists, Popular, SimilarItems, UserList
from streamrec.inspection.explain import explained_from, reasons_from
from streamrec.inspection.lists_now import StateReader, list_of
from streamrec.monitoring.http_metrics import HttpMetrics
from streamrec.settings.place_rules import Place, check_context
from streamrec.settings.places import HOME
from streamrec.transport.redis.keys import POPULAR, popular_of

MOST_PLACES = 10
MOST_BASKET = 100
SIMILAR = 10
"""Similar items, if it is not said how many."""


class Reading:
    """Answers from what Redis holds."""

    def __init__(
        self,
        lists: Lists,
        readers: Readers,
        made_now: MadeNow,
        metrics: HttpMetrics,
        places: Mapping[str, Place],
    ) -> None:
        self._lists, self._readers, self._places = lists, readers, places
        self._made_now, self._metrics = made_now, metrics

    async def home(self, request: Request) -> Response:
        """Answer with the list of a user for a place: as it is, or made now under filters."""
        n, expressions, explain = number(request), filters(request), flag(request, "explain")
        place, user = request.path_params["place"], request.path_params["user"]
        self._check(place)
        if expressions or explain:
            most = (n or MOST_ITEMS) if explain else 0
            found = await self._made_now.ask(
                lambda state: filtered(state, user, expressions, most, place)
            )
        else:
            found = await self._lists.of(user, place)
        self._count(found)
        found.items = found.items[:n]
        return _answer(request, found)

    async def page(self, request: Request) -> Response:
        """Answer with the lists of several places, no item in two of them."""
        n, user = number(request), request.path_params["user"]
        names = request.query_params.get("places", HOME).split(",")
        if len(names) > MOST_PLACES or len(set(names)) < len(names):
            raise HTTPException(400, f"places must be at most {MOST_PLACES} different names")
        for name in names:
            self._check(name)
        found = await self._lists.page(user, tuple(names))
        for each in found.values():
            self._count(each)
            each.items = each.items[:n]
        return _answer(request, PageOfLists(user, found))

    def _check(self, place: str) -> None:
        if place not in self._places:
            known = ", ".join(self._places)
            raise HTTPException(404, f"There is no place of that name. Places: {known}")

    def _check_context(self, place: str, items: list[str]) -> None:
        try:
            check_context(self._places[place], items)
        except ConfigurationError as error:
            raise HTTPException(400, str(error)) from None

    def _count(self, found: Recommendations) -> None:
        whose = "own" if found.personal else "popular" if found.items else "none"
        self._metrics.lists.labels(whose).inc()

    async def popular(self, request: Request) -> Response:
        """Answer with the list for strangers, of a category or segment if there is one."""
        n, of = number(request), request.query_params.get("of")
        found = await self._lists.of(popular_of(of) if of else POPULAR)
        return _answer(request, Popular(found.at, found.model, found.items[:n]))

    async def similar(self, request: Request) -> Response:
        """Answer with the items most often taken after an item."""
        n, item = number(request) or SIMILAR, request.path_params["item"]
        found = await run_in_threadpool(self._similar, item, n)
        return _answer(request, found)

    async def of_item(self, request: Request) -> Response:
        """Answer with what fits a user on the page of an item."""
        return await self._fitting(request, [request.path_params["item"]])

    async def of_basket(self, request: Request) -> Response:
        """Answer with what fits a basket of items."""
        items = request.query_params.getlist("item")
        if len(items) > MOST_BASKET:
            raise HTTPException(400, f"A basket has at most {MOST_BASKET} items")
        return await self._fitting(request, items)

    async def _fitting(self, request: Request, items: list[str]) -> Response:
        n, place = number(request), request.path_params["place"]
        user = request.query_params.get("user", "")
        self._check(place)
        self._check_context(place, items)
        found = await run_in_threadpool(self._basket, items, place, user)
        self._count(found)
        found.items = found.items[:n]
        return _answer(request, found)

    def _basket(self, items: list[str], place: str, user: str) -> Recommendations:
        with self._readers.one() as client:
            return client.basket(items, place, user)

    async def explain(self, request: Request) -> Response:
        """Answer why an item is, or is not, in a list made now."""
        user, item = request.path_params["user"], request.path_params["item"]
        place = request.query_params.get("place", HOME)
        self._check(place)
        page = request.query_params.get("with", "")
        self._check_context(place, [page] if page else [])
        found = await self._made_now.ask(
            lambda state: explained_from(state.now(user, place=place), item, page)
        )
        return _answer(request, found)

    def _similar(self, item: str, n: int) -> SimilarItems:
        with self._readers.one() as client:
            return SimilarItems(item, client.similar(item, n), client.item_list(item).like[:n])


def filtered(
    state: StateReader, user: str, expressions: list[str], explained: int, place: str
) -> Recommendations:
    """Return a list made now; of so many first items the reasons are told."""
    now = state.now(user, expressions, place)
    items, personal = list_of(now)
    why = reasons_from(now, explained) if explained else {}
    listed = [
        Listed(i.item, i.score, i.source, i.because, why=why.get(i.item, UNSET)) for i in items
    ]
    at = time.time_ns() // 1_000_000
    return UserList(user, at, items=listed, personal=personal, place=place)


def _answer(request: Request, found: object) -> Response:
    return answer_of(request, msgspec.json.encode(found), "application/json", "private, no-cache")
