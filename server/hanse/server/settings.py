"""The coordinator's settings: section ``[server]`` of ``hanse.toml``, then ``HANSE_SERVER_*``, then flags."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hanse.settings import LayeredSettings, load_settings


class ServerSettings(LayeredSettings):
    """What the coordinator needs to know beyond its folder.

    Attributes:
        name: Coordinator name, as in agreements.
        host: Address to listen on; loopback unless told otherwise.
        fleet_port: Where nodes connect (Flower over TLS).
        port: Where people connect (gRPC over mutual TLS).
        private_port: Loopback port that only this process uses; 0 picks a free one.
        audit_url: Database of the shared log, ``postgresql+psycopg://…``; a file in the folder if None. Give
            it to ``hanse init coordinator``, which makes the log.
        metrics_address: ``host:port`` where Prometheus may ask for figures of the exchange, over plain HTTP;
            nowhere if None.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="HANSE_SERVER_", env_nested_delimiter="__"
    )

    name: str = Field(min_length=1)
    host: str = "127.0.0.1"
    fleet_port: int = Field(default=9200, ge=1, le=65_535)
    port: int = Field(default=9201, ge=1, le=65_535)
    private_port: int = Field(default=0, ge=0, le=65_535)
    audit_url: str | None = None
    metrics_address: str | None = None

    @classmethod
    def load(cls, home: Path, **flags: Any) -> "ServerSettings":  # noqa: ANN401 - flags of many types
        """Loads the settings of the coordinator's folder.

        Raises:
            ConfigurationError: As :func:`hanse.settings.load_settings`.
        """
        return load_settings(cls, home / "hanse.toml", "server", flags)
