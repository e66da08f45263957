"""`make quality`: how good the lists are on public logs, against the targets.

A log that is absent is said and left out (benchmarks/streams.py says where they come from).
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.streams import DATA, STREAMS, Dataset, Stream, read
from streamrec.evaluation.evaluate import evaluate
from streamrec.evaluation.peers.other_blends import OTHER_BLENDS
from streamrec.evaluation.plan import LAGS, Asked, lag_words, planned
from streamrec.settings.load import load
from streamrec.settings.text import resolved

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "quality.json"
QUICK_PEERS = ("popularity_7d", "popularity_1h", "own_frequent", "own_recent", "isgd", "vmis_knn")
LIBRARIES = ("river_biased_mf", "implicit_bpr", "implicit_als", "implicit_item")
COLUMNS = ("recall@10", "recall@20", "ndcg@10", "mrr@20")
KEPT = 0.99
"""With four workers whose messages are 100 events late, the factors lose at most a hundredth."""
MEDIUM = 100_000
"""Events of the part that asks slow libraries."""
SHORT = 30_000
"""Events of the parts that run many times."""


def main() -> int:
    """Run the parts asked for, print their tables, and save the figures in build/quality.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("streams", nargs="*", help=f"of {', '.join(STREAMS)}; all if none is named")
    parser.add_argument(
        "--parts",
        help=f"of {', '.join(PARTS)}, or all; if none is named the main table, and of streams with "
        "a target libraries and workers",
    )
    parser.add_argument("--limit", type=int, help="only so many events of each stream")
    asked = parser.parse_args()
    names, console = asked.streams or list(STREAMS), Console()
    asked_parts = asked.parts.split(",") if asked.parts not in (None, "all") else []
    for words, known in ((names, STREAMS), (asked_parts, PARTS)):
        for word in words:
            if word not in known:
                parser.error(f"{word!r} is none of {', '.join(known)}")
    found: dict[str, Any] = json.loads(OUT.read_text()) if OUT.is_file() else {}
    failed = False
    for name in names:
        stream = STREAMS[name]
        dataset = read(stream)
        if dataset is None:
            console.print(f"{name}: {DATA / stream.folder} is not there; left out.")
            continue
        parts = parts_of(asked.parts, stream)
        for part in parts:
            started = time.monotonic()
            found.setdefault(name, {})[part] = PARTS[part](stream, dataset, asked.limit)
            show(name, part, stream, found[name], console)
            console.print(f"[dim]{name} {part}: {time.monotonic() - started:.0f} s[/]\n")
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(json.dumps(found, indent=1) + "\n")
        failed |= any(not ok for part in parts for *_, ok in verdicts(stream, found[name], part))
    return int(failed)


def parts_of(asked: str | None, stream: Stream) -> list[str]:
    """Return the names of the parts to run of one stream."""
    if asked is None:
        wanted = bool(stream.targets or stream.ratio)
        return ["main", "libraries", "workers"] if wanted else ["main"]
    return list(PARTS) if asked == "all" else asked.split(",")


