"""What a recommender is saved as: whole or not at all, refused when damaged, no pickle."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from test_recommender import HASHED, ITEMS, USERS, events

import streamrec
from streamrec.errors import ConfigurationError, DamagedState, UnknownVersion
from streamrec.library import container
from streamrec.settings.sections import Settings
from streamrec.state import sealed

pytestmark = pytest.mark.usefixtures("nothing_configured")
START = len(container.MAGIC) + sealed.DIGEST


def made(profile: str = "shop", **settings: Any) -> streamrec.Recommender:
    return streamrec.Recommender(profile, settings=HASHED | settings)


@pytest.mark.parametrize("profile", ["shop", "news", "catalogue", "general"])
@pytest.mark.parametrize("own", [{}, {"lists.rotation": 0.3, "items.max_items": 25}])
def test_what_is_loaded_goes_on_as_if_it_had_never_been_saved(
    profile: str, own: dict[str, Any]
) -> None:
    """Also where items were dropped for the bound, and lists that were made before count."""
    log, never, at = events(420), made(profile, **own), 0
    back = made(profile, **own)
    for end in (1, 160, 161, 420):
        for one in (never, back):
            one.learn(log[at:end], items=ITEMS[: end // 10])
        back, at = streamrec.Recommender.load(back.save("state")), end
        for user in (*USERS, "new"):
            (ids, scores), (mine, theirs) = never.recommend(user, 20), back.recommend(user, 20)
            assert ids.tolist() == mine.tolist() and (scores == theirs).all(), "to the bit"
    assert never.save("never").read_bytes() == back.save("back").read_bytes()
    assert back.settings == never.settings and back.counts() == never.counts()


def test_an_empty_one_too() -> None:
    back = streamrec.Recommender.load(made().save("state"))
    assert back.learn(events(30)).save("a").read_bytes() == made().learn(
        events(30)
    ).save("b").read_bytes()  # fmt: skip


def test_a_damaged_file_is_refused_wherever_it_is_damaged() -> None:
    blob = made().learn(events(30)).save("state").read_bytes()
    for at in [*range(0, START + 40, 3), *range(START, len(blob), len(blob) // 40)]:
        Path("bad").write_bytes(blob[:at] + bytes([blob[at] ^ 4]) + blob[at + 1 :])
        with pytest.raises(DamagedState, match="damaged or cut off|not a file that"):
            streamrec.Recommender.load("bad")
    for length in (0, 3, START, START + 5, len(blob) // 2, len(blob) - 1):
        Path("bad").write_bytes(blob[:length])
        with pytest.raises(DamagedState):
            streamrec.Recommender.load("bad")
    Path("bad").write_bytes(blob + b"\0")
    with pytest.raises(DamagedState):
        streamrec.Recommender.load("bad")


def resealed(change: Any = lambda told: None, tensors: Any = lambda tensors: tensors) -> str:
    """Write a state of which something was changed, its checksum made right; return where."""
    blob = made().learn(events(30)).save("state").read_bytes()
    manifest, arrays = sealed.unseal(container.MAGIC, blob)
    told = msgspec.json.decode(manifest)
    change(told)
    parts = sealed.seal(container.MAGIC, told, [tensors(bytes(arrays))])
    Path("other").write_bytes(b"".join(parts))
    return "other"


def test_no_object_is_made_of_what_a_file_says() -> None:
    with pytest.raises(DamagedState, match="holds no state"):
        streamrec.Recommender.load(resealed(tensors=lambda t: t.replace(b'"F32"', b'"OBJ"', 1)))


def test_the_form_of_before_is_refused() -> None:
    blob = made().learn(events(30)).save("state").read_bytes()
    Path("older").write_bytes(b"SRL1" + blob[len(container.MAGIC) :])
    with pytest.raises(DamagedState, match="not a file that Recommender.save of this release"):
        streamrec.Recommender.load("older")


def test_another_version_or_other_settings_are_refused_with_the_release() -> None:
    def later(told: Any) -> None:
        told |= {"version": 9, "release": "7.1"}

    def settings(told: Any) -> None:
        told["settings"]["lists"]["colour"] = 1

    def rows(told: Any) -> None:
        told["items"]["schema"] = "00000000"

    with pytest.raises(UnknownVersion, match=r"version 9, this release reads 1: .* 7\.1"):
        streamrec.Recommender.load(resealed(later))
    with pytest.raises(UnknownVersion, match="whose settings were others: .*colour"):
        streamrec.Recommender.load(resealed(settings))
    with pytest.raises(UnknownVersion, match="whose rows were others"):
        streamrec.Recommender.load(resealed(rows))


def test_code_from_outside_is_named_again() -> None:
    def extra(told: Any) -> None:
        told["settings"]["extra_sources"] = ["os:system"]

    with pytest.raises(ConfigurationError, match=r"extra_sources \['os:system'\]: give load"):
        streamrec.Recommender.load(resealed(extra))


@pytest.mark.parametrize("when", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_one_before(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made().learn(events(30))
    before = one.save("state").read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, when, full)
    with pytest.raises(ConfigurationError, match="Cannot write state: No space left on device"):
        one.learn(events(30)).save("state")
    assert Path("state").read_bytes() == before
    assert [file.name for file in Path().iterdir()] == ["state"]


def test_passwords_and_addresses_are_not_in_it() -> None:
    one = made(**{"redis.url": "redis://:secret@db:6379/0", "kafka.brokers": "far.away:9092"})
    blob = one.learn(events(30)).save("state").read_bytes()
    assert b"secret" not in blob and b"far.away" not in blob
    assert streamrec.Recommender.load("state").settings.redis == Settings().redis


def test_arrays_come_back_as_they_were() -> None:
    arrays = {
        "none": np.zeros((0, 3), np.float32), "one": np.float64(2.5).reshape(()),
        "flags": np.array([[True, False]]), "cut": np.arange(12).reshape(3, 4)[:, ::2],
    }  # fmt: skip
    container.write(Path("x"), {"a": [1]}, arrays)
    told, found = container.read(Path("x"), dict[str, list[int]])
    assert told == {"a": [1]} and list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and (found[name] == array).all()
        assert found[name].shape == array.shape
