"""Event files: every format gives the same events, or the same refusal that says what to do."""

import csv
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needs import needs

from streamrec.errors import ConfigurationError, RowsRefused, StreamrecError
from streamrec.files.cells import WAS_FLOAT, TimeForm
from streamrec.files.event_table import EventEncoder, EventTable
from streamrec.files.events import read_events
from streamrec.files.law import Law
from streamrec.files.reading import EVENT_FIELDS, Reading, parse_columns, parse_refused

pa, parquet = needs("pyarrow", "pyarrow.parquet")

MOMENT = 1_732_300_000_123
ROWS = [
    {"user": "u2", "item": "b", "type": "click", "ts": MOMENT + 2000},
    {"user": "u1", "item": "a", "type": "view", "ts": MOMENT},
    {"user": "u1", "item": "ü", "type": "click", "ts": MOMENT},
]
SORTED = [ROWS[1], ROWS[2], ROWS[0]]
CSV = "user,item,type,ts\n" + "".join(
    f"{row['user']},{row['item']},{row['type']},{row['ts']}\n" for row in ROWS
)
BERLIN = ZoneInfo("Europe/Berlin")


def messages(table: EventTable, ids: bool = False) -> list[dict[str, Any]]:
    encoder = EventEncoder(table, ids)
    return [json.loads(value) for _, value in encoder.messages(0, len(table))]


def written(folder: Path, content: Any, name: str = "log.csv") -> Path:
    """Write text, bytes or, as Parquet, columns."""
    file = folder / name
    if isinstance(content, Mapping):
        parquet.write_table(pa.table(dict(content)), file)
    else:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def events(folder: Path, content: Any, name: str = "log.csv", **how: Any) -> list[dict[str, Any]]:
    name = "log.parquet" if isinstance(content, Mapping) else name
    return messages(read_events(written(folder, content, name), Reading(**how)))


def reason(folder: Path, content: Any, name: str = "log.csv", **how: Any) -> str:
    with pytest.raises(StreamrecError) as error:
        events(folder, content, name, **how)
    return str(error.value)


def one(**changed: Any) -> dict[str, Any]:
    """Return columns of one event."""
    return {"user": ["u"], "item": ["i"], "ts": [MOMENT]} | {k: v for k, v in changed.items()}


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_of_any_form(tmp_path: Path, separator: str, encoding: str) -> None:
    for text in (CSV.replace(",", separator), CSV.replace(",", separator).replace("\n", "\r\n")):
        raw = text.encode(encoding)
        for content in (raw, gzip.compress(raw)):
            assert events(tmp_path, content) == SORTED
    body = CSV.replace(",", separator).partition("\n")[2]
    numbered = {"user": "1", "item": "2", "type": "3", "ts": "4"}
    assert events(tmp_path, body, header=False, columns=numbered) == SORTED


def test_a_separator_that_is_named_and_recbole(tmp_path: Path) -> None:
    assert events(tmp_path, CSV.replace(",", "~"), "log", separator="~") == SORTED
    for named in (";", "~", "\t"):  # as Excel does
        assert events(tmp_path, f"sep={named}\n{CSV.replace(',', named)}") == SORTED
    wrong = f"sep=;\n{CSV.replace(',', ';')}u;i\n"
    last = wrong.count("\n")
    assert f"line {last}: 2 fields where there should be" in reason(tmp_path, wrong)
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n"
    expected = {"user": "196", "item": "242", "type": "click", "ts": 881250949000, "value": 3.0}
    assert events(tmp_path, text, "ml.inter") == [expected]


