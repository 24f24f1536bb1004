"""``hanse serve``: answer scores over gRPC (Open Inference Protocol), with consent checked at call time."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hanse.cli.common import Home
from hanse.client.home import MemberHome
from hanse.client.settings import NodeSettings
from hanse.crypto import VerifierKey
from hanse.errors import ConfigurationError, ServingError
from hanse.learning.artifact import MANIFEST_FILE, load_model
from hanse.policies import Identity
from hanse.server.scoring import ScoringSettings, run_scorer
from hanse.settings import LayeredSettings, load_settings


class ServeSettings(LayeredSettings):
    """Section ``[serve]`` of ``hanse.toml``, then ``HANSE_SERVE_*``, then flags.

    Attributes:
        address: ``host:port`` to listen on; port 0 picks a free one.
        callers: Client certificate (PEM file, relative to the folder) per caller name.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="HANSE_SERVE_", env_nested_delimiter="__"
    )

    address: str = "127.0.0.1:9300"
    callers: dict[str, Path] = Field(default_factory=dict)


def serve(
    model: Annotated[str, typer.Argument(help="Model version in models/, as `hanse run` named it.")],
    home: Home = Path(),
    address: Annotated[str | None, typer.Option(help="host:port to listen on.")] = None,
) -> None:
    r"""Serve a model version over gRPC with mutual TLS; every answer is in the log before it is given.

    Example: [bold]hanse serve propensity@1 --home brand[/]

    Callers are listed in \[serve.callers] of hanse.toml and in the agreement; everybody else is refused.
    """
    run_scorer(scoring_settings(home, model, address))


def scoring_settings(home: Path, model: str, address: str | None) -> ScoringSettings:
    """Puts the scorer's settings together from the member's folder.

    Raises:
        ServingError: ``model.not-found`` when the model version is not in ``models/``.
        ConfigurationError: ``config.invalid`` naming the field, or no one coordinator is enrolled.
    """
    site = MemberHome(home)
    settings = load_settings(ServeSettings, site.settings, "serve", {"address": address})
    folder = site.models / model
    if not (folder / MANIFEST_FILE).is_file():
        known = ", ".join(sorted(path.name for path in site.models.glob("*@*"))) or "none"
        raise ServingError(
            "model.not-found", f"no model version {model} in {site.models}; there are: {known}"
        )
    registry_key = _coordinator_key(site)
    loaded = load_model(folder, VerifierKey.decode(registry_key))
    return ScoringSettings(
        address=settings.address,
        model=folder,
        registry_key=registry_key,
        agreement=site.agreements / f"{loaded.manifest.agreement_digest}.agreement",
        packs=site.packs,
        auditor=site.auditor_verifier,
        consent_ledger=site.consent,
        consent_url=NodeSettings.load(home).consent_url,
        pseudonym_key=site.pseudonym_key,
        log=site.log,
        signing_key=site.node_key,
        callers={name: home / path for name, path in settings.callers.items()},
        tls_key=site.serving_key,
        tls_certificate=site.serving_certificate,
    )


def _coordinator_key(site: MemberHome) -> str:
    peers = (Identity.load(path) for path in sorted(site.peers.glob("*.json")))
    keys = [peer.node_key for peer in peers if peer.role == "coordinator"]
    if len(keys) != 1:
        raise ConfigurationError(
            "config.missing-file", f"{len(keys)} coordinators are enrolled in {site.peers}; enrol exactly one"
        )
    return keys[0]
