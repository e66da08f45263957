"""The broker is killed and started again under load; nothing is lost and nothing counted twice."""

import time

import pytest
from recovery.installation import Site
from servers import KafkaServer


@pytest.mark.parametrize(
    ("restarts", "events"),
    [
        pytest.param(2, 3_000),
        pytest.param(10, 10_000, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_broker_restart(site: Site, kafka: KafkaServer, restarts: int, events: int) -> None:
    if not (kafka.can_restart and kafka.keeps_topics):
        pytest.skip(f"the {kafka.kind} broker cannot be restarted with its topics")
    site.fleet.add("learn")
    site.fleet.add("learn")
    feeder = site.feed(events, 60)  # longer than the restarts take, however slow the machine
    site.warm()
    for number in range(restarts):
        time.sleep(site.random.uniform(1.0, 3.0))
        if number % 2:
            kafka.stop()
        else:
            kafka.kill()
        time.sleep(site.random.uniform(0.0, 1.0))
        kafka.start()
        site.fleet.wait_for_more(site.learnt)
    feeder.hurry()
    site.check(feeder.finish())
