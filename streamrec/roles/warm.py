"""Compiles (or loads from numba's cache) every kernel before a role joins its group."""

import logging
import threading
import time

import numpy as np

from streamrec.blend.learned import LearnedBlend, with_click
from streamrec.blend.rules import blend_rules
from streamrec.events.event import Event
from streamrec.flow import Flow, deliver, times_shown_now
from streamrec.monitoring.starting import calm_collector
from streamrec.neural.sample import click, kept
from streamrec.neural.serve import Served
from streamrec.neural.version import Manifest, arrays_of
from streamrec.ranking.explain import explain
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.settings.types import changed
from streamrec.state import served, updates
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import decode_user, no_user

logger = logging.getLogger(__name__)
LONG_SECONDS = 4.0
"""Of CPU; kernels that are only loaded from numba's cache take less."""
LOOK_SECONDS = 0.5
COMPILING = "compiling, the first time on this machine only: about half a minute"


def warm_up(settings: Settings) -> None:
    """Compile by running a few events through everything, in memory."""
    began = time.monotonic()
    done = threading.Event()
    threading.Thread(target=_say_that_it_compiles, args=(done,), daemon=True).start()
    try:
        _run_all(settings)
    finally:
        done.set()
    logger.info("kernels are ready", extra={"seconds": round(time.monotonic() - began, 1)})
    calm_collector()


def _say_that_it_compiles(done: threading.Event) -> None:
    """By the CPU: on a busy machine, loading takes as long as compiling does elsewhere."""
    began = time.process_time()
    while not done.wait(LOOK_SECONDS):
        if time.process_time() - began > LONG_SECONDS:
            logger.info(COMPILING)
            return


def _run_all(settings: Settings) -> None:
    types = {"click": 1.0, "dislike": -1.0, "remove": 0.0}
    settings = changed(settings, events={"weights": types})
    flow = Flow(settings)
    table = ItemTable(settings, with_lists=True)  # through bytes, as the roles fill theirs
    for n, kind in enumerate(("click", "click", "click", "dislike", "remove", "click")):
        fold = flow.fold([(n, n, Event("warm", f"item {n % 4}", kind, n))])
        deliver(flow.items, [updates.decode(updates.encode(record)) for record in fold.records])
        for name, rows in flow.items[0].changes()[0].items():
            table.apply(name, list(rows.items()))
    row = flow.users[0].changes()[0]["users"][b"warm"]
    Flow(settings).users[0].users.load(["warm"], [row])
    lists = flow.lists
    lists.prepare(table)
    people = [lists.shopper(decode_user(row), table), lists.shopper(no_user(), table)]
    made = lists.make(people, table)[0]
    if made.ranked is not None:
        _run_network(settings, lists, made.ranked, table)
        for at in range(len(made.ranked.candidates)):  # scorers do not, the console does
            explain(lists, table, made.ranked, at)
        sample = made.ranked.features.sample()
        blend = LearnedBlend(blend_rules(settings))
        clicked = blend.read_sample(with_click(sample, 0, 1.0))
        if clicked is not None:
            blend.learn(*clicked)
        shown = served.encode_shown(
            0, made.shown, times_shown_now(made, {}), made.candidates, sample
        )
        served.ranks_in([shown], np.zeros(1, np.int64), table.keys[:1], len(made.shown))


def _run_network(settings: Settings, lists: ListMaker, ranked: Ranked, table: ItemTable) -> None:
    """Read a list and rank it by a network of zeros, as a scorer will when one is promoted."""
    if table.blend is None:
        table.blend = LearnedBlend(blend_rules(settings))
    reading = lists.reading_of(ranked, table)
    if reading is not None:
        wanted = arrays_of(Manifest.of(lists.reader.shape, settings.neural))
        zeros = {name: np.zeros(size, np.float32) for name, size in wanted.items()}
        network = Served.of(zeros, settings.neural.shrinkage)
        units = lists.units_of(reading, network, table)
        network.moves(reading, units)
        network.shares(reading, units, np.arange(1))
        click(kept(reading, table.keys, 0), int(table.keys[reading.rows[0]]), "", 1.0, 0, 1)
