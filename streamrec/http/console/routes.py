"""The paths of the console; docs/console.md describes them."""

import logging
import threading
from collections.abc import Callable
from importlib.resources import files
from urllib.parse import SplitResult, urlsplit

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from streamrec.client import Client
from streamrec.errors import StreamrecError
from streamrec.http.asked import filters, read_json
from streamrec.http.console.catalogue import Catalogue
from streamrec.http.console.clicks import Click, Clicks
from streamrec.http.console.lists import Named, people, shown
from streamrec.http.console.status import Watch
from streamrec.http.console.stream import Streams
from streamrec.http.console.words import group, meaning
from streamrec.http.made_now import MadeNow
from streamrec.http.own_names import OwnNames
from streamrec.http.readers import Readers
from streamrec.http.sender import Sender
from streamrec.inspection.answer import Answer
from streamrec.inspection.explain import explained_from, shares_from
from streamrec.inspection.lists_now import filter_effect
from streamrec.settings.sections import Settings

logger = logging.getLogger(__name__)
SCRIPT = "text/javascript; charset=utf-8"
PAGE = {
    "index.html": "text/html; charset=utf-8",
    "console.css": "text/css; charset=utf-8",
    **{f"{name}.js": SCRIPT for name in ("console", "filter", "item", "list", "page", "status")},
    "icon.svg": "image/svg+xml",
}
ONLY_OURS = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
ONLY_OURS += "; ".join(f"{kind}-src 'self'" for kind in ("script", "style", "connect", "img"))
LONGEST = 4096
MOST_PAST = 5
MOST_SIMILAR = 8

Read = Callable[[Client, Request], object]


class Part(msgspec.Struct):
    """A part of a score, or of a list's, and what it stands for in words."""

    name: str
    meaning: str
    value: float


class Why(msgspec.Struct):
    """Why an item is, or is not, in a user's list; the largest parts and best ranks first."""

    answer: Answer
    title: str
    parts: list[Part]
    past: list[Part]
    ranks: list[Part]


class Tried(msgspec.Struct):
    """What a filter does to a user's list of `length` items; of so many items so many pass."""

    passing: int
    of: int
    length: int
    removed: list[Named]
    added: list[Named]


