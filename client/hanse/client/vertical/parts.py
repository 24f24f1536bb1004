"""Where a site keeps its parts of vertical models: below ``parts/``, one folder for each.

A part is made under the name of its run, signed by the site's node. When the run has registered its model,
the folder gets the model's name and version, and ``registered.json`` says as part of which manifest. Of a run
that failed, a part that fits no model is deleted; what the label holder learned from its own columns alone
stays, in ``RUN/alone``. What a node that was killed has left is deleted when the next run begins, unless it
had done all that a model needs of it: such a part may belong to one.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hanse.crypto import SigningKey, canonical_json, sha256_hex, write_atomic
from hanse.errors import ConfigurationError
from hanse.learning.vertical.runs.manifest import PART_FILE, PartManifest, sign_part

REGISTERED_FILE: Final = "registered.json"
ALONE: Final = "alone"
EVALUATED: Final = "evaluated"
"""File beside a part whose member has done all that a model needs, and does not know what came of it."""


class Parts:
    """See the module docstring.

    Args:
        folder: The folder; None keeps nothing.
        key: The site's node key.
    """

    def __init__(self, folder: Path | None, key: SigningKey) -> None:
        self._folder = folder
        self._key = key

    def keep(self, manifest: PartManifest, files: Mapping[str, bytes]) -> str:
        """Signs and keeps a part.

        Args:
            manifest: What it is.
            files: Its files, by the names that the manifest has.

        Returns:
            SHA-256 of the signed note: names the part in logs.

        Raises:
            ConfigurationError: ``config.unwritable`` if the file system refuses.
        """
        note = sign_part(manifest, self._key)
        self._write(manifest.run, {**files, PART_FILE: note})
        return sha256_hex(note)

    def keep_alone(self, run: str, files: Mapping[str, bytes]) -> None:
        """Keeps what was learned from own columns alone.

        Raises:
            ConfigurationError: As :meth:`keep`.
        """
        self._write(f"{run}/{ALONE}", files)

    def settle(self, run: str, model: str, manifest_digest: str) -> None:
        """As :func:`settle_part`."""
        if self._folder is not None:
            settle_part(self._folder, run, model, manifest_digest)

    def _write(self, name: str, files: Mapping[str, bytes]) -> None:
        if self._folder is None:
            return
        folder = self._folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file, data in files.items():
                write_atomic(folder / file, data, mode=0o600)
        except OSError as error:
            raise ConfigurationError(
                "config.unwritable", f"cannot write {folder}: {error.strerror}"
            ) from error

    def evaluated(self, run: str) -> None:
        """Notes that a run's part may be of a model from now on, whether this process hears of it or not.

        Raises:
            ConfigurationError: As :meth:`keep`.
        """
        self._write(run, {EVALUATED: b""})

    def clear(self, run: str) -> None:
        """Removes what an earlier attempt at a run has left, and parts of other runs that fit no model."""
        if self._folder is None:
            return
        shutil.rmtree(self._folder / run, ignore_errors=True)
        for path in self._folder.glob("*"):
            if not any((path / name).exists() for name in (REGISTERED_FILE, EVALUATED)):
                settle_part(self._folder, path.name, "", "")


def settle_part(folder: Path, run: str, model: str, manifest_digest: str) -> None:
    """Gives a run's part the name of the model that it belongs to, or deletes it if there is none.

    Args:
        folder: Of the site's parts.
        run: The run; nothing happens if nothing is kept under its name.
        model: Name and version; empty if the run failed.
        manifest_digest: SHA-256 of the model's manifest.
    """
    made = folder / run
    if not made.is_dir():
        return
    if not model:
        for path in made.iterdir():
            if path.is_file():
                path.unlink()
        if not (made / ALONE).is_dir():
            made.rmdir()
        return
    write_atomic(
        made / REGISTERED_FILE, canonical_json({"model": model, "manifest_digest": manifest_digest}) + b"\n"
    )
    (made / EVALUATED).unlink(missing_ok=True)
    target = folder / model
    if target.exists():  # a coordinator that was set back names a version twice
        target.rename(folder / f"{model}.before.{run}")
    made.rename(target)
