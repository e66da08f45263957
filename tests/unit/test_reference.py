"""The generated files: up to date, complete, and the sample equals the defaults."""

from pathlib import Path

import pytest

from streamrec.settings.load import all_settings, load
from streamrec.settings.profiles import PROFILES
from streamrec.settings.sections import Settings
from tools import reference


def test_sample_file_loads_and_equals_the_defaults(tmp_path: Path) -> None:
    sample = tmp_path / "streamrec.toml"
    sample.write_text(reference.sample_file())
    assert load(sample, {}, {}) == Settings()


def test_every_setting_is_in_the_page_and_has_a_meaning() -> None:
    described = {
        section.setting(key): meaning
        for section in reference.described_sections()
        for key, meaning in section.fields.items()
    }
    assert set(described) == set(all_settings())
    for name, meaning in described.items():
        assert meaning.endswith(".") and "\n" not in meaning, name


def test_files_are_not_stale() -> None:
    assert reference.main(["--check"]) == 0


def test_a_stale_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (reference.ROOT / "docs" / "redis.md").read_text()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "redis.md").write_text(page.replace("| `segment` | u64 |", "| stale |"))
    sources = (reference.ROOT / "docs" / "sources.md").read_text()
    (tmp_path / "docs" / "sources.md").write_text(sources)
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert reference.main(["--check"]) == 1
    assert "docs/redis.md is stale" in capsys.readouterr().out
    assert {path.name for path in tmp_path.rglob("*.*")} == {"redis.md", "sources.md"}
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    assert (tmp_path / "docs" / "redis.md").read_text() == page
    (tmp_path / "docs" / "metrics.md").write_text("old")
    capsys.readouterr()
    assert reference.main(["--check"]) == 1
    assert "docs/metrics.md is stale" in capsys.readouterr().out


def test_a_profile_set_in_a_copy_of_the_sample_takes_effect(tmp_path: Path) -> None:
    sample = tmp_path / "streamrec.toml"
    sample.write_text(reference.sample_file().replace('profile = "general"', 'profile = "news"'))
    settings = load(sample, {}, {})
    assert settings.profile == "news"
    assert settings.lists.exclude == PROFILES["news"]["lists.exclude"]
