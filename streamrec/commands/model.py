"""`streamrec model`: the versions of the neural ranker, and which of them orders the lists."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from streamrec.commands.options import screen, settings_of
from streamrec.errors import ConfigurationError, RefusedVersion

if TYPE_CHECKING:
    from streamrec.transport.redis.versions import Serving, Versions

Number = Annotated[int, typer.Argument(min=1, help="Of a version, see `streamrec model list`.")]


def list_(ctx: typer.Context) -> None:
    """Print the versions that are kept, and which one serves."""
    with _versions(ctx) as versions:
        serving, numbers = versions.serving(), versions.numbers()
        each = [(str(n), *_cells(versions, n), _standing(n, serving)) for n in numbers]
    table = Table()
    for title in ("version", "made", "samples", "gain", "of the blend", "gate", ""):
        table.add_column(title, no_wrap=True)
    for row in each:
        table.add_row(*row)
    console = screen(110)
    console.print(table if each else "no version yet: `streamrec train` makes them from clicks")
    console.print(_sentence(serving))


def show(ctx: typer.Context, number: Number) -> None:
    """Print what a version was made from, and the figures of the gate, as JSON."""
    from streamrec.neural.version import unpack

    with _versions(ctx) as versions:
        manifest = unpack(_stored(versions, number), None).manifest
        decision = versions.decision(number)
        serving = versions.serving()
    told = {
        "version": number,
        "serves": serving.number == number,
        **msgspec.to_builtins(manifest),
        "decision": None if decision is None else msgspec.json.decode(decision),
    }
    print(msgspec.json.format(msgspec.json.encode(told)).decode())


def promote(ctx: typer.Context, number: Number) -> None:
    """Let a version order the lists, whatever the gate says, until `model on`."""
    from streamrec.neural.reading import Reader
    from streamrec.neural.version import unpack
    from streamrec.sources.registry import sources_of

    settings = settings_of(ctx)
    shape = Reader(settings, sources_of(settings)).shape

    def to(versions: "Versions", now: "Serving") -> "Serving":
        unpack(_stored(versions, number), shape)  # scorers would refuse it
        return now.moved(number, open=True, held=True, at=_now())

    _change(ctx, to)


def rollback(ctx: typer.Context) -> None:
    """Let the version that served before order the lists again, until `model on`."""

    def to(versions: "Versions", now: "Serving") -> "Serving":
        kept = versions.numbers()
        earlier = [n for n in now.before if n in kept]
        if not earlier:
            raise ConfigurationError(
                "no earlier version is kept: `streamrec model off` lets the blend serve alone"
            )
        back = now.moved(earlier[-1], open=True, held=True, at=_now())
        return msgspec.structs.replace(back, before=tuple(earlier[:-1]))

    _change(ctx, to)


def off(ctx: typer.Context) -> None:
    """Let the blend alone order the lists, until `model on`."""
    _change(ctx, lambda _, now: now.moved(now.version, open=False, held=True, at=_now()))


def on(ctx: typer.Context) -> None:
    """Let the gate decide again; until it does, the version that it or you named serves."""
    _change(ctx, lambda _, now: now.moved(now.version, open=now.version > 0, held=False, at=_now()))


@contextmanager
def _versions(ctx: typer.Context) -> "Iterator[Versions]":
    settings = settings_of(ctx)
    from streamrec.transport.redis.store import Store
    from streamrec.transport.redis.versions import Versions

    with closing(Store(settings.redis)) as store:
        yield Versions(store)


def _change(ctx: typer.Context, to: "Callable[[Versions, Serving], Serving]") -> None:
    """Move the pointer from what it is now; the trainer may move it at the same time."""
    from streamrec.transport.redis.versions import decoded

    with _versions(ctx) as versions:
        while True:
            pointer = versions.pointer()
            wanted = to(versions, decoded(pointer))
            if versions.move(pointer, wanted):
                break
    print(f"{_sentence(wanted)} Scorers follow within 5 s.")


def _stored(versions: "Versions", number: int) -> bytes:
    kept = versions.numbers()
    if number not in kept:
        there = ", ".join(map(str, kept)) or "none"
        raise ConfigurationError(f"version {number} is not kept; there are: {there}")
    return versions.get(number)


def _cells(versions: "Versions", number: int) -> list[str]:
    """Return when it was made, from how many samples, and its gain, as it and the blend had it."""
    from streamrec.neural.version import unpack

    try:
        manifest = unpack(versions.get(number)).manifest
    except RefusedVersion as error:
        return ["", "", "", "", f"damaged: {error}"]
    decision = versions.decision(number)
    made = datetime.fromtimestamp(manifest.made_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    cells = [made, str(manifest.samples)]
    if decision is None:
        return [*cells, "", "", "not judged yet"]
    told: dict[str, Any] = msgspec.json.decode(decision)
    verdict = "promoted" if told["promoted"] else "worse than what served"
    return [*cells, f"{told['candidate']:.4f}", f"{told['blend']:.4f}", verdict]


def _standing(number: int, serving: "Serving") -> str:
    if number == serving.version:
        return "serves" if serving.open else "would serve"
    return "served before" if number in serving.before else ""


def _sentence(serving: "Serving") -> str:
    by = "a person" if serving.held else "the gate"
    if not serving.version and not serving.held:
        return "The blend alone orders the lists: the gate has promoted nothing yet."
    what = f"Version {serving.number}" if serving.number else "The blend alone"
    return f"{what} orders the lists, by decision of {by}."


def _now() -> int:
    return int(time.time() * 1000)
