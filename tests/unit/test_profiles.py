"""Profiles: each sets settings that exist and go together, and yields to what somebody set."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from streamrec.errors import ConfigurationError
from streamrec.roles.learn import check_record_size
from streamrec.settings.checks import problems
from streamrec.settings.load import all_settings, default_of, load, load_given
from streamrec.settings.profiles import PROFILES, Profile
from streamrec.settings.sections import Settings

pytestmark = pytest.mark.usefixtures("nothing_configured")


def written(text: str) -> Path:
    path = Path("own.toml")
    path.write_text(text)
    return path


def value_of(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def test_there_is_one_for_each_name_that_the_setting_allows() -> None:
    assert set(PROFILES) == set(get_args(Profile)) == set(get_args(all_settings()["profile"]))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_sets_what_it_says_and_leaves_the_rest(profile: Profile) -> None:
    settings = load(None, {}, {"profile": profile})
    assert not list(problems(settings))
    check_record_size(settings)
    own = PROFILES[profile]
    assert settings.profile == profile
    for name, wanted in all_settings().items():
        if name == "profile":
            continue
        found = value_of(settings, name)
        if name in own:
            assert found == msgspec.convert(own[name], wanted)
            assert found != default_of(name), f"{name} is the default anyway"
        else:
            assert found == default_of(name)
    assert set(own) <= set(all_settings())


def test_the_general_profile_is_the_defaults() -> None:
    assert load(None, {}, {"profile": "general"}) == load(None, {}, {}) == Settings()


def test_a_profile_may_be_given_anywhere_and_the_strongest_one_counts() -> None:
    file = written('profile = "shop"\n')
    assert load(file, {}, {}).lists.exclude == "none"
    assert load(None, {"STREAMREC_PROFILE": "news"}, {}).lists.exclude == "session"
    by_both = load(file, {"STREAMREC_PROFILE": "news"}, {})
    assert (by_both.profile, by_both.lists.exclude) == ("news", "session")
    assert by_both.users.recent_items == default_of("users.recent_items")  # nothing of shop is left
    by_flag = load(file, {"STREAMREC_PROFILE": "news"}, {"profile": "catalogue"})
    assert by_flag.profile == "catalogue" and by_flag.factors == load(
        None, {}, {"profile": "catalogue"}
    ).factors  # fmt: skip


@pytest.mark.parametrize("where", ["file", "environment", "flag"])
def test_what_is_set_wins_over_the_profile_wherever_either_is_set(where: str) -> None:
    own = "similarity.half_life_seconds"
    given = {
        "file": (written("[similarity]\nhalf_life_seconds = 77.0\n"), {}, {}),
        "environment": (None, {"STREAMREC_SIMILARITY_HALF_LIFE_SECONDS": "77"}, {}),
        "flag": (None, {}, {own: "77"}),
    }
    file, environ, flags = given[where]
    found = load(file, environ, {"profile": "shop", **flags})
    assert found.similarity.half_life_seconds == 77.0
    assert found.cosine.neighbours == 0 and found.users.recent_items == 200
    found = load(file, {"STREAMREC_PROFILE": "shop", **environ}, flags)
    assert found.similarity.half_life_seconds == 77.0 and found.lists.exclude == "none"


def test_a_default_that_is_set_explicitly_wins_too() -> None:
    found = load(None, {}, {"profile": "news", "lists.exclude": "user"})
    assert found.lists.exclude == "user" and found.factors.prior == 1.0


def test_one_weight_that_is_set_changes_that_one_alone() -> None:
    found = load(None, {}, {"profile": "shop", "blend.weights.repeats": "0.9"})
    assert found.blend.weights == {**Settings().blend.weights, "repeats": 0.9}


def test_what_a_profile_sets_was_not_given_by_anybody() -> None:
    _, given = load_given(None, {}, {"profile": "shop", "lists.length": "7"})
    assert given == {"profile", "lists.length"}
    assert load_given(None, {}, {})[1] == frozenset()


@pytest.mark.parametrize("name", ["films", "", "Shop", "7"])
def test_an_unknown_profile_is_refused(name: str) -> None:
    for given in (({}, {"profile": name}), ({"STREAMREC_PROFILE": name}, {})):
        with pytest.raises(ConfigurationError, match="general") as caught:
            load(None, *given)
        assert caught.value.exit_code == 78 and "catalogue" in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"own.toml:1: profile cannot be"):
        load(written(f'profile = "{name}"\n'), {}, {})


def test_a_profile_that_does_not_fit_what_is_set_is_named() -> None:
    """Shop keeps 200 items of a user, the others 50: a window of 60 fits only shop."""
    with pytest.raises(ConfigurationError, match=r"--set similarity.window"):
        load(None, {}, {"profile": "news", "similarity.window": "60"})
    assert load(None, {}, {"profile": "shop", "similarity.window": "60"})


def test_the_table_of_docs_learners_has_every_setting_of_every_profile() -> None:
    text = (Path(__file__).parents[2] / "docs" / "learners.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    table = {row[0].strip("`"): row[1:] for row in rows if len(row) == 1 + len(PROFILES)}
    assert table["setting"] == [f"`{name}`" for name in PROFILES]
    words = {"a week": 604_800.0, "30 days": 2_592_000.0, "an hour": 3600.0, "none": 0.0}
    for setting in {name for profile in PROFILES.values() for name in profile} - {"places"}:
        assert setting in table, setting
        for name, cell in zip(PROFILES, table[setting], strict=True):
            found = value_of(load(None, {}, {"profile": name}), setting)
            said = cell if isinstance(found, str) else words.get(cell, cell.replace(",", ""))
            assert found == type(found)(said), (setting, name)
