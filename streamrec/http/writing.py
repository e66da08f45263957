"""The requests that write to Kafka: events, items, and whom to forget."""

import asyncio
import logging
import time
from collections.abc import Sequence

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from streamrec.errors import DeliveryFailed
from streamrec.events.event import Rejected, decode_item, encode_forget
from streamrec.http.answers import not_acknowledged, problem
from streamrec.http.asked import read_json
from streamrec.http.checked_events import EventsCheck, split
from streamrec.http.readers import Readers
from streamrec.http.rights import Rights
from streamrec.http.sender import Sender
from streamrec.http.shapes import Accepted, AcceptedItem, Forgetting
from streamrec.monitoring.http_metrics import HttpMetrics
from streamrec.settings.sections import Settings

logger = logging.getLogger(__name__)


class Writing:
    """Checks what comes as the learners will, and answers when Kafka has it."""

    def __init__(
        self,
        settings: Settings,
        sender: Sender,
        readers: Readers,
        metrics: HttpMetrics,
        rights: Rights,
    ) -> None:
        self._settings, self._sender, self._rights = settings, sender, rights
        self._readers, self._metrics = readers, metrics
        self._events = EventsCheck(settings.events)

    async def events(self, request: Request) -> Response:
        """Send one event, or an array of them; who is merged, when Kafka has all others."""
        most = self._settings.serve.events_per_request
        try:
            events = split(await self._body(request))
        except msgspec.DecodeError as error:
            raise HTTPException(400, f"The body is no array of events: {error}") from None
        if not events:
            raise HTTPException(400, "There is no event in the body")
        if len(events) > most:
            text = f"{len(events)} events; the limit is {most} (serve.events_per_request)"
            raise HTTPException(413, text)
        may_merge = self._rights.allows(self._rights.token(request), "write")
        checked = self._events.check(events, time.time_ns() // 1_000_000, may_merge=may_merge)
        count = len(checked.messages) + len(checked.merges)
        self._count("refused", len(checked.refused))
        if not count:
            return problem(422, "No event is one that can be learnt", refused=checked.refused)
        try:
            for messages in filter(None, (checked.messages, checked.merges)):
                await self._send(self._settings.kafka.events_topic, messages)
        except DeliveryFailed:
            self._count("unacknowledged", count)
            return not_acknowledged(ids=checked.ids, refused=checked.refused)
        self._count("accepted", count)
        return _accepted(Accepted(count, checked.ids, checked.refused))

    async def item(self, request: Request) -> Response:
        """Send the metadata of one item."""
        name, body = request.path_params["item"], await self._body(request)
        found = decode_item(name.encode(), body)
        if isinstance(found, Rejected):
            return problem(422, found.detail, reason=found.reason)
        if found.item != name:
            return problem(422, "`item` in the body is not the item in the path", reason="bad_id")
        try:
            await self._send(self._settings.kafka.items_topic, [(name.encode(), body)])
        except DeliveryFailed:
            return not_acknowledged()
        return _accepted(AcceptedItem(name))

    async def forget(self, request: Request) -> Response:
        """Ask `learn` to forget a user, in all partitions: some events may be in another one."""
        user = request.path_params["user"]
        message = encode_forget(self._settings.events, user)
        if isinstance(message, Rejected):
            return problem(422, message.detail, reason=message.reason)
        partitions = await run_in_threadpool(self._partitions)
        topic = self._settings.kafka.events_topic
        try:
            await self._send(topic, [(user.encode(), message)], partitions)
        except DeliveryFailed:
            return not_acknowledged()
        return _accepted(Forgetting(user, time.time_ns() // 1_000_000, partitions))

    def _partitions(self) -> int:
        with self._readers.one() as client:
            return client.store.known_shards().users

    def _count(self, result: str, events: int) -> None:
        self._metrics.events.labels(result).inc(events)

    async def _body(self, request: Request) -> bytes:
        return await read_json(request, self._settings.serve.body_bytes)

    async def _send(
        self, topic: str, messages: Sequence[tuple[bytes, bytes]], partitions: int = 0
    ) -> None:
        """Return when Kafka has acknowledged all; raises DeliveryFailed after write_seconds."""
        seconds = self._settings.serve.write_seconds
        sent = asyncio.wrap_future(self._sender.send(topic, messages, partitions))
        try:
            await asyncio.wait_for(sent, seconds)
        except TimeoutError:
            raise DeliveryFailed(f"Kafka did not acknowledge within {seconds:g} s") from None


def _accepted(found: object) -> Response:
    return Response(msgspec.json.encode(found), 202, media_type="application/json")
