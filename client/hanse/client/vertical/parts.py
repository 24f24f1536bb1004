"""Where a site keeps its parts of vertical models: below ``parts/``, one folder for each.

A part is made under the name of its run, signed by the site's node. When the run has registered its model,
the folder gets the model's name and version, and ``registered.json`` says as part of which manifest. Of a run
that failed, a part that fits no model is deleted; what the label holder learned from its own columns alone
stays, in ``RUN/alone``. ``RUN/unfinished`` is what a run goes on from after an interruption. What a node that
was killed has left is deleted when the next run begins, unless it had done all that a model needs of it: such
a part may belong to one.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hanse.client.vertical.unfinished import Unfinished
from hanse.crypto import SigningKey, canonical_json, sha256_hex, write_atomic
from hanse.errors import ConfigurationError, ServingError
from hanse.learning.vertical.runs.leakage import LEAKAGE_FILE, Reports, decode_reports
from hanse.learning.vertical.runs.manifest import PART_FILE, PartManifest, sign_part
from hanse.learning.vertical.serving.kept import KeptPart, open_kept

REGISTERED_FILE: Final = "registered.json"
ALONE: Final = "alone"
EVALUATED: Final = "evaluated"
"""File beside a part whose member has done all that a model needs, and does not know what came of it."""


UNFINISHED: Final = "unfinished"
"""Folder with what a run that is not over goes on from; see :mod:`hanse.client.vertical.unfinished`."""


class Parts:
    """See the module docstring.

    Args:
        folder: The folder; None keeps nothing.
        key: The site's node key.
    """

    def __init__(self, folder: Path | None, key: SigningKey) -> None:
        self._folder = folder
        self._key = key
        self._unfinished: dict[str, Unfinished] = {}

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

    def unfinished(self, run: str) -> Unfinished:
        """What a run goes on from."""
        if run not in self._unfinished:
            folder = None if self._folder is None else self._folder / run / UNFINISHED
            self._unfinished = {run: Unfinished(folder)}
        return self._unfinished[run]

    def reopen(self, run: str) -> KeptPart | None:
        """The part that a run has made; None if it has made none.

        Raises:
            ServingError: ``model.invalid`` if it is not as it was signed.
        """
        if self._folder is None or not (self._folder / run / PART_FILE).is_file():
            return None
        return open_kept(lambda name: self._read(run, name), [self._key.verifier])

    def discard(self, run: str) -> str:
        """Takes the signature of a run's part away: it is made anew. Returns the digest of no part."""
        if self._folder is not None:
            for name in (EVALUATED, PART_FILE):
                (self._folder / run / name).unlink(missing_ok=True)
        return ""

    def reports(self, run: str) -> Reports:
        """The leakage reports in the part that a run has made; none at feature holders."""
        if self._folder is None or not (self._folder / run / LEAKAGE_FILE).is_file():
            return ()
        return decode_reports(self._read(run, LEAKAGE_FILE))

    def _read(self, run: str, name: str) -> bytes:
        try:
            return (Path(self._folder or "") / run / name).read_bytes()
        except OSError as error:
            raise ServingError("model.invalid", f"{name} of a part cannot be read") from error

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

    def abandon(self, but: str) -> None:
        """Deletes what runs would go on from.

        Args:
            but: Not of this one.
        """
        for path in () if self._folder is None else self._folder.glob(f"*/{UNFINISHED}"):
            if path.parent.name != but:
                Unfinished(path).forget()

    def clear(self, run: str) -> None:
        """Removes what an earlier attempt at a run has left, and parts of other runs that fit no model."""
        self._unfinished.clear()
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
    Unfinished(made / UNFINISHED).forget()
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
