"""The report in a terminal: the sentences and tables that `streamrec evaluate` prints."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from rich.table import Table

from streamrec.evaluation.evaluate import INTERRUPTED
from streamrec.evaluation.report.findings import Findings
from streamrec.evaluation.tally import BLEND, MAIN, ONLINE

COLUMNS = ("recall@10", "recall@20", "ndcg@10", "mrr@20", "coverage@10", "diversity@10")
SLICES = ("new_user", "new_item", "history_1", "history_2_4", "history_5_plus")


def in_words(result: Mapping[str, Any]) -> Iterator[str | Table]:
    """Yield the figures of one evaluation, for people."""
    protocol = result["protocol"]
    if INTERRUPTED in protocol:
        yield f"Ended by Ctrl-C {protocol[INTERRUPTED]}: the figures are of what was done."
    if "shelf" in result:
        yield (
            f"{protocol['file']}: items with few events, ranked among themselves; recall@20 after "
            f"the first {protocol['warm_up']:.0%} of {result['events']:,} events, profile "
            f"{protocol['profile']}."
        )
        yield _shelf(result["shelf"])
        return
    yield from islice(Findings(result).opening(), 1)
    yield (
        f"{protocol['file']}: {result['events']:,} events, {result['scored']:,} scored after the "
        f"first {protocol['warm_up']:.0%}, full catalogue of {protocol['items']:,} items, "
        f"profile {protocol['profile']}, excluded: {protocol['exclude']}, lag {protocol['lag']}, "
        f"{protocol['workers']} worker(s). New items (a miss for all): "
        f"{result['new_item_share']:.1%}. {result['events_per_second']:,.0f} scored events/s."
    )
    if not result["scored"] and INTERRUPTED in protocol:
        yield "No event had been scored: the first are only learnt from (--warm-up)."
        return
    if not result["scored"]:
        yield (
            "No event could be scored: after the warm-up there is none of a scored type and of a "
            "weight above 0, by a user with an earlier event, on an item that the rule of "
            f"exclusion ({protocol['exclude']}) leaves in the lists. Try --warm-up 0, another "
            "--exclude, or other --types."
        )
        return
    yield _sources(result["sources"])
    for name, wanted in (("staleness", "lag"), ("ablation", "without")):
        if result.get(name):
            yield _rows(result[name], wanted)
    yield _slices(result["slices"])
    if result["comparisons"]:
        yield _comparison(result["comparisons"])
    if "neural" in result:
        yield _neural(result)


def _sources(sources: Mapping[str, Mapping[str, float]]) -> Table:
    table = _table("list", COLUMNS)
    order = sorted(sources, key=lambda name: -sources[name][MAIN])
    for name in order:
        cells = [f"{sources[name][m]:.4f}" if m in sources[name] else "" for m in COLUMNS]
        table.add_row(name, *cells, style="bold" if name == BLEND else "")
    return table


def _rows(rows: list[dict[str, Any]], wanted: str) -> Table:
    table = _table(wanted, COLUMNS[:4])
    for row in rows:
        table.add_row(row[wanted], *(f"{row[m]:.4f}" for m in COLUMNS[:4]))
    return table


def _slices(slices: Mapping[str, Any]) -> Table:
    table = _table("slice", ("scored", "blend " + MAIN, "best other", ""))
    for name in SLICES:
        if name in slices:
            sources = slices[name]["sources"]
            others = {n: s[MAIN] for n, s in sources.items() if n != BLEND}
            best = max(others, key=lambda n: others[n]) if others else ""
            table.add_row(
                name, f"{slices[name]['scored']:,}", f"{sources[BLEND][MAIN]:.4f}",
                f"{others[best]:.4f}" if others else "", best,
            )  # fmt: skip
    return table


def _shelf(groups: list[dict[str, Any]]) -> Table:
    heads = [f"{one['items']}: {one['events']:,} of {one['on_shelf']:,} items" for one in groups]
    table = _table("by", tuple(heads))
    for method in dict.fromkeys(method for one in groups for method in one[MAIN]):
        cells = (one[MAIN].get(method) for one in groups)
        table.add_row(method, *("" if cell is None else f"{cell:.4f}" for cell in cells))
    return table


def _comparison(comparisons: list[dict[str, Any]]) -> str:
    """Say by how much the blend leads each other list, and whether that is certain."""
    comparisons = [one for one in comparisons if one["b"] != ONLINE]
    nearest = min(comparisons, key=lambda one: one["difference"])
    sure = sum(one["low"] > 0 for one in comparisons)
    return (
        f"The blend's {MAIN} is above {sure} of {len(comparisons)} others with certainty (95 %, "
        f"paired block bootstrap); the nearest is {nearest['b']}: {nearest['difference']:+.4f} "
        f"[{nearest['low']:+.4f}, {nearest['high']:+.4f}]."
    )


def _neural(result: Mapping[str, Any]) -> str:
    """Say what the neural ranker is worth and what it took."""
    neural = result["neural"]
    took = (
        f"{neural['refreshes']} refreshes in {neural['training_seconds']:,.0f} s; it ordered the "
        f"lists after {neural['served']:.0%} of them."
    )
    without = result["sources"].get(ONLINE, {})
    added = []
    for by in (one for one in result["comparisons"] if one["b"] == ONLINE):
        before = without.get(by["metric"], 0.0)
        share = f"{by['difference'] / before:+.1%}, " if before else ""
        ends = f"{by['low']:+.4f} to {by['high']:+.4f}"
        added.append(f"{by['difference']:+.4f} ({share}95 %: {ends}) to the {by['metric']}")
    if not added:
        return f"Neural ranker: {took}"
    return f"The neural ranker adds {' and '.join(added)} of the online blend; {took}"


def _table(first: str, columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right" if name else "left")
    return table
