"""Settings of every process: a TOML file, then the environment, then flags; later ones win.

A settings class is a frozen :class:`pydantic_settings.BaseSettings` with ``extra="forbid"``: a misspelt
name is an error, not a silent default. Secrets are never in a settings file; it names the files that
hold them.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError
from typing_extensions import override

from hanse.errors import ConfigurationError

__all__ = ["LayeredSettings", "load_settings", "masked"]


class LayeredSettings(BaseSettings):
    """Base of all settings classes; see :func:`load_settings` for where values come from."""

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before file; no other source."""
        layers = init_settings()
        flags = InitSettingsSource(settings_cls, init_kwargs=dict(layers.get("_flags", {})))
        file = InitSettingsSource(settings_cls, init_kwargs=dict(layers.get("_file", {})))
        return flags, env_settings, file


Settings = TypeVar("Settings", bound=LayeredSettings)


def load_settings(kind: type[Settings], file: Path, section: str, flags: Mapping[str, Any]) -> Settings:
    """Builds settings from one section of a TOML file, the environment and flags.

    Args:
        kind: The settings class.
        file: TOML file; relative paths in it are relative to its folder (see the classes).
        section: Section of the file that is for this process.
        flags: Values given on the command line; ``None`` means not given.

    Raises:
        ConfigurationError: ``config.missing-file`` or ``config.invalid``, naming file and field.
    """
    values = _read_section(file, section)
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return kind(_file=values, _flags=given)  # type: ignore[call-arg]
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError("config.invalid", f"{file} [{section}]: {problems}") from None
    except SettingsError as error:
        # Its cause quotes the value of the variable; the message names the field only.
        raise ConfigurationError("config.invalid", f"{file} [{section}]: {error}") from None


def _read_section(file: Path, section: str) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8")).get(section)
    except OSError as error:
        raise ConfigurationError(
            "config.missing-file",
            f"cannot read settings file {file} ({error.strerror}); make one with `hanse init`",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError("config.invalid", f"{file}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError("config.invalid", f"{file} has no section [{section}]")
    return values


def masked(settings: LayeredSettings) -> dict[str, Any]:
    """The settings as JSON values for display. They hold no secret, only the paths of secret files."""
    return settings.model_dump(mode="json")
