"""Reports of people who read files with others: the smallest input of each, and what it gives."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import needs
from typer.testing import CliRunner

from streamrec.cli import app
from streamrec.errors import StreamrecError
from streamrec.events.event import EventDecoder, Rejected
from streamrec.files.event_table import EventEncoder, EventTable
from streamrec.files.events import read_events
from streamrec.files.items import read_items
from streamrec.files.law import law_of
from streamrec.files.reading import Reading
from streamrec.settings.sections import EventSettings

pa, parquet = needs("pyarrow", "pyarrow.parquet")

START = 1_700_000_000
COUNT = 120


def log(**columns: Any) -> dict[str, Any]:
    """Return columns of 120 events of 12 users and 15 items, with these ones changed."""
    rows = range(COUNT)
    usual = {
        "user": [f"u{n % 12:02}" for n in rows],
        "item": [f"i{n * 7 % 15:02}" for n in rows],
        "ts": [START + 60 * n for n in rows],
    }
    return {**usual, **columns}


def written(folder: Path, columns: Mapping[str, Any], name: str) -> Path:
    """Write columns in the format that the name says, without any quoting."""
    file = folder / name
    if name.endswith(".parquet"):
        parquet.write_table(pa.table(dict(columns)), file)
        return file
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    separator = "\t" if name.endswith(".tsv") else ","
    lines = [separator.join(columns), *(separator.join(map(str, r.values())) for r in rows)]
    if name.endswith(".jsonl"):
        lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows]
    file.write_text("\n".join(lines) + "\n")
    return file


def read(folder: Path, columns: Mapping[str, Any], name: str, **how: Any) -> EventTable:
    return read_events(written(folder, columns, name), Reading(**how))


def refused(folder: Path, columns: Mapping[str, Any], name: str) -> str:
    with pytest.raises(StreamrecError) as error:
        read(folder, columns, name)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("opened", [(3,), (3, 110), (0, 1), (119,)])
def test_a_bare_quote_swallows_no_row(tmp_path: Path, name: str, opened: tuple[int, ...]) -> None:
    for place in ("front", "middle", "end"):
        notes = [f'"Note {n}' if n in opened else f"Note {n}" for n in range(COUNT)]
        columns = log()
        order = {"front": ["note", *columns], "middle": ["user", "note", "item", "ts"]}
        columns["note"] = notes
        columns = {key: columns[key] for key in order.get(place, [*columns])}
        table = read(tmp_path, columns, name)
        assert (len(table), len(table.user_names), len(table.item_names)) == (COUNT, 12, 15)


@pytest.mark.parametrize("kind", ["int32", "uint32", "int64", "uint64", "float64", "decimal"])
def test_seconds_of_any_width_are_the_same_times(tmp_path: Path, kind: str) -> None:
    seconds = [1_690_000_000 + 86_400 * n for n in range(COUNT)]
    cells = [Decimal(s) for s in seconds] if kind == "decimal" else np.array(seconds, kind)
    table = read(tmp_path, log(ts=cells), "a.parquet")
    assert table.ts.tolist() == [1000 * second for second in seconds]


def test_a_type_that_the_first_line_lacks(tmp_path: Path) -> None:
    kinds = [None, *["purchase"] * (COUNT - 1)]
    table = read(tmp_path, log(type=kinds), "a.jsonl")
    assert np.bincount(table.types).tolist() == [1, 119]
    assert table.type_names == ["click", "purchase"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_type_zero_is_a_type(tmp_path: Path, name: str) -> None:
    table = read(tmp_path, log(type=[n % 3 for n in range(COUNT)]), name)
    assert sorted(table.type_names) == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_more_types_than_there_can_be(tmp_path: Path, name: str) -> None:
    columns = log(type=[f"page-{n}" for n in range(COUNT)])
    twice = {key: [*cells, *cells] for key, cells in columns.items()}
    twice["type"] = [f"page-{n}" for n in range(2 * COUNT)]
    assert "240 event types, more than 127" in refused(tmp_path, twice, name)


ITEMS = [{"item": n, "price": n - 99.5, "category": "red" if n < 105 else "blue"}
         for n in range(100, 115)]  # fmt: skip


@pytest.mark.parametrize("events", ["int", "float"])
@pytest.mark.parametrize("shape", ["csv", "json", "topic", "parquet"])
def test_items_join_and_their_prices_are_numbers(tmp_path: Path, events: str, shape: str) -> None:
    columns = {key: [row[key] for row in ITEMS] for key in ITEMS[0]}
    file = tmp_path / f"i.{'jsonl' if shape in ('json', 'topic') else shape}"
    if shape == "topic":
        topic = [{"item": row["item"], "available": row["item"] != 114,
                  "attributes": {"price": row["price"], "category": row["category"]}}
                 for row in ITEMS]  # fmt: skip
        file.write_text("\n".join(map(json.dumps, topic)))
    else:
        written(tmp_path, columns, file.name)
    items = read_items(file)
    numbers = [100 + n * 7 % 15 for n in range(COUNT)]
    cells = [float(n) for n in numbers] if events == "float" else numbers
    table = read(tmp_path, log(item=cells), "e.csv")
    assert set(table.item_names) == set(items)
    prices = [items[name].attributes["price"] for name in ("100", "114")]
    assert prices == [0.5, 14.5]
    assert items["114"].available is (shape != "topic")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_whole_floats_are_their_digits(tmp_path: Path, name: str) -> None:
    columns = log(user=[float(n % 12) for n in range(COUNT)])
    table = read(tmp_path, columns, name)
    assert sorted(table.user_names, key=int) == [str(n) for n in range(12)]
    message = json.dumps({"user": 5863.0, "item": "i", "type": "click", "ts": 5}).encode()
    live = EventDecoder(EventSettings()).decode(message, -1)
    assert not isinstance(live, Rejected) and live.user == "5863"


def test_binary_text_is_text(tmp_path: Path) -> None:
    columns = log()
    for key in ("user", "item"):
        columns[key] = pa.array([cell.encode() for cell in columns[key]], pa.binary())
    table = read(tmp_path, columns, "a.parquet")
    assert (table.user_names[0], table.item_names[0]) == ("u00", "i00")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("nothing", ["", None])
def test_an_empty_id_is_refused(tmp_path: Path, name: str, nothing: str | None) -> None:
    columns = log()
    columns["user"][5] = "" if name == "a.csv" else nothing
    number = {"a.csv": "line 7", "a.jsonl": "line 6", "a.parquet": "row 6"}[name]
    words = refused(tmp_path, columns, name)
    assert f"{number}: user is missing. Refused are 1 of 120 rows: 1 schema." in words


def test_paths_into_lists(tmp_path: Path) -> None:
    columns = log()
    nested = {
        "actor": [{"id": cell} for cell in columns["user"]],
        "products": [[{"sku": cell}] for cell in columns["item"]],
        "at": columns["ts"],
    }
    paths = {"user": "actor.id", "item": "products.0.sku", "ts": "at"}
    for name in ("a.jsonl", "a.parquet"):
        for how in ({"columns": paths}, {"mapping": paths}):  # type: dict[str, Any]
            table = read_events(written(tmp_path, nested, name), Reading(**how))
            assert (len(table), table.user_names[0], table.item_names[0]) == (COUNT, "u00", "i00")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (log(user=[[f"u{n}"] for n in range(COUNT)]), "row 1: user is ['u0']"),
        (log(item=[{"id": n} for n in range(COUNT)]), "row 1: item is {'id': 0}"),
        (log(type=[["click"]] * COUNT), "row 1: type is ['click']"),
        (log(value=["3,5"] * COUNT), "row 1: the value '3,5' is not a number"),
        (log(ts=[True] * COUNT), "row 1: ts is True"),
        (log(user=[Decimal(10) ** 40 + n for n in range(COUNT)], ts=["soon"] * COUNT), "row 1: "),
        (log(ts=[datetime(1969, 1, 1, tzinfo=UTC)] * COUNT), "row 1: ts is -"),
        (log(ts=pa.array([10**15] * COUNT, pa.timestamp("ms"))), "row 1: ts is 1000000000000000"),
    ],
)
def test_columns_that_hold_something_else(tmp_path: Path, columns: Any, said: str) -> None:
    words = refused(tmp_path, columns, "a.parquet")
    assert said in words and "Refused are 120 of 120 rows" in words


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e400", "nan", "20240101", "20240101000000"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_times_that_are_none(tmp_path: Path, cell: str, name: str) -> None:
    columns = log()
    columns["ts"][5] = cell
    assert f"line 7: ts is {cell}" in refused(tmp_path, columns, name).replace("'", "")
    assert len(read(tmp_path, columns, name, max_refused=1)) == COUNT - 1


@pytest.mark.parametrize("form", ["%Y%m%d", "%Y%m%d%H%M%S"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_written_dates_are_refused_or_read(tmp_path: Path, form: str, name: str) -> None:
    days = [datetime(2024, 1 + n // 28, 1 + n % 28, tzinfo=UTC) for n in range(COUNT)]
    cells = [int(f"{day:{form}}") for day in days]
    assert "a date" in refused(tmp_path, log(ts=cells), name)
    done = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / name), "--time-format", form, "--profile", "general",
              "--limit", "20"]
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "120 rows, 120 events, 0 refused, 2024-01-01 to 2024-05-08" in done.stderr


def test_types_without_a_weight_count_nowhere(tmp_path: Path) -> None:
    kinds = ["view", "addtocart", "view", "transaction", "view"] * 24
    file = written(tmp_path, log(type=kinds), "shop.csv")
    done = CliRunner().invoke(app, ["evaluate", str(file), "--profile", "shop"])
    assert done.exit_code == 65
    assert "line 3: type 'addtocart' has no weight in [events.weights]" in done.stderr
    assert "Refused are 48 of 120 rows: 48 unknown_type." in done.stderr
    options = done.stderr.partition("streamrec --set ")[2].partition(",")[0].split(" --set ")
    assert options == ["events.weights.addtocart=1", "events.weights.transaction=1"]
    given = [part for option in options for part in ("--set", option)]
    for before, after, events in (
        (given, [], 120),
        ([], ["--types-map", "addtocart=cart,transaction=purchase"], 120),
        ([], ["--skip-refused"], 72),
        ([], ["--max-refused", "40%"], 72),
    ):
        line = [*before, "evaluate", str(file), "--profile", "shop", *after]
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.output
        assert f"shop.csv: 120 rows, {events} events, {120 - events} refused" in done.stderr
    assert "39 refused" not in done.stderr
    done = CliRunner().invoke(app, [*line[:-1], "39%"])
    assert done.exit_code == 65


def test_what_the_reader_passes_the_learners_accept(tmp_path: Path) -> None:
    now = 1_732_300_000_000
    settings = EventSettings(max_age_days=30, max_ahead_seconds=60)
    decoder = EventDecoder(settings)
    ages = [0, -59, -61, 29 * 86_400, 31 * 86_400, 5, 6, 7]
    kinds = ["click", "view", "cart", "purchase", "like", "share", "", "remove"]
    cells = {
        "user": [f"u{n}" for n in range(64)],
        "item": ["i"] * 64,
        "ts": [now // 1000 - ages[n % 8] for n in range(64)],
        "type": [kinds[n // 8] for n in range(64)],
    }
    anything = EventEncoder(read(tmp_path, cells, "a.parquet", default_type="none"))
    decoded = [decoder.decode(value, now) for _, value in anything.messages(0, 64)]
    accepted = {event.user for event in decoded if not isinstance(event, Rejected)}
    reasons = {event.reason for event in decoded if isinstance(event, Rejected)}
    assert reasons == {"future", "too_old", "unknown_type"} and len(accepted) == 36
    how = {"default_type": "none", "law": law_of(settings, now), "skip_refused": True}
    assert set(read(tmp_path, cells, "a.parquet", **how).user_names) == accepted


def test_an_array_of_objects_is_read_as_lines_are(tmp_path: Path) -> None:
    lines = written(tmp_path, log(), "a.jsonl").read_text().splitlines()
    array = tmp_path / "a.json"
    array.write_text("[\n  " + ",\n  ".join(lines) + "\n]\n")
    assert read_events(array).digest() == read_events(tmp_path / "a.jsonl").digest()
    array.write_text(f"[{lines[0]}, 7, {lines[1]}]")
    with pytest.raises(StreamrecError, match="row 2: it is not a JSON object"):
        read_events(array)
    array.write_text('{"user": ' + "[" * 100_000)
    with pytest.raises(StreamrecError, match="line 1: it is not a JSON object"):
        read_events(array)


def test_moments_that_python_has_no_word_for(tmp_path: Path) -> None:
    moments = pa.array([10**15, 0], pa.timestamp("ms"))
    parquet.write_table(pa.table({"item": ["a", "b"], "seen": moments}), tmp_path / "i.parquet")
    items = read_items(tmp_path / "i.parquet")
    assert set(items) == {"a", "b"} and items["b"].attributes["seen"].startswith("1970-01-01")
