"""File, then environment, then flags; a mistake names file and field, and never a value."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from hanse.errors import ConfigurationError
from hanse.settings import LayeredSettings, load_settings, masked


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    size: int = 1


class Sample(LayeredSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="SAMPLE_", env_nested_delimiter="__"
    )

    name: str = Field(min_length=2)
    port: int = 1
    inner: Inner


TEXT = """\
[sample]
name = "file"
[sample.inner]
path = "a"
size = 2
[other]
name = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hanse.toml"
    path.write_text(TEXT)
    return path


def load(file: Path, **flags: object) -> Sample:
    return load_settings(Sample, file, "sample", flags)


def refused(file: Path, *told: str, code: str = "config.invalid", **flags: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(file, **flags)
    assert caught.value.code == code
    for word in (str(file), *told):
        assert word in caught.value.detail
    return caught.value


def test_the_file_comes_first(file: Path) -> None:
    settings = load(file)
    assert (settings.name, settings.port, settings.inner) == ("file", 1, Inner(path=Path("a"), size=2))


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_NAME", "environment")
    monkeypatch.setenv("SAMPLE_INNER__SIZE", "3")
    settings = load(file)
    assert settings.name == "environment"
    assert settings.inner == Inner(path=Path("a"), size=3)


def test_a_flag_wins_over_both(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_NAME", "environment")
    assert load(file, name="flag").name == "flag"


def test_a_flag_that_is_not_given_changes_nothing(file: Path) -> None:
    assert load(file, name=None).name == "file"


def test_no_other_source(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SAMPLE_NAME=dotenv\n")
    monkeypatch.setenv("NAME", "without prefix")
    assert load(file).name == "file"


def test_an_unknown_field_names_file_and_field(file: Path) -> None:
    file.write_text(TEXT.replace("[sample.inner]", 'nickname = "Erika"\n[sample.inner]'))
    assert "Erika" not in str(refused(file, "[sample]", "nickname"))


def test_an_unknown_field_deeper_down(file: Path) -> None:
    file.write_text(TEXT.replace("size = 2", "extent = 2"))
    refused(file, "inner.extent")


def test_every_mistake_is_named(file: Path) -> None:
    file.write_text(TEXT.replace('"file"', '"x"').replace("size = 2", 'size = "Erika"'))
    assert "Erika" not in str(refused(file, "name", "inner.size"))


def test_a_mistake_in_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_PORT", "Erika")
    assert "Erika" not in str(refused(file, "port"))
    monkeypatch.setenv("SAMPLE_PORT", "2")
    monkeypatch.setenv("SAMPLE_INNER", "{Erika")
    error = refused(file, "inner")
    assert "Erika" not in str(error)
    assert error.__suppress_context__


def test_a_mistake_in_a_flag(file: Path) -> None:
    refused(file, "port", port="x")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[sample", "hanse.toml"),
        (b"\xff\xfe", "hanse.toml"),
        (b"", "no section [sample]"),
        (b"sample = 1", "section"),
    ],
)
def test_a_file_that_is_no_settings_file(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    refused(file, told)


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "gone.toml", "hanse init", code="config.missing-file")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    refused(tmp_path, "hanse init", code="config.missing-file")


def test_settings_are_frozen_and_can_be_shown(file: Path) -> None:
    settings = load(file)
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "other"  # type: ignore[misc]
    assert masked(settings) == {"name": "file", "port": 1, "inner": {"path": "a", "size": 2}}
