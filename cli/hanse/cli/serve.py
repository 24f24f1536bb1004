"""``hanse serve``: answer scores over gRPC (Open Inference Protocol), with consent checked at call time."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hanse.cli.common import Home, site_key
from hanse.client.home import MemberHome
from hanse.client.peers import coordinator_keys
from hanse.client.settings import NodeSettings
from hanse.crypto import VerifierKey
from hanse.errors import ServingError
from hanse.learning import LoadedModel
from hanse.learning.artifact import MANIFEST_FILE, load_model
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
    site_key(home)  # the last steps of a change of the key are taken before the scorer reads the file
    registry_key, loaded = _loaded(site, folder)
    return ScoringSettings(
        address=settings.address,
        model=folder,
        registry_key=registry_key.encode(),
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


def _loaded(site: MemberHome, folder: Path) -> tuple[VerifierKey, LoadedModel]:
    """A model version, and which of the coordinator's keys signed it: the enrolled one, or one before."""
    current, *former = coordinator_keys(site)
    for key in former:
        with suppress(ServingError):
            return key, load_model(folder, key)
    return current, load_model(folder, current)
