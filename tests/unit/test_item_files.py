"""Item files: as on the items topic, numbers are numbers, ids are text, and errors name the row."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from needs import needs

from streamrec.errors import StreamrecError
from streamrec.events.event import Item, decode_item
from streamrec.files.items import read_items
from streamrec.files.reading import Reading

pa, parquet = needs("pyarrow", "pyarrow.parquet")


def items(folder: Path, content: str | bytes, name: str = "i.csv", **how: Any) -> dict[str, Item]:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_items(folder / name, Reading(**how))


def test_json_lines(tmp_path: Path) -> None:
    text = (
        '{"id": 7, "title": "T", "categories": ["a", 5], "price": 2.5, "new": true, "old": null}\n'
        '\n{"item": "x", "category": "a| b|", "text": null, "deep": {"a": 1}}\n'
    )
    (one,) = items(tmp_path, text.partition("\n")[0], "i.jsonl").values()
    assert (one.item, one.title, one.categories) == ("7", "T", ("a", "5"))
    assert one.attributes == {"price": 2.5, "new": True}
    (two,) = items(tmp_path, text.partition("\n")[2], "i.jsonl").values()
    assert (two.item, two.title, two.text, two.categories) == ("x", "", "", ("a", "b"))
    assert two.attributes == {} and two.available


def test_the_shape_of_the_topic_is_read_as_there(tmp_path: Path) -> None:
    messages = [
        {"item": "9", "title": "Pot", "categories": ["a"], "text": "x", "available": False,
         "attributes": {"price": 24.5, "brand": "Oak", "new": True, "old": None, "n": 3}},
        {"item": 100},
    ]  # fmt: skip
    lines = [json.dumps(message) for message in messages]
    found = items(tmp_path, "\n".join(lines), "i.jsonl")
    assert list(found.values()) == [decode_item(None, line.encode()) for line in lines]


def test_numbers_and_flags_of_text_are_such_by_column(tmp_path: Path) -> None:
    text = (
        "item_id,title,category,price,available,new,ean,size\n"
        '100,1984,a|b,3,1,true,007,12\n101.0,"B\nb",5,4.5,0,False,008,\n102,C,,,yes,,1,XL\n'
    )
    one, two, three = items(tmp_path, text).values()
    assert (one.item, one.title, one.categories) == ("100", "1984", ("a", "b"))
    assert one.attributes == {"price": 3.0, "new": True, "ean": "007", "size": "12"}
    assert (two.item, two.title, two.categories) == ("101", "B\nb", ("5",))
    assert two.attributes == {"price": 4.5, "new": False, "ean": "008"}
    assert [item.available for item in (one, two, three)] == [True, False, True]
    assert three.attributes == {"ean": "1", "size": "XL"} and three.categories == ()
    tabs = items(tmp_path, "item_id\ttitle\tbrand\n1\tOne\tash\n", "i.tsv")
    assert tabs["1"].attributes == {"brand": "ash"}


def test_parquet(tmp_path: Path) -> None:
    columns = {
        "item": [1.0, 2.0], "price": [Decimal("1.5"), None], "from": [date(2020, 1, 1)] * 2,
        "attributes": [{"a": 1}, None], "categories": [["x", None], None], "tags": [["t"]] * 2,
        "brand": [b"Oak", None], "available": [None, 0],
    }  # fmt: skip
    parquet.write_table(pa.table(columns), tmp_path / "i.parquet")
    one, two = read_items(tmp_path / "i.parquet").values()
    assert (one.item, one.categories, one.available) == ("1", ("x",), True)
    assert one.attributes == {"price": 1.5, "from": "2020-01-01", "brand": "Oak", "a": 1.0}
    assert (two.item, two.available, two.attributes) == ("2", False, {"from": "2020-01-01"})


def test_mapped_columns_and_recbole(tmp_path: Path) -> None:
    line = '{"sku": "a", "meta": {"name": "T"}, "stock": 0}'
    mapping = {"item": "sku", "title": "meta.name", "available": "stock"}
    for how in ({"mapping": mapping}, {"columns": mapping}):
        (one,) = items(tmp_path, line, "i.jsonl", **how).values()
        assert (one.item, one.title, one.available, one.attributes) == ("a", "T", False, {})
    text = "item_id:token\tname:token_seq\tclass:token_seq\n1\tToy Story\tAnimation Children's\n"
    (one,) = items(
        tmp_path, text, "i.item", mapping={"title": "name", "categories": "class"}
    ).values()
    assert (one.title, one.categories) == ("Toy Story", ("Animation", "Children's"))


def test_a_file_without_items(tmp_path: Path) -> None:
    assert items(tmp_path, "") == {} and items(tmp_path, "item\n") == {}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("i.csv", "sku,title\n1,One\n", "no column item_id or item or id for the item"),
        ("i.csv", "item_id,title\n1,One\n,Two\n", "i.csv, line 3: item is missing"),
        ("i.csv", "item_id,available\n1,maybe\n", "line 2: available is 'maybe'"),
        ("i.csv", "item_id\n{1}\n", "line 2: item is '{1}'"),
        ("i.jsonl", '{"item": "a"}\n\nnot json\n', "i.jsonl, line 3: it is not a JSON object"),
        ("i.jsonl", '{"item": "a", "attributes": {"x": [1]}}\n', "i.jsonl, line 1: Expected"),
        ("i.jsonl", '{"item": "a", "text": "' + "x" * 70_000 + '"}', "line 1: 70"),
        ("i.parquet", "PAR", "i.parquet"),
        ("i.csv", b"item_id\n\xff\xfe\n", "i.csv, line 2: it is not UTF-8 text"),
        ("i.csv.gz", b"\x1f\x8b\x08\x00\x00", "Cannot read"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    with pytest.raises(StreamrecError) as error:
        items(tmp_path, text, name)
    assert said in str(error.value)


def test_refused_rows_may_be_left_out_and_are_counted(tmp_path: Path) -> None:
    text = "item_id,title\n1,One\n,Two\n3,Three\n1,Uno\n"
    said: list[str] = []
    (tmp_path / "i.csv").write_text(text)
    found = read_items(tmp_path / "i.csv", Reading(max_refused_share=0.25), said.append)
    assert [item.title for item in found.values()] == ["Uno", "Three"]
    assert said == [
        "i.csv: 4 rows, 2 items, 1 refused: 1 schema (the first: line 3, item is missing)"
    ]
