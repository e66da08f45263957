"""`streamrec items tune`: the encoder's last layers learn which items are taken together."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from streamrec.commands.encoding import texts_encoded
from streamrec.commands.options import (
    EventsFile,
    ItemColumns,
    check_writable,
    items_of,
    reads_events,
    say,
    screen,
    settings_of,
)
from streamrec.commands.progress import with_progress
from streamrec.errors import ConfigurationError, StreamrecError

if TYPE_CHECKING:
    from streamrec.evaluation.co_taken import Array, Pairs
    from streamrec.events.event import Item
    from streamrec.files.reading import Reading
    from streamrec.settings.sections import Settings
    from streamrec.text.tuning import Tuning

PAIRS_A_STEP = 64


class _Log(NamedTuple):
    """What the two files hold."""

    items: "list[Item]"
    texts: list[str]
    pairs: "Pairs"
    size: int
    """Main directions that `content` reads of a vector."""


@reads_events
def tune(
    ctx: typer.Context,
    reading: "Reading",
    events: EventsFile,
    items: Annotated[
        Path, typer.Option(metavar="FILE", help="Item ids, titles, categories, texts.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Of the tuned model; must not exist yet.")
    ],
    steps: Annotated[int, typer.Option(min=1, help="Of 64 pairs each.")] = 500,
    layers: Annotated[int, typer.Option(min=1, help="The last so many learn.")] = 2,
    rate: Annotated[float, typer.Option(min=0, help="Of AdamW, after the warm-up.")] = 2e-5,
    seed: Annotated[int, typer.Option(min=0, help="Of the pairs drawn, and of dropout.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    item_columns: ItemColumns = "",
) -> None:
    """Tune the encoder of texts on items taken one after the other; keep it if it is better.

    text.model must be a model of sentence-transformers. The first 90 % of the events teach, the
    last 10 % judge: FOLDER is written only where the tuned model ranks better, else exit code 1.
    """
    settings = settings_of(ctx)
    model = settings.text.model
    _check_free(out)
    _check_tunable(model)
    if json_file is not None:
        check_writable(json_file)
    from streamrec.evaluation.co_taken import figures_of
    from streamrec.text.tuning import Tuning, device_of_tuning

    how = Tuning(steps, layers, rate, PAIRS_A_STEP, seed)
    log = _read(settings, events, reading, items, item_columns)
    frozen = _ranks(model, log)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as beside:
        made = Path(beside) / "model"
        losses = _tuned(model, log, how, made)
        result = {
            "model": model, "texts": len(log.texts), "teaching": len(log.pairs.teaching),
            "judging": len(log.pairs.judging), "device": device_of_tuning(), **how._asdict(),
            **figures_of(frozen, _ranks(str(made), log), losses),
        }  # fmt: skip
        _print(result)
        if json_file is not None:
            json_file.write_text(json.dumps(result, indent=1) + "\n")
        if not result["kept"]:
            raise StreamrecError(
                f"the tuned model is not better: nothing is written, {model} stays. More events, "
                "or another --steps, --layers or --rate, may help"
            )
        _check_free(out)
        made.rename(out)
    print(
        f"Written to {out}. Set text.model to {out.resolve()} for learn, score and evaluate: its "
        "number is another, so all texts are encoded again; until then an item has no vector."
    )


def _check_free(folder: Path) -> None:
    """Raise ConfigurationError where a folder is there, or cannot be made."""
    if folder.exists():
        raise ConfigurationError(f"--out {folder} is there already: name another folder.")
    if not folder.parent.is_dir():
        raise ConfigurationError(f"--out {folder}: there is no folder {folder.parent}.")
    if not os.access(folder.parent, os.W_OK):
        raise ConfigurationError(f"--out {folder}: permission denied.")


def _check_tunable(model: str) -> None:
    """Raise ConfigurationError where text.model cannot be tuned, or not with what is installed."""
    from importlib.util import find_spec

    from streamrec.text.encoder import INSTALL_SENTENCES, check_tunable

    check_tunable(model)
    for library in ("torch", "sentence_transformers"):
        if find_spec(library) is None:
            raise ConfigurationError(
                f"Tuning {model} needs {library}, which is not installed: {INSTALL_SENTENCES}"
            )


def _read(
    settings: "Settings", events: Path, reading: "Reading", file: Path, item_columns: str
) -> _Log:
    """Return the files' items and pairs; raises ConfigurationError where nothing can be learnt."""
    from streamrec.evaluation.co_taken import check_enough, pairs_of, texts_of
    from streamrec.files.events import read_events

    table = read_events(events, reading, say)
    items = items_of(settings, file, item_columns, reading)
    texts, text_of = texts_of(items)
    if not texts:
        raise ConfigurationError(
            f"{file}: no item has a title, a category or a text: nothing to encode. Name their "
            "columns with --item-columns title=...,text=..."
        )
    session_ms = int(1000 * settings.lists.session_seconds)
    pairs = pairs_of(table, text_of, settings.events.weights, session_ms)
    check_enough(pairs)
    return _Log(list(items.values()), texts, pairs, settings.content.size)


def _ranks(model: str, log: _Log) -> "dict[str, Array]":
    """Return by reading the ranks of the pairs that judge; vectors are as they would be stored."""
    from streamrec.evaluation.co_taken import READINGS, judged_of, ranks_of, read

    encoder = texts_encoded(model, log.items)
    assert encoder is not None
    stored, judged = encoder.encode(log.texts), judged_of(log.pairs.judging)
    return {each: ranks_of(read(stored, each, log.size), judged) for each in READINGS}


def _tuned(model: str, log: _Log, how: "Tuning", folder: Path) -> list[float]:
    """Tune on the pairs that teach, with a bar; return the losses."""
    from streamrec.evaluation.co_taken import batches_of
    from streamrec.text.tuning import tune

    batches = batches_of(log.pairs.teaching, how.batch, how.steps, how.seed)
    shown = with_progress(batches, how.steps, "steps")
    return tune(model, log.texts, shown, how, str(folder))


def _print(result: Mapping[str, Any]) -> None:
    """Print the figures for people."""
    from rich.table import Table

    console, losses = screen(100), result["losses"]
    console.print(
        f"{result['model']}: {result['steps']:,} steps of {result['batch']} pairs on "
        f"{result['device']}, the last {result['layers']} layers, rate {result['rate']:g}, seed "
        f"{result['seed']}. Loss {losses['first']:.3f} in the first tenth of the steps, "
        f"{losses['last']:.3f} in the last. {result['teaching']:,} pairs taught; "
        f"{result['judged']:,} of {result['judging']:,} later ones judge, among "
        f"{result['texts']:,} texts.",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    table = Table()
    for name in ("cosine of vectors", "metric", "frozen", "tuned", "difference", "95 %"):
        table.add_column(name)
    for reading, metrics in result["verdicts"].items():
        for name, v in metrics.items():
            table.add_row(
                reading, name, f"{v['frozen']:.4f}", f"{v['tuned']:.4f}",
                f"{v['difference']:+.4f}", f"{v['low']:+.4f} to {v['high']:+.4f}",
            )  # fmt: skip
    console.print(table)
