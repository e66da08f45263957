"""The files in deploy/ agree with each other and with the package."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from needs import needs

from streamrec.monitoring.exposure import check_plaintext
from streamrec.settings.load import load
from streamrec.settings.ports import ROLES, ports_of
from streamrec.settings.sections import MetricsSettings
from streamrec.settings.serve import has_console

yaml = needs("yaml")
ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
SERVE_YAML = (ROOT / "deploy/kubernetes/base/serve.yaml").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_every_variable_of_the_compose_file_is_in_the_example_with_its_default() -> None:
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    example = (ROOT / ".env.example").read_text()
    shown = dict(re.findall(r"^#(\w+)=(\S*)", example, re.MULTILINE))
    assert shown == used


def test_images_have_a_version_and_ours_is_the_package() -> None:
    for name, service in SERVICES.items():
        image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"])
        assert re.search(r":v?\d+\.\d+\.\d+", image), name
        assert not image.startswith("streamrec:") or image.startswith(f"streamrec:{VERSION}")
    assert f'image.version="{VERSION}"' in (ROOT / "deploy" / "Dockerfile").read_text()
    kustomization = (ROOT / "deploy/kubernetes/base/kustomization.yaml").read_text()
    assert f"newTag: {VERSION}" in kustomization


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_closed_and_their_replicas_are_possible(name: str) -> None:
    service = SERVICES[name]
    assert "container_name" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if service.get("build"):
        assert service["read_only"] and service["cap_drop"] == ["ALL"]


def test_what_talks_in_the_clear_says_so() -> None:
    """Roles refuse another machine without TLS, and containers are other machines."""
    for name in ("learn", "score", "serve", "train"):
        flags = SERVICES[name]["environment"]
        settings = load(None, {k: v for k, v in flags.items() if "${" not in v}, {})
        assert not settings.kafka.brokers.startswith("127.")
        check_plaintext(settings)
    check_plaintext(load(ROOT / "deploy/kubernetes/base/settings.toml", {}, {}))


def test_serve_is_open_to_this_machine_alone_and_on_kubernetes_to_who_has_a_token() -> None:
    flags = {k: v for k, v in SERVICES["serve"]["environment"].items() if "${" not in v}
    settings = load(None, flags, {})
    assert settings.serve.without_tokens and has_console(settings.serve)
    port = settings.serve.port
    assert SERVICES["serve"]["ports"] == [f"127.0.0.1:${{SERVE_PORT:-{port}}}:{port}"]
    for address in settings.serve.metrics_of:
        role, _, port_and_path = address.removeprefix("http://").partition(":")
        assert role in SERVICES
        assert port_and_path == f"{ports_of(MetricsSettings(), role)[0]}/metrics"
    flags = dict(re.findall(r"--set, ([\w.]+)=([\w.]+)", SERVE_YAML))
    assert not load(ROOT / "deploy/kubernetes/base/settings.toml", {}, flags).serve.without_tokens
    assert flags["serve.host"] == "0.0.0.0" and f"containerPort: {port}" in SERVE_YAML


def test_a_container_that_is_well_again_has_not_started_slowly() -> None:
    """What .ci/containers compares with its limit: the first time it is healthy after a start."""

    def event(status: str, second: float, service: str = "learn") -> str:
        actor = {"Attributes": {"com.docker.compose.service": service}}
        told = {"status": status, "id": f"{service}-1", "timeNano": second * 1e9, "Actor": actor}
        return json.dumps(told)

    well = "health_status: healthy"
    events = [event("start", 10), event("start", 11, "kafka"), event(well, 12, "kafka")]
    events += [event(well, 16), event("health_status: unhealthy", 60), event(well, 90)]
    events += [event("start", 100), event(well, 103)]
    found = subprocess.run(
        [ROOT / ".ci" / "ready_after"], input="\n".join(events), capture_output=True, text=True
    )
    assert found.stdout.splitlines() == ["learn learn-1 6", "learn learn-1 3"], found.stderr


def test_the_same_grace_everywhere() -> None:
    for role in ("learn", "score", "serve"):
        assert SERVICES[role]["stop_grace_period"] == "15s"
        text = (ROOT / f"deploy/kubernetes/base/{role}.yaml").read_text()
        assert "terminationGracePeriodSeconds: 15" in text
    assert "TimeoutStopSec=15" in (ROOT / "deploy/systemd/streamrec@.service").read_text()


def test_each_role_is_asked_at_its_own_port() -> None:
    for role in ("learn", "score", "serve"):
        port = ports_of(MetricsSettings(), role)[0]
        text = (ROOT / f"deploy/kubernetes/base/{role}.yaml").read_text()
        assert f'prometheus.io/port: "{port}"' in text and f"containerPort: {port}" in text
        assert f"port: {port}" in (ROOT / "deploy/kubernetes/base/network.yaml").read_text()


def test_prometheus_asks_the_services_of_the_compose_file() -> None:
    found = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in found["scrape_configs"]}
    assert set(jobs) == {f"streamrec-{role}" for role in ROLES}
    for job, discovery in jobs.items():
        assert job == f"streamrec-{discovery['names'][0]}" and discovery["names"][0] in SERVICES
        assert discovery["port"] == ports_of(MetricsSettings(), discovery["names"][0])[0]
    source = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"][0]
    assert source["jsonData"]["timeInterval"] == found["global"]["scrape_interval"]
