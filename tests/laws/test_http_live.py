"""The running role: the examples of openapi.json and of docs/http.md, and the script for pages."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from http_app import in_kafka
from laws.http_state import some_state
from laws.spine import Spine
from needs import needs_program

from streamrec.http.endpoints import ENDPOINTS, Endpoint
from streamrec.http.serve import run
from streamrec.inspection.explain import explained
from streamrec.local.child import free_port
from streamrec.settings.places import PlaceSettings
from streamrec.settings.ports import setting_for
from streamrec.settings.sections import KafkaSettings, MetricsSettings, Settings
from streamrec.settings.serve import ServeSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "http.md"
PLACES = {
    "product": PlaceSettings(context="item", length=4),
    "cart": PlaceSettings(context="basket", length=4),
}
USUAL = "http://127.0.0.1:8080"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WITH = {"sh": ["bash", "-eu"], "js": ["node"], "go": ["go", "run"], "php": ["php"]}
PACKAGES = {"sh": "bash", "js": "nodejs", "php": "php-cli php-curl"}
PROGRAMS = [(kind, text) for kind, text in BLOCK.findall(PAGE.read_text()) if kind in WITH]


class Live(NamedTuple):
    """A running `serve`, on lists of some users, and an empty topic of events."""

    url: str
    settings: Settings

    def events(self) -> list[dict[str, Any]]:
        """Return all events in Kafka."""
        kafka = self.settings.kafka
        return [event for _, event in in_kafka(kafka, kafka.events_topic)]


@pytest.fixture
def live(make_spine: Callable[[Settings, int], Spine], topics: KafkaSettings) -> Iterator[Live]:
    spine, port = some_state(make_spine, PLACES), free_port()
    explained(spine.settings, spine.store, "u1", "i1")  # compiles
    settings = msgspec.structs.replace(
        spine.settings,
        kafka=topics,
        serve=ServeSettings(port=port, write_seconds=20, admin_tokens=("boss",)),
        metrics=MetricsSettings(port=setting_for("serve", free_port())),
    )
    stop = threading.Event()
    role = threading.Thread(target=run, args=(settings, stop))
    role.start()
    try:
        url = f"http://127.0.0.1:{port}"
        asked = httpx.Request("GET", f"{url}/v1/popular")
        assert httpx.HTTPTransport(retries=6).handle_request(asked).status_code == 200
        yield Live(url, settings)
    finally:
        stop.set()
        role.join(20)


def ask(live: Live, path: str, method: str, said: dict[str, Any], **more: Any) -> httpx.Response:
    """Send the example of one operation of openapi.json."""
    query: dict[str, Any] = {}
    for each in said["parameters"]:
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", str(each["example"]))
        else:
            query[each["name"]] = each["example"]
    if "requestBody" in said:
        more["json"] = said["requestBody"]["content"]["application/json"]["example"]
    return httpx.request(method.upper(), f"{live.url}{path}", params=query, timeout=30, **more)


def test_the_examples_of_openapi_are_answered_in_the_shape_that_it_says(live: Live) -> None:
    described = httpx.get(f"{live.url}/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    operations = {
        said["operationId"]: (path, method, said)
        for path, methods in described["paths"].items()
        for method, said in methods.items()
    }
    assert set(operations) == {endpoint.name for endpoint in ENDPOINTS}
    for endpoint in ENDPOINTS:
        path, method, said = operations[endpoint.name]
        token = {"Authorization": "Bearer boss"} if said["security"] else {}
        assert bool(token) == (endpoint.right == "admin")
        answer = ask(live, path, method, said, headers=token)
        assert answer.status_code == endpoint.status, answer.text
        assert str(endpoint.status) in said["responses"]
        check_shape(answer, endpoint)
        if etag := answer.headers.get("etag"):
            same = ask(live, path, method, said, headers={"If-None-Match": etag})
            # what is made now says when
            assert same.status_code == 304 or endpoint.name == "getList"
    events = live.events()
    assert {event["id"] for event in events if "id" in event} >= {"order-7-line-2"}
    forgets = [event for event in events if event["type"] == "forget"]
    assert forgets == [{"user": "u1", "type": "forget"}]
    assert sorted(event["type"] for event in events) == ["click", "forget", "merge", "view"]


def check_shape(answer: httpx.Response, endpoint: Endpoint) -> None:
    """What the shape makes of an answer has all that is in the answer, and nothing else."""
    found = msgspec.json.decode(answer.content, type=endpoint.answer)
    assert msgspec.to_builtins(found) == answer.json()


def test_every_reference_in_openapi_leads_somewhere(live: Live) -> None:
    described = httpx.get(f"{live.url}/v1/openapi.json").json()
    text = json.dumps(described)
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names and names <= set(described["components"]["schemas"])
    assert "security" not in described


def test_programs_are_in_the_page() -> None:
    assert [kind for kind, _ in PROGRAMS] == ["sh", "js", "go", "php"]


@pytest.mark.parametrize(("kind", "text"), PROGRAMS, ids=[kind for kind, _ in PROGRAMS])
def test_programs_of_the_page_run(kind: str, text: str, live: Live, tmp_path: Path) -> None:
    """Each sends a click of u1 on i9 and prints the items of its list, first the first."""
    program = shutil.which(WITH[kind][0], path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if program is None and kind == "go":  # 250 MB
        pytest.skip("go is not on this machine")
    program = program or needs_program(PACKAGES[kind], WITH[kind][0])
    file = tmp_path / f"main.{kind}"
    file.write_text(text.replace(USUAL, live.url))
    assert live.url in file.read_text()
    command = [program, *WITH[kind][1:], str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    served = httpx.get(f"{live.url}/v1/users/u1/lists/home").json()["items"]
    assert served[0]["item"] in done.stdout
    [event] = live.events()
    assert (event["user"], event["item"], event["type"]) == ("u1", "i9", "click")


PAGE_OF_A_SHOP = """
const vm = require("node:vm");
const url = process.argv[2];
const listeners = {}, bodies = [];
const script = {src: url + "/beacon.js", dataset: {user: "visitor"}};
const document = {
  currentScript: script, readyState: "complete", visibilityState: "visible",
  addEventListener: (name, listener) => { listeners[name] = listener; },
  querySelectorAll: (wanted) => wanted === "[data-streamrec-view]"
    ? [{dataset: {streamrecView: "i1"}}] : [],
};
const page = {
  document, URL, crypto, setTimeout, clearTimeout,
  addEventListener: (name, listener) => { listeners[name] = listener; },
  fetch: (to, options) => {
    if (!options.keepalive) throw Error("it would end with the page");
    bodies.push(JSON.parse(options.body));
    return bodies.length === 1 ? Promise.reject(Error("the network is away")) : fetch(to, options);
  },
};
page.window = page;
fetch(script.src).then((answer) => answer.text()).then((source) => {
  vm.runInNewContext(source, page);
  const link = {dataset: {streamrecClick: "i2"}};
  listeners.click({target: {closest: (wanted) => wanted === "[data-streamrec-click]" && link}});
  listeners.click({target: {closest: () => null}});
  document.visibilityState = "hidden";
  listeners.visibilitychange();
  page.streamrec.send("purchase", "i3", {value: 12.5});
  setTimeout(() => console.log(JSON.stringify(bodies)), 4000);
});
"""


def test_the_script_for_pages_sends_views_and_clicks(live: Live, tmp_path: Path) -> None:
    node = needs_program("nodejs", "node")
    answer = httpx.get(f"{live.url}/beacon.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "max-age" in answer.headers["cache-control"] and len(answer.content) < 3000
    file = tmp_path / "page.js"
    file.write_text(PAGE_OF_A_SHOP)
    done = subprocess.run([node, str(file), live.url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lost, bought, again = json.loads(done.stdout)
    assert [(e["type"], e["item"]) for e in lost] == [("view", "i1"), ("click", "i2")]
    assert again == lost  # with the same ids
    assert [(e["type"], e["item"], e["value"]) for e in bought] == [("purchase", "i3", 12.5)]
    ids = {event["id"] for event in (*lost, *bought)}
    found = live.events()
    assert {event["id"] for event in found} == ids and len(ids) == len(found) == 3
    assert {event["user"] for event in found} == {"visitor"}
