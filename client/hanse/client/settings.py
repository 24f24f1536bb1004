"""Settings of a member's node: section ``[node]`` of ``hanse.toml``, then ``HANSE_NODE_*``, then flags."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hanse.client.data import DatasetManifest
from hanse.settings import LayeredSettings, load_settings


class NodeSettings(LayeredSettings):
    """What a node needs to know beyond its folder.

    Attributes:
        name: Member name, as in agreements.
        fleet_address: ``host:port`` where the coordinator answers nodes.
        coordinator_address: ``host:port`` where the coordinator answers people (``hanse run``).
        dataset: The data set; a relative path is relative to the settings file.
        consent_url: Database of the consent ledger, ``postgresql+psycopg://…``; a file in the folder if None.
        audit_url: Database of the site's own log, ``postgresql+psycopg://…``, for scorers on several
            machines; a file in the folder if None. Give it to ``hanse init member``, which makes the log.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="HANSE_NODE_", env_nested_delimiter="__"
    )

    name: str = Field(min_length=1)
    fleet_address: str = "127.0.0.1:9200"
    coordinator_address: str = "127.0.0.1:9201"
    dataset: DatasetManifest
    consent_url: str | None = None
    audit_url: str | None = None

    @classmethod
    def load(cls, home: Path, **flags: Any) -> "NodeSettings":  # noqa: ANN401 - flags of many types
        """Loads the settings of the member's folder.

        Raises:
            ConfigurationError: As :func:`hanse.settings.load_settings`.
        """
        settings = load_settings(cls, home / "hanse.toml", "node", flags)
        path = settings.dataset.path
        dataset = settings.dataset.model_copy(update={"path": None if path is None else home / path})
        return settings.model_copy(update={"dataset": dataset})