@pytest.mark.parametrize("times", ["ms", "s", "text", "timestamp", "decimal"])
def test_parquet(tmp_path: Path, times: str) -> None:
    stamps = [row["ts"] for row in ROWS]
    moments = [datetime.fromtimestamp(stamp / 1000, UTC) for stamp in stamps]  # type: ignore[operator]
    column = {
        "ms": pa.array(stamps),
        "s": pa.array([stamp / 1000 for stamp in stamps]),  # type: ignore[operator]
        "text": pa.array([moment.isoformat() for moment in moments]),
        "timestamp": pa.array(moments, pa.timestamp("ns", "UTC")),
        "decimal": pa.array([Decimal(stamp) / 1000 for stamp in stamps]),  # type: ignore[arg-type]
    }[times]
    ids = pa.array([row["user"] for row in ROWS]).dictionary_encode()
    items = pa.array([str(row["item"]).encode() for row in ROWS])
    types = [row["type"] for row in ROWS]
    table = {"user_id": ids, "item_id": items, "event_type": types, "timestamp": column}
    assert events(tmp_path, table) == SORTED


def test_a_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'streamrec\[files\]'"):
        read_events(written(tmp_path, CSV))


def test_types(tmp_path: Path) -> None:
    text = "user,item,ts,type\n" + "".join(
        f"a,b,170000000{n},{kind}\n" for n, kind in enumerate(("0", "1", "", "view"))
    )
    types = [event["type"] for event in events(tmp_path, text)]
    assert types == ["0", "1", "click", "view"]
    types = [e["type"] for e in events(tmp_path, text, types={"0": "impression", "1": "buy"})]
    assert types == ["impression", "buy", "click", "view"]
    lines = "\n".join(f'{{"user":1,"item":2,"ts":17e8,"type":{n}}}' for n in range(128))
    assert "128 event types, more than 127" in reason(tmp_path, lines, "log.jsonl")
    assert len(events(tmp_path, lines.rpartition("\n")[0], "log.jsonl")) == 127
    numbers = one(type=pa.array([1.0]))
    assert events(tmp_path, numbers, types={"1": "buy"})[0]["type"] == "buy"


def test_fields_that_the_first_line_lacks(tmp_path: Path) -> None:
    lines = [
        '{"user": 1, "item": 1, "ts": 17e8}',
        '{"user": 1, "item": 1, "ts": 18e8, "type": "buy"}',
    ]
    assert [e["type"] for e in events(tmp_path, "\n".join(lines), "a.jsonl")] == ["click", "buy"]
    text = "\n".join(lines).replace('"type": "buy"', '"m": {"kind": "buy"}')
    found = events(tmp_path, text, "a.jsonl", columns={"type": "m.kind"}, default_type="view")
    assert [event["type"] for event in found] == ["view", "buy"]


def test_paths_lead_as_they_do_live(tmp_path: Path) -> None:
    line = (
        '{"a.id": 7, "a": {"id": 8}, "p": [{"s.ku": 9}], "at": {"ms": 1700000000}, "type": "buy"}'
    )
    columns = {"user": "a.id", "item": "p.0.s.ku", "ts": "at.ms"}
    expected = [{"user": "7", "item": "9", "type": "buy", "ts": 1_700_000_000_000}]
    assert events(tmp_path, line, "log.jsonl", columns=columns) == expected
    columns_of = {name: [cell] for name, cell in json.loads(line).items()}
    assert events(tmp_path, columns_of, columns=columns) == expected
    assert events(tmp_path, line, "log.jsonl", mapping=columns) == expected
    assert "no column a.b" in reason(tmp_path, line, "log.jsonl", columns={"user": "a.b"})


def test_options_go_before_settings_and_these_before_usual_names(tmp_path: Path) -> None:
    text = "user,who,me,item,ts\na,b,c,i,1700000000\n"
    for how, user in (({}, "a"), ({"mapping": {"user": "who"}}, "b")):
        assert events(tmp_path, text, **how)[0]["user"] == user
    both = {"mapping": {"user": "who"}, "columns": parse_columns("user=me", EVENT_FIELDS, "-c")}
    assert events(tmp_path, text, **both)[0]["user"] == "c"
    assert events(tmp_path, text, mapping={"user": "not there"})[0]["user"] == "a"