def run(
    stream: Stream, dataset: Dataset, limit: int | None, *, lag: str = "0", workers: int = 1,
    peers: tuple[str, ...] = (), blends: tuple[str, ...] = (),
    flags: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Evaluate one stream under its profile, and nothing else set for it."""
    settings = resolved(load(None, {}, {"profile": stream.profile, **(flags or {})}))
    asked = Asked(
        min(stream.limit, limit or stream.limit), stream.warm_up, (), lag, workers, peers, blends,
        neural=None,
    )  # fmt: skip
    plan = planned(
        asked, dataset.events, dataset.items, lambda _: settings, lambda *_: dataset.encoder
    )
    return evaluate(plan, time.monotonic).figures


def part_main(stream: Stream, dataset: Dataset, limit: int | None) -> dict[str, Any]:
    """The table: the blend, every source, and the quick peers, in one run."""
    return run(stream, dataset, limit, peers=QUICK_PEERS)


def part_libraries(stream: Stream, dataset: Dataset, limit: int | None) -> dict[str, Any]:
    """The same against river and implicit, on the first events."""
    return run(stream, dataset, min(MEDIUM, limit or MEDIUM), peers=LIBRARIES)


def part_blends(stream: Stream, dataset: Dataset, limit: int | None) -> dict[str, Any]:
    """Other blends over the same candidates, in one run, on the first events."""
    return run(stream, dataset, min(SHORT, limit or SHORT), blends=OTHER_BLENDS)


def part_workers(stream: Stream, dataset: Dataset, limit: int | None) -> dict[str, Any]:
    """Four workers whose messages are 100 events late; the main part has one, without a lag."""
    return run(stream, dataset, limit, lag="100", workers=4)


def part_seeds(stream: Stream, dataset: Dataset, limit: int | None) -> dict[str, Any]:
    """The blend, alone and with the network, under three seeds: how much of a figure is chance."""
    rows = []
    for seed in ("1", "2", "3"):
        flags = {"factors.seed": seed, "neural.seed": seed}
        found = run(stream, dataset, limit, flags=flags)["sources"]
        rows += [{"what": f"{n}, seed {seed}", **found[n]} for n in ("blend", "blend:online")]
    wanted = {column: sum(row[column] for row in rows[::2]) / 3 for column in COLUMNS}
    return {"rows": [*rows, {"what": "blend, mean", **wanted}], "mean": wanted}


def part_ablation(stream: Stream, dataset: Dataset, limit: int | None) -> dict[str, Any]:
    """The blend without each of its sources."""
    short = min(SHORT, limit or SHORT)
    whole = run(stream, dataset, short)["sources"]
    rows = [{"what": "all", **whole["blend"]}]
    for name in whole:
        if name != "blend":
            less = run(stream, dataset, short, flags={"blend.off": json.dumps([name])})["sources"]
            rows.append({"what": f"without {name}", **less["blend"]})
    return {"rows": rows}


def part_staleness(stream: Stream, dataset: Dataset, limit: int | None) -> dict[str, Any]:
    """The blend with parameters as of so long ago, on the last quarter of twice the events.

    So at a lag of a day globo's lists still know the half day before it.
    """
    late = stream._replace(limit=2 * stream.limit, warm_up=0.75)
    results = [(lag, run(late, dataset, limit, lag=lag)["sources"]["blend"]) for lag in LAGS]
    return {"rows": [{"what": lag_words(lag), **figures} for lag, figures in results]}


PARTS = {
    "main": part_main,
    "libraries": part_libraries,
    "blends": part_blends,
    "workers": part_workers,
    "seeds": part_seeds,
    "ablation": part_ablation,
    "staleness": part_staleness,
}


def show(name: str, part: str, stream: Stream, found: dict[str, Any], console: Console) -> None:
    """Print one part of one stream."""
    result = found[part]
    if "rows" in result:
        console.print(_table(f"{name}: {part}", {r["what"]: r for r in result["rows"]}))
    else:
        _show_sources(name, part, stream, result, console)
    for words, value, wanted, ok in verdicts(stream, found, part):
        console.print(f"{'reached' if ok else 'MISSED'}: {words} {value:.4f} (target {wanted})")


def _show_sources(
    name: str, part: str, stream: Stream, result: dict[str, Any], console: Console
) -> None:
    sources = dict(sorted(result["sources"].items(), key=lambda s: -s[1]["recall@20"]))
    title = (
        f"{name}: {part}; profile {stream.profile}, {result['events']:,} events, "
        f"{result['scored']:,} scored, {result['events_per_second']:,.0f} scored events/s"
    )
    console.print(_table(title, sources))
    unsure = not_below(result)
    console.print(
        f"Not certainly below the blend: {', '.join(unsure)}."
        if unsure
        else "The blend is above every other list, each interval excludes 0."
    )


def not_below(result: dict[str, Any]) -> list[str]:
    """Return the lists that may be as good as the blend's: an interval of theirs holds 0."""
    return list(dict.fromkeys(c["b"] for c in result["comparisons"] if c["low"] <= 0))


def verdicts(
    stream: Stream, found: Mapping[str, Any], part: str
) -> Iterator[tuple[str, float, float, bool]]:
    """Yield (what, reached, target, whether) for a part of one stream."""
    result = found[part]
    if part == "workers":
        one = found.get("main", {})
        if one.get("scored") == result["scored"]:  # else it was over another limit
            kept = _factors(result) / _factors(one)
            yield "recall@20 of factors over one worker's", kept, KEPT, kept >= KEPT
    elif part == "seeds":
        for metric, wanted in stream.targets.items():
            mean = result["mean"][metric]
            yield f"{metric}, mean", mean, wanted, mean >= wanted
    elif "comparisons" in result:
        if part == "main":
            yield from _targets(stream, result["sources"])
        unsure = len(not_below(result))
        yield "lists not certainly below the blend", unsure, 0, not unsure


def _targets(
    stream: Stream, sources: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, float, float, bool]]:
    blend = sources["blend"]
    for metric, wanted in stream.targets.items():
        yield metric, blend[metric], wanted, blend[metric] >= wanted
    if stream.ratio:
        others = [figures["recall@20"] for name, figures in sources.items() if name != "blend"]
        value = blend["recall@20"] / max(others)
        yield "recall@20 over the best other", value, stream.ratio, value >= stream.ratio


def _factors(result: Mapping[str, Any]) -> float:
    found: float = result["sources"]["factors"]["recall@20"]
    return found


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(
            name, *(f"{row[c]:.4f}" for c in COLUMNS), style="bold" if name == "blend" else ""
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
