"""``hanse serve``: answer scores over gRPC (Open Inference Protocol), with consent checked at call time."""

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.cli.common import Home
from hanse.cli.serve_part import of_site, partner_settings
from hanse.cli.serve_settings import ServeSettings
from hanse.client.ended import ended_at
from hanse.client.features import make_features
from hanse.client.home import MemberHome
from hanse.client.packs import pack_keys
from hanse.client.peers import coordinator_keys
from hanse.client.settings import NodeSettings
from hanse.crypto import VerifierKey
from hanse.errors import ServingError
from hanse.learning.artifact import MANIFEST_FILE, load_model
from hanse.learning.vertical.runs.manifest import open_vertical
from hanse.policies.serving.book import ENDING
from hanse.server.log_lines import log_to_stderr
from hanse.server.scoring import Local, RegistrySettings, ScoringSettings, run_scorer
from hanse.server.scoring.vertical.opening import is_vertical_model
from hanse.settings import load_settings


class LogFormat(StrEnum):
    """How the process logs."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """What the process logs."""

    WARNING = "warning"
    INFO = "info"
    DEBUG = "debug"


def serve(
    model: Annotated[str, typer.Argument(help="Name of a model, or one version of it: NAME@VERSION.")],
    home: Home = Path(),
    address: Annotated[str | None, typer.Option(help="host:port to listen on.")] = None,
    metrics_address: Annotated[
        str | None, typer.Option(help="Serve figures to Prometheus here, as 127.0.0.1:9301.")
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="How the process logs.")] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option(help="What it logs: info has refused calls, debug every call.")
    ] = LogLevel.WARNING,
    replica: Annotated[
        str | None, typer.Option(help="Name of this scorer where several run, in letters, as `north`.")
    ] = None,
) -> None:
    r"""Serve a model over gRPC with mutual TLS; every answer is in the log before it is given.

    Example: [bold]hanse serve propensity --home brand[/] (what `hanse model promote` decided, as it changes)

    Example: [bold]hanse serve propensity@1 --home brand[/] (this version, whatever is decided)

    Callers are listed in \[serve.callers] of hanse.toml and in the agreement; everybody else is refused.
    """
    log_to_stderr(log_level, as_json=log_format is LogFormat.JSON)
    flags = {"address": address, "replica": replica, "metrics_address": metrics_address}
    run_scorer(scoring_settings(home, model, **flags), local_parts(home))


def scoring_settings(
    home: Path,
    model: str,
    address: str | None,
    metrics_address: str | None = None,
    replica: str | None = None,
) -> ScoringSettings:
    """Puts the scorer's settings together from the member's folder.

    Raises:
        ServingError: ``model.not-found`` when the model version is not in ``models/``.
        ConfigurationError: ``config.invalid`` naming the field, or no one coordinator is enrolled.
    """
    site = MemberHome(home)
    flags: dict[str, object] = {"address": address, "replica": replica}
    if metrics_address is not None:
        flags["operation"] = {"metrics_address": metrics_address}
    settings = load_settings(ServeSettings, site.settings, "serve", flags)
    return ScoringSettings(
        address=settings.address,
        **(_pinned(site, model) if "@" in model else _followed(site, model)),
        **of_site(home),
        replica=settings.replica,
        withdrawal_bound_s=settings.withdrawal_bound_s,
        calls_per_caller=settings.calls_per_caller,
        callers={name: home / path for name, path in settings.callers.items()},
        operators=settings.operators,
        subject_sets=site.subject_sets,
        tls_key=site.serving_key,
        tls_certificate=site.serving_certificate,
        operation=settings.operation,
        partners=partner_settings(site, settings.partners, settings.patience_s),
    )


def _pinned(site: MemberHome, model: str) -> dict[str, Any]:
    """One version, whatever is decided."""
    folder = site.models / model
    if not (folder / MANIFEST_FILE).is_file():
        known = ", ".join(sorted(path.name for path in site.models.glob("*@*"))) or "none"
        raise ServingError(
            "model.not-found", f"no model version {model} in {site.models}; there are: {known}"
        )
    registry_key, agreed = _registered(site, folder)
    agreement = site.agreements / f"{agreed}.agreement"
    return {"model": folder, "registry_key": registry_key.encode(), "agreement": agreement}


def _followed(site: MemberHome, model: str) -> dict[str, Any]:
    """What was decided about a model, as it changes."""
    if not (site.serving / f"{model}{ENDING}").is_file():
        known = ", ".join(sorted(path.name for path in site.models.glob("*@*"))) or "none"
        raise ServingError(
            "model.not-found",
            f"nothing was decided about {model}; there are: {known}. Decide: hanse model promote {model}@1, "
            "or serve one version: hanse serve NAME@VERSION",
        )
    registry = RegistrySettings(
        model=model,
        decisions=site.serving,
        approver=pack_keys(site)[0].encode(),
        models=site.models,
        agreements=site.agreements,
        coordinators=tuple(key.encode() for key in coordinator_keys(site)),
    )
    return {"registry": registry}


def local_parts(home: Path) -> Local:
    """What the scorer gets from the member's own folder: its data set, and the notes that end agreements.

    Raises:
        ConfigurationError: As the settings of a node, and the identities of peers.
    """
    features = make_features(NodeSettings.load(home).dataset)
    return Local(features, ended_at(MemberHome(home)).require_running)


def _registered(site: MemberHome, folder: Path) -> tuple[VerifierKey, str]:
    """Which of the coordinator's keys signed a model version, and the digest of its agreement.

    That key is the enrolled one, or one before.
    """
    current, *former = coordinator_keys(site)
    for key in former:
        with suppress(ServingError):
            return key, _agreement_of(folder, key)
    return current, _agreement_of(folder, current)


def _agreement_of(folder: Path, key: VerifierKey) -> str:
    if is_vertical_model(folder):
        return open_vertical((folder / MANIFEST_FILE).read_bytes(), key).agreement_digest
    return load_model(folder, key).manifest.agreement_digest