@pytest.mark.parametrize("text", ["user", "user=", "shoe=size", "=x"])
def test_bad_mappings_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--columns"):
        parse_columns(text, EVENT_FIELDS, "--columns")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([5863.0]), "5863"),
        (pa.array([Decimal("7.00")]), "7"),
        (pa.array(np.array([7], np.int8)), "7"),
        (pa.array([-(2**63)]), str(-(2**63))),
        (pa.array([2**64 - 1], pa.uint64()), str(2**64 - 1)),
        (pa.array(["5863.0"]), "5863.0"),
        (pa.array(["007"]), "007"),
        (pa.array([b"u0"]), "u0"),
        (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16], pa.binary(16))),
         str(UUID(bytes=b"a" * 16))),
    ],
)  # fmt: skip
def test_ids(tmp_path: Path, ids: Any, expected: str) -> None:
    assert events(tmp_path, one(user=ids))[0]["user"] == expected


@pytest.mark.parametrize(
    "ids",
    [
        [7.5], [math.nan], [2.0**60], [Decimal("7.5")], [True], [None], [""], [b"\xff"], [[1]],
        [{"a": 1}], ["a{b}"], ["x" * 129], ["~mine"], ["a\nb"],
    ],
)  # fmt: skip
def test_what_is_no_id(tmp_path: Path, ids: Any) -> None:
    assert ", row 1: " in reason(tmp_path, one(user=ids))


def test_text_without_types_is_what_it_is_written_as(tmp_path: Path) -> None:
    for cell, expected in (
        ("5863.0", "5863"),
        ("007", "007"),
        ("1e5", "1e5"),
        ("-1", "-1"),
        ("1e+05", "100000"),
    ):
        assert events(tmp_path, f"user,item,ts\n{cell},i,1700000000\n")[0]["user"] == expected
    for cell in ("7.5", "nan", "", "inf", "1.5e-07", "1e+17", "1.23457E+15"):
        text = f"user,item,ts\na,i,1700000000\n{cell},i,1700000000\n"
        assert "line 3: user is " in reason(tmp_path, text)


@pytest.mark.parametrize("kind", [np.int16, np.uint32, np.int32, np.float32, np.float64, np.int64])
def test_numbers_of_any_width_are_seconds(tmp_path: Path, kind: Any) -> None:
    stamp = 17_000 if kind is np.int16 else 1_690_000_000
    cells = np.array([stamp, stamp + 128], kind)
    columns = {"user": ["u"] * 2, "item": ["i"] * 2, "ts": cells}
    found = events(tmp_path, columns, time=TimeForm("s" if kind is np.int16 else ""))
    assert [event["ts"] for event in found] == [int(float(cell)) * 1000 for cell in cells]


@pytest.mark.parametrize(
    ("form", "cell", "expected"),
    [
        (TimeForm(), "2024-11-22T18:26:40Z", 1_732_300_000_000),
        (TimeForm(), "2024-11-22 18:26:40 UTC", 1_732_300_000_000),
        (TimeForm(), "2024-11-22T18:26:40.1239+00:00", 1_732_300_000_123),
        (TimeForm(), date(2024, 11, 22), 1_732_233_600_000),
        (TimeForm("", BERLIN), "2015-07-21", 1_437_429_600_000),
        (TimeForm("", BERLIN), datetime(2015, 7, 21), 1_437_429_600_000),  # noqa: DTZ001
        (TimeForm("", BERLIN), datetime(2015, 7, 21, tzinfo=UTC), 1_437_436_800_000),
        (TimeForm("", BERLIN), 1_437_436_800, 1_437_436_800_000),
        (TimeForm("%d-%m-%Y"), "21-07-2015", 1_437_436_800_000),
        (TimeForm("%d-%m-%Y", BERLIN), "21-07-2015", 1_437_429_600_000),
        (TimeForm("%Y%m%d"), 20150721, 1_437_436_800_000),
        (TimeForm("%Y%m%d"), 20150721.0, 1_437_436_800_000),
        (TimeForm("%Y%m%d%H%M%S"), 20150721000001, 1_437_436_801_000),
        (TimeForm("s"), 20150721, 20_150_721_000),
        (TimeForm("ms"), 20150721, 20_150_721),
        (TimeForm("us"), 1_732_300_000_123_999, 1_732_300_000_123),
        (TimeForm("ns"), 1_732_300_000_123_000_000, 1_732_300_000_123),
    ],
)
def test_time_forms(tmp_path: Path, form: TimeForm, cell: Any, expected: int) -> None:
    assert events(tmp_path, one(ts=[cell]), time=form)[0]["ts"] == expected
    text = f"user,item,ts\nu,i,{cell}\n"
    assert events(tmp_path, text, time=form)[0]["ts"] == expected
    if not isinstance(cell, date):
        line = json.dumps({"user": "u", "item": "i", "ts": cell})
        assert events(tmp_path, line, "log.jsonl", time=form)[0]["ts"] == expected


