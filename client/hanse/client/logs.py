"""Where a member keeps its own log, which its node and all its scorers share."""

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from hanse.client.home import MemberHome
from hanse.settings import LayeredSettings, load_settings


class _LogSettings(LayeredSettings):
    """The one setting of section ``[node]`` that says where the log is."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="HANSE_NODE_")

    audit_url: str | None = None


def log_place(home: MemberHome) -> Path | str:
    """Where a member keeps its own log: the database of the settings, or the file in its folder.

    Args:
        home: The member's folder.

    Returns:
        A URL, or a path.

    Raises:
        ConfigurationError: As :func:`hanse.settings.load_settings`.
    """
    if not home.settings.is_file():
        return home.log
    return load_settings(_LogSettings, home.settings, "node", {}).audit_url or home.log