class Console:
    """The page and what it asks for; keeps who waits for a list."""

    def __init__(
        self, settings: Settings, readers: Readers, made_now: MadeNow, sender: Sender
    ) -> None:
        self._readers, self._made_now = readers, made_now
        self._names = OwnNames(settings.serve)
        self._pictures = settings.serve.console_pictures
        self._headers = headers(pictures=bool(self._pictures))
        self._stop = threading.Event()
        self._clicks = Clicks(settings, sender)
        self._streams = Streams(readers, self._clicks, self._stop, self._pictures)
        self._catalogue = Catalogue()
        self._watch = Watch(settings)

    def routes(self) -> list[BaseRoute]:
        """Return the paths."""
        reads: dict[str, Read] = {
            "people": lambda client, request: people(client),
            "list": self._list,
            "shares": lambda client, request: self._shares(request),
            "filter": self._filter,
            "similar": _similar,
            "explain": self._explain,
            "search": lambda client, request: self._catalogue.search(client, asked(request, "q")),
            "status": lambda client, request: self._watch.status(),
        }
        return [
            Route("/", lambda request: RedirectResponse("/console")),
            Route("/console", self._page),
            *(Route(f"/console/{name}", self._sending(name)) for name in PAGE),
            *(self._read(name, read) for name, read in reads.items()),
            Route("/console/api/stream", self._stream),
            Route("/console/api/click", self._click, methods=["POST"]),
        ]

    def start(self) -> None:
        """Begin to look at the metrics."""
        self._watch.start()

    def close(self) -> None:
        """End the streams, and look no more."""
        self._stop.set()
        self._watch.close()

    def _page(self, request: Request) -> Response:
        self._clicks.connect_soon()
        return self._file("index.html")

    def _sending(self, name: str) -> Callable[[Request], Response]:
        return lambda request: self._file(name)

    def _file(self, name: str) -> Response:
        body = (files("streamrec.http.console") / "page" / name).read_bytes()
        return Response(body, 200, self._headers, PAGE[name])

    def _list(self, client: Client, request: Request) -> object:
        user = asked(request, "user")
        return shown(client, user, client.recommend(user), self._pictures)

    def _shares(self, request: Request) -> list[Part]:
        user, found = asked(request, "user"), dict[str, float]()
        for name, share in self._made_now.asked(lambda state: shares_from(state.now(user))).items():
            found[group(name)] = found.get(group(name), 0.0) + share
        return [Part(name, meaning(name), round(share, 4)) for name, share in largest(found)]

    def _filter(self, client: Client, request: Request) -> object:
        user, texts = asked(request, "user"), filters(request)
        if not texts:
            raise HTTPException(400, "The parameter 'filter' is missing")
        listed = [entry.item for entry in client.recommend(user).items]
        found = self._made_now.asked(lambda state: filter_effect(state, user, texts, listed))
        titles = client.titles([*found.removed, *found.added])
        removed, added = (
            [Named(name, titles.get(name) or name) for name in names]
            for names in (found.removed, found.added)
        )
        return Tried(found.passing, found.of, len(listed), removed, added)

    def _explain(self, client: Client, request: Request) -> object:
        user, item = asked(request, "user"), asked(request, "item")
        answer = self._made_now.asked(lambda state: explained_from(state.now(user), item))
        past = [(name, value) for name, value in largest(answer.past) if name][:MOST_PAST]
        titles = client.titles([answer.item, *(name for name, _ in past)])
        return Why(
            answer,
            titles.get(answer.item) or answer.item,
            [Part(name, meaning(name), value) for name, value in largest(answer.parts)],
            [Part(name, titles.get(name) or name, value) for name, value in past],
            [Part(name, meaning(name), rank) for name, rank in largest(answer.ranks)[::-1]],
        )

    def _read(self, name: str, read: Read) -> Route:
        def answer(request: Request) -> Response:  # not async: runs in a thread, and may wait
            self._names.check(request)
            return self._answer(name, request, read)

        return Route(f"/console/api/{name}", answer, methods=["GET"])

    def _answer(self, name: str, request: Request, read: Read, status: int = 200) -> Response:
        try:
            with self._readers.one() as client:
                body = msgspec.json.encode(read(client, request))
        except StreamrecError as error:
            fields = {"route": f"/console/api/{name}", "cause": str(error)}
            logger.warning("a request failed", extra=fields)
            raise
        return Response(body, status, {"Cache-Control": "no-store"}, "application/json")

    def _stream(self, request: Request) -> Response:
        self._names.check(request)
        return self._streams.of(asked(request, "user"))

    async def _click(self, request: Request) -> Response:
        self._names.check(request)
        _check_sender(request)
        click = _read_click(await read_json(request, LONGEST))
        return await run_in_threadpool(
            self._answer, "click", request, lambda client, _: self._clicks.send(client, click), 202
        )


def headers(*, pictures: bool) -> dict[str, str]:
    """Return those of the page's files: nothing comes from elsewhere, but for pictures."""
    return {
        "Content-Security-Policy": ONLY_OURS + " https: http:" * pictures,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def asked(request: Request, name: str) -> str:
    """Return a parameter; raises HTTPException where it is missing or too long."""
    text = request.query_params.get(name, "").strip()
    if not text or len(text.encode()) > LONGEST:
        raise HTTPException(400, f"The parameter {name!r} is missing or too long")
    return text


def _similar(client: Client, request: Request) -> object:
    return client.similar(asked(request, "item"), MOST_SIMILAR)


def largest(parts: dict[str, float]) -> list[tuple[str, float]]:
    """Return parts by falling size, whatever their sign."""
    return sorted(parts.items(), key=lambda part: -abs(part[1]))


def _read_click(body: bytes) -> Click:
    try:
        return msgspec.json.decode(body, type=Click)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"Not a click: {error}") from None


def _check_sender(request: Request) -> None:
    """Refuse what another site's page could send: it can choose neither of these two."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Send application/json")
    origin = request.headers.get("Origin")
    if origin is not None and _split(origin).netloc != request.headers.get("Host"):
        raise HTTPException(403, "Only the console's own page may click")


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