@pytest.mark.parametrize(
    "cell",
    [
        "soon", "", "inf", "nan", "1e400", "1.7E+12", "true", "1_000", "0x10", "1969-12-31", -5,
        0, 1, 2024, 202401, 240101, 45000.5, 315_532_799,
        20240101, 202401010000, 20240101000000, 253_402_300_800_000, 1_732_300_000_000_000,
        math.inf, math.nan, True, None, [1], datetime(1960, 1, 1),  # noqa: DTZ001
        pa.scalar(10**15, pa.timestamp("ms")), pa.scalar(-5, pa.timestamp("ns")),
    ],
)  # fmt: skip
def test_what_is_no_time(tmp_path: Path, cell: Any) -> None:
    assert "row 1: ts is " in reason(tmp_path, one(ts=pa.array([cell])))
    if isinstance(cell, str | int | float) and cell == cell:
        text = f"user,item,ts\nu,i,1700000000\nu,i,{cell}\n"
        assert "log.csv, line 3: ts is " in reason(tmp_path, text)
    if cell is None or isinstance(cell, str | int | list):
        line = json.dumps({"user": "u", "item": "i", "ts": cell})
        assert "log.jsonl, line 1: ts is " in reason(tmp_path, line, "log.jsonl")


def test_times_of_several_kinds_in_one_column(tmp_path: Path) -> None:
    cells = [1_700_000_000, "2023-11-14T22:13:21Z", 1_700_000_002.5, "1700000003"]
    lines = "\n".join(json.dumps({"user": 1, "item": 2, "ts": cell}) for cell in cells)
    found = [event["ts"] - 1_700_000_000_000 for event in events(tmp_path, lines, "log.jsonl")]
    assert found == [0, 1000, 2500, 3000]
    lines = lines.replace('"2023-11-14T22:13:21Z"', "true")
    assert "line 2: ts is True" in reason(tmp_path, lines, "log.jsonl")


def test_values(tmp_path: Path) -> None:
    text = "user,item,ts,value\n" + "".join(
        f"{cells[0]},{cells[1]},170000000{n},{cells[2:]}\n"
        for n, cells in enumerate(("ab2.5", "ac", "zd1e1"))
    )
    assert [e.get("value") for e in events(tmp_path, text)] == [2.5, None, 10.0]
    left = read_events(written(tmp_path, text), Reading(min_value=3))
    assert [event["item"] for event in messages(left)] == ["c", "d"]
    assert list(left.item_names) == ["c", "d"]
    for cell in ('"3,5"', "inf", "2000000", "true", "0x1"):
        assert "line 3: the value " in reason(
            tmp_path, f"user,item,ts,value\na,b,1700000000,1\na,b,1700000000,{cell}\n"
        )
    for cells in (["3,5"], [True], [math.inf], [[1]]):
        assert "row 1: the value " in reason(tmp_path, one(value=cells))
    assert "no column value or rating" in reason(tmp_path, one(), min_value=1)


