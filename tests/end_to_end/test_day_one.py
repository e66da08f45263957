"""Two files of a shop become lists that people can read and click in, by one command."""

import json
import random
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from needs import needs

from tests.end_to_end.commands import Command
from tests.end_to_end.stranger import lines_of

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("tea", "cup", "pot", "jam")
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Customers keep to one kind of things; columns as shops call them."""
    rng, at = random.Random(3), 1_732_300_000
    products = ["item_id,title,categories"]
    products += [f"p{n},{KINDS[n % 4].title()} number {n},{KINDS[n % 4]}" for n in range(120)]
    events = ["user_id,item_id,type,timestamp"]
    for n in range(3000):
        customer = rng.randrange(80)
        product = customer % 4 + 4 * min(29, int(rng.expovariate(0.15)))
        events.append(f"c{customer},p{product},view,{at + 60 * n}")
    (tmp_path / "products.csv").write_text("\n".join(products) + "\n")
    (tmp_path / "events.csv").write_text("\n".join(events) + "\n")
    return tmp_path


@pytest.fixture
def up(shop: Path) -> Iterator[Command]:
    _, line = lines_of((ROOT / "README.md").read_text())
    said = line.split()[1:]  # in the folder of the files; without what takes long to start
    own = ("--set", "neural.on=false", "--set", "text.model=hashed")
    running = Command(shop, *own, *said, "--no-train")
    yield running
    running.kill()


def test_history_and_products_are_lists_at_once(up: Command) -> None:
    needs("starlette")
    up.wait_for("/console", 200)
    said = up.output.read_text()
    assert "3,000 events of 80 users are learnt and stored" in said
    found = re.search(r"(http://\S+)/console", said)
    assert found is not None
    site = found[1]

    def ask(path: str, **sent: str) -> Any:
        body = json.dumps(sent).encode() if sent else None
        request = urllib.request.Request(site + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    before = until(lambda: ask("/console/api/list?user=c5"), lambda found: found["personal"])
    titles = [row["title"] for row in before["rows"]]
    assert sum(title.startswith("Cup") for title in titles[:5]) >= 4, titles
    search = "/console/api/search?" + urllib.parse.urlencode({"q": "jam number 3"})
    jam = ask(search)[0]
    assert jam["title"] == "Jam number 3"
    ask("/v1/events", user="c5", item=jam["item"], type="view")
    after = until(
        lambda: ask("/console/api/list?user=c5"), lambda found: found["offset"] != before["offset"]
    )
    assert after["latest"][0]["title"] == "Jam number 3"
    assert [row["item"] for row in after["rows"]] != [row["item"] for row in before["rows"]]


def until(look: Any, right: Any) -> Any:
    for _ in range(900):
        found = look()
        if right(found):
            return found
        time.sleep(0.1)
    raise AssertionError(found)
