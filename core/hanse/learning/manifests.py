"""What every kind of model manifest says of where a version comes from."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from hanse.learning.artifact import ModelManifest, read_manifest
from hanse.learning.vertical.runs.manifest import VerticalManifest, is_vertical, read_vertical

AnyManifest: TypeAlias = ModelManifest | VerticalManifest


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from.

    Attributes:
        run: The run that made it.
        purpose: What it was trained for.
        members: Members that took part.
        created_at: When it was registered.
    """

    run: str
    purpose: str
    members: tuple[str, ...]
    created_at: datetime


def read_any_manifest(note: bytes) -> AnyManifest:
    """Reads a manifest of either kind, of which the caller knows the digest; no signature is checked.

    Raises:
        ServingError: ``model.invalid`` if it is none.
    """
    return read_vertical(note) if is_vertical(note) else read_manifest(note)


def origin_of(manifest: AnyManifest) -> Origin:
    """Where a version comes from."""
    members = manifest.parts if isinstance(manifest, VerticalManifest) else manifest.members
    return Origin(manifest.run, manifest.purpose, tuple(members), manifest.created_at)