def test_quotes_that_are_none(tmp_path: Path) -> None:
    rows = ["{}", '"weird', "ok", '6" nails"', '"Heroes" live', '"fine, thanks"', '"a ""b"""', '"x']
    for separator in (",", "\t", ";"):
        lines = [f"u{n},i{n},170000000{n},{text}" for n, text in enumerate(rows)]
        text = "\n".join(["user,item,ts,note", *lines])
        found = events(tmp_path, text.replace(",", separator).replace(f"fine{separator}", "fine,"))
        assert [event["user"] for event in found] == [f"u{n}" for n in range(len(rows))]
    named = [
        e["segment"] for e in events(tmp_path, text, columns={"segment": "note"}, max_refused=1)
    ]
    assert named == ['"weird', "ok", '6" nails"', '"Heroes" live', "fine, thanks", 'a "b"', '"x']


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = 'user,note,item,ts\n\n1,"a\n\nb, c",3,T\n2,x,4\n3,x,4,soon\n4,"y\nz",5,T\n5,,,T\n'
    text = text.replace("T", str(MOMENT))
    said: list[str] = []
    table = read_events(written(tmp_path, text), Reading(max_refused=3), said.append)
    assert [event["user"] for event in messages(table)] == ["1", "4"]
    assert said == [
        "log.csv: 5 rows, 2 events, 3 refused: 2 schema, 1 malformed (the first: line 6, 3 fields "
        "where there should be 4), 2024-11-22 to 2024-11-22"
    ]
    assert "line 7: ts is 'soon'" in reason(tmp_path, text.replace("2,x,4\n", "\n"))
    assert "line 10: item is missing" in reason(
        tmp_path, text.replace("soon", f"{MOMENT}").replace("4\n3", f"4,{MOMENT}\n3")
    )


def test_how_many_rows_may_be_refused(tmp_path: Path) -> None:
    text = "user,item,ts\n" + "u,i,1700000000\n" * 98 + "u,i,soon\n,i,1700000000\n"
    assert parse_refused("2") == (2, 0.0) and parse_refused("2.5%") == (0, 0.025)
    for count, share, skip in ((2, 0.0, False), (0, 0.02, False), (0, 0.0, True)):
        how = {"max_refused": count, "max_refused_share": share, "skip_refused": skip}
        table = read_events(written(tmp_path, text), Reading(**how))
        assert (len(table), table.refused) == (98, 2)
    words = reason(tmp_path, text, max_refused=1, max_refused_share=0.01)
    assert "line 100: ts is 'soon'" in words
    assert "Refused are 2 of 100 rows: 2 schema. --skip-refused leaves them out." in words
    lines = '{"user": 1, "item": 2, "ts": 17e8}\n\n[1]\n{"user": "\xff"}\n'.encode("latin-1")
    assert len(events(tmp_path, lines, "log.jsonl", max_refused=2)) == 1
    assert "line 3: it is not a JSON object" in reason(tmp_path, lines, "log.jsonl")
    odd = b"user,item,ts\nu,i,1700000000\n\xff,i\nu,i,soon\n"
    assert "line 3: it is not UTF-8 text" in reason(tmp_path, odd, max_refused=1)
    assert len(events(tmp_path, odd, max_refused=2)) == 1


def test_sessions_and_segments(tmp_path: Path) -> None:
    text = "user,item,ts,country,session\na,x,17T1,BR,s\nb,y,17T2,,s\na,y,17T3,BR,t\n"
    text = text.replace("T", "0" * 7)
    table = read_events(written(tmp_path, text), Reading({"segment": "country"}))
    assert [event.get("segment") for event in messages(table)] == ["BR", None, "BR"]
    assert table.sessions is not None and table.sessions.tolist() == [0, 0, 1]
    assert read_events(written(tmp_path, text.replace(",s\n", ",\n"))).sessions is None
    cells = {"user": ["a", "b"], "item": ["x", "y"], "ts": [17e8, 18e8], "region": [3, None]}
    assert events(tmp_path, cells, columns={"segment": "region"})[0]["segment"] == "3"


