"""Registers a vertical model: a signed manifest that names the members' parts, which stay with them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hanse.crypto import SigningKey, sha256_hex, write_atomic
from hanse.errors import ConfigurationError, TrainingError
from hanse.learning.artifact import MANIFEST_FILE
from hanse.learning.vertical.runs.manifest import Conversation, VerticalManifest, sign_vertical
from hanse.server.party import RunContext
from hanse.server.vertical.run import VerticalOutcome


def vertical_manifest(context: RunContext, outcome: VerticalOutcome, now: datetime) -> VerticalManifest:
    """What came of a run; version and time of registration are still to come.

    Args:
        context: What the run was about.
        outcome: What it produced.
        now: The time.

    Raises:
        TrainingError: ``run.unsupported`` if the agreement is not vertical.
    """
    agreement = context.agreement
    if agreement.vertical is None:
        raise TrainingError("run.unsupported", "the agreement is not vertical")
    return VerticalManifest(
        name=agreement.id,
        version=1,
        agreement_digest=context.signed.digest,
        run=context.run,
        purpose=agreement.purpose,
        label=agreement.label,
        training=agreement.training,
        vertical=agreement.vertical,
        aligned_set_root=outcome.aligned_set_root.hex(),
        aligned=outcome.aligned,
        parts=dict(outcome.parts),
        conversations=tuple(_conversations(outcome.conversations)),
        dealt=dict(outcome.dealt),
        metrics={**outcome.figures},
        leakage=outcome.leakage,
        created_at=now,
    )


def write_vertical(folder: Path, manifest: VerticalManifest, key: SigningKey) -> str:
    """Signs a manifest and writes its folder.

    Args:
        folder: The folder, not there yet.
        manifest: With version and time.
        key: The coordinator's key.

    Returns:
        SHA-256 of the signed manifest.

    Raises:
        ConfigurationError: ``config.exists``, ``config.unwritable``.
    """
    note = sign_vertical(manifest, key)
    if folder.exists():
        raise ConfigurationError("config.exists", f"{folder} exists")
    try:
        folder.mkdir()
        write_atomic(folder / MANIFEST_FILE, note)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot write {folder}: {error.strerror}") from error
    return sha256_hex(note)


def _conversations(said: Mapping[str, Any]) -> list[Conversation]:
    return [
        Conversation.model_validate(
            {
                "phase": phase,
                "between": tuple(one["between"]),
                "digest": one["digest"],
                "sent": tuple(one["bytes"]),
            }
        )
        for phase, each in said.items()
        for one in each
    ]