FORGET = {"user": "u1", "type": "forget"}
CONSENT: list[dict[str, Any]] = [
    {"user": "u1", "item": "a", "type": "click", "ts": MOMENT},
    FORGET,
    {"user": "u2", "item": "a", "type": "click", "ts": MOMENT + 1, "personal": False},
    {"user": "u1", "item": "b", "type": "click", "ts": MOMENT + 2, "personal": True},
    {"user": "u3", "item": "b", "type": "click", "ts": MOMENT + 3},
    FORGET | {"user": "u3"},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_consent_is_kept_and_who_is_to_be_forgotten(tmp_path: Path, kind: str) -> None:
    """A dump of the topic of events becomes the same messages again, in their order."""
    names = ("user", "item", "type", "ts", "personal")
    columns = {name: [row.get(name) for row in CONSENT] for name in names}
    if kind == "parquet":
        content: Any = columns
    elif kind == "jsonl":
        content = "".join(json.dumps(row) + "\n" for row in CONSENT)
    else:
        rows = zip(*([_cell(cell) for cell in column] for column in columns.values()), strict=True)
        content = "\n".join(map(",".join, [names, *rows]))
    found = events(tmp_path, content, f"log.{kind}")
    assert found == [{k: v for k, v in row.items() if k != "personal" or not v} for row in CONSENT]
    table = read_events(tmp_path / f"log.{kind}", Reading(law=Law(types=("click",))))
    encoder = EventEncoder(table)
    parts = [encoder.messages(at, at + 1) for at in range(len(table))]
    assert [json.loads(value) for part in parts for _, value in part] == found
    assert (len(table), table.refused) == (4, 0)


def _cell(cell: Any) -> str:
    return "" if cell is None else str(cell)


def test_a_row_is_forgotten_with_those_above_it(tmp_path: Path) -> None:
    """Whatever the order of the file, the later rows of a user are a new history."""
    rows = [CONSENT[4], FORGET | {"user": "nobody"}, CONSENT[0], FORGET, CONSENT[3], CONSENT[2]]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    found = events(tmp_path, lines, "log.jsonl")
    assert [(row["user"], row["type"]) for row in found] == [
        ("nobody", "forget"), ("u1", "click"), ("u1", "forget"),
        ("u2", "click"), ("u1", "click"), ("u3", "click"),
    ]  # fmt: skip
    said: list[str] = []
    read_events(tmp_path / "log.jsonl", Reading(), said.append)
    assert "6 rows, 4 events, 2 to forget a user, 0 refused" in said[0]
    assert "neither true nor false" in reason(tmp_path, one(personal=["maybe"]))
    assert "user is missing" in reason(tmp_path, '{"type": "forget"}\n' + lines, "log.jsonl")


def merge(user: str, visitor: str) -> dict[str, Any]:
    return {"user": user, "type": "merge", "from": visitor}


def test_a_visitor_is_merged_behind_the_rows_above_of_both(tmp_path: Path) -> None:
    rows = [
        CONSENT[3], CONSENT[4], merge("u1", "u3"), CONSENT[0], merge("u9", "u1"), FORGET,
        CONSENT[2],
    ]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    found = events(tmp_path, lines, "log.jsonl")
    told = [(row["user"], row["type"], row.get("from")) for row in found]
    assert told == [
        ("u1", "click", None), ("u2", "click", None), ("u1", "click", None),
        ("u3", "click", None), ("u1", "merge", "u3"), ("u9", "merge", "u1"), ("u1", "forget", None),
    ]  # fmt: skip
    said: list[str] = []
    read_events(tmp_path / "log.jsonl", Reading(), said.append)
    assert "7 rows, 4 events, 1 to forget a user, 2 to merge a visitor, 0 refused" in said[0]
    wrong = '{"user": "u1", "type": "merge"}\n'
    assert "from is missing" in reason(tmp_path, wrong + lines, "log.jsonl")


@pytest.mark.parametrize(
    ("content", "name", "part"),
    [
        ("customer,item,ts\n1,2,3\n", "log.csv", "no column user_id or user .*customer, item, ts"),
        ("user,item\n1,2\n", "log.csv", "no column ts_ms or ts or timestamp .*--columns ts=COLUMN"),
        ("user,user,item,ts\n1,1,2,3\n", "log.csv", "two columns user"),
        (b"us\xffr,item,ts\n1,2,3\n", "log.csv", "not UTF-8"),
        (CSV, "log.xlsx", r"Known: \.csv, \.tsv"),
        (CSV, "log.csv.zip", r"Known: \.csv, \.tsv"),
        ("PAR1", "log.parquet", r"Cannot read .*log\.parquet"),
        (b"\x1f\x8b\x08\x00\x00", "log.csv.gz", r"Cannot read .*log\.csv\.gz"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: Any, name: str, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part):
        read_events(written(tmp_path, content, name))


def test_no_file_and_no_events(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_events(tmp_path / "absent.csv")
    for content, name in (("user,item,ts\n", "a.csv"), ("", "a.csv"), ("\n", "a.jsonl")):
        assert events(tmp_path, content, name) == []
    assert events(tmp_path, {"user": pa.array([], pa.string())}) == []


def test_event_ids_are_the_same_for_the_same_events(tmp_path: Path) -> None:
    file = written(tmp_path, CSV)
    first, again = messages(read_events(file), ids=True), messages(read_events(file), ids=True)
    assert first == again
    assert len({event["id"] for event in first}) == len(ROWS)
    other = read_events(written(tmp_path, CSV.replace("u2", "u3")))
    assert messages(other, ids=True)[0]["id"] != first[0]["id"]


def test_chunks_of_messages_join_to_the_whole(tmp_path: Path) -> None:
    encoder = EventEncoder(read_events(written(tmp_path, CSV)), ids=True)
    assert encoder.messages(0, 1) + encoder.messages(1, 99) == encoder.messages(0, 99)
    assert [key for key, _ in encoder.messages(0, 9)] == [b"u1", b"u1", b"u2"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=6)
IDS = st.one_of(
    TEXTS.filter(lambda text: not WAS_FLOAT.fullmatch(text)),
    st.sampled_from(['"', '"a', 'a"b"', '""', "a,b", "x;y|z::", "NULL", "NA", "~u", "007", "é"]),
)
TIMES = st.one_of(
    st.integers(-10, 10**11), st.integers(10**11, 2**53), st.sampled_from([20240101, 0, 10**12]),
)  # fmt: skip
COLUMNS = {
    "user": st.one_of(IDS, st.none()),
    "item": st.one_of(st.integers(-5, 2**62), st.integers(0, 2**40).map(float), st.none()),
    "ts": st.one_of(TIMES, st.none()),
    "type": st.one_of(st.sampled_from(["view", "buy"]), st.none()),
    "value": st.one_of(st.floats(-2e6, 2e6), st.none()),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Return columns of one type each, as Parquet has them."""
    count = draw(st.integers(1, 8))
    items = draw(st.sampled_from([st.integers(-5, 2**62), st.integers(0, 2**40).map(float), IDS]))
    cells = {**COLUMNS, "item": st.one_of(items, st.none())}
    return {name: [draw(some) for _ in range(count)] for name, some in cells.items()}


def outcome(file: Path, how: Reading, first_row: int) -> Any:
    """Return the events, or the refused row from 0 and why."""
    try:
        return messages(read_events(file, how))
    except RowsRefused as error:
        where, _, why = str(error).partition(": ")
        return int(where.split()[-1]) - first_row, why.replace("'", "").partition(".0")[0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables(), st.sampled_from([0, 3]))
def test_formats_agree(tmp_path: Path, table: dict[str, list[Any]], refused: int) -> None:
    rows: Sequence[dict[str, Any]] = [
        dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)
    ]
    results = []
    how = Reading(max_refused=refused)
    for name, separator in (("a.csv", ","), ("a.tsv", "\t"), ("b.csv", ";")):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, delimiter=separator)
            writer.writerows([table.keys(), *(row.values() for row in rows)])
        results.append(outcome(tmp_path / name, how, 2))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    results.append(outcome(tmp_path / "a.jsonl", how, 1))
    parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    results.append(outcome(tmp_path / "a.parquet", how, 1))
    assert all(result == results[0] for result in results), results
