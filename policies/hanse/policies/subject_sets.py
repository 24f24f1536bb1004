"""The sets of admitted subjects that a member has committed to, kept to answer a subject who asks.

They also tell which model versions contain somebody who has withdrawn since (:mod:`hanse.policies.lineage`).

One file for each, ``<root>.tags`` in the folder ``state/subject-sets``::

    hanse subject set v1
    {"agreement": …, "epoch": …, "keep_until": …, "run": …, "size": …}
    tags of 32 bytes each, sorted

The second line is canonical JSON. The name is the root of the tags' tree, which is in the log, so that a file
that was changed is no set. A file names nobody; without the subjects' secrets it says nothing about anybody.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from hanse.audit.subject_set import TAG_BYTES, Epoch, SubjectSet, check_set
from hanse.crypto import canonical_json, write_atomic
from hanse.crypto.files import sync_folder
from hanse.errors import AuditError, ConfigurationError
from hanse.policies.fields import Document, Sha256Hex, Text, UtcTime

_MAGIC: Final = b"hanse subject set v1\n"
_MAX_HEAD_BYTES: Final = 4096
_SUFFIX: Final = ".tags"


class SetHead(Document):
    """What the second line of a file says.

    Attributes:
        agreement: Digest of the agreement.
        epoch: Which set of the run, from 1.
        keep_until: From when on the file is deleted.
        run: The run.
        size: Number of tags.
    """

    agreement: Sha256Hex
    epoch: Annotated[int, Field(ge=1)]
    keep_until: UtcTime
    run: Text
    size: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class KeptSet:
    """A file that is there, of which the tags are not read yet.

    Attributes:
        path: The file.
        root: Root of its tags, 64 hex digits, as it is called.
        head: What its head says.
    """

    path: Path
    root: str
    head: SetHead


class SubjectSets:
    """The files of one member.

    Args:
        folder: Where they are; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, made: SubjectSet, epoch: Epoch, keep_until: datetime) -> None:
        """Writes a set; it is on the disk afterwards.

        Raises:
            ConfigurationError: ``config.unwritable`` if the file system refuses.
        """
        self._make_folder()
        head = SetHead(
            agreement=epoch.agreement,
            epoch=epoch.number,
            keep_until=keep_until,
            run=epoch.run,
            size=len(made),
        )
        line = canonical_json(head.model_dump(mode="json"))
        data = b"".join([_MAGIC, line, b"\n", *made.tags])
        write_atomic(self._folder / f"{made.root.hex()}{_SUFFIX}", data, mode=0o600)

    def kept(self) -> Iterator[KeptSet]:
        """All files, in the order of their names.

        Raises:
            ConfigurationError: ``config.missing-file``, ``config.bad-data`` if one cannot be read.
        """
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            yield KeptSet(path, path.stem, _read_head(path)[0])

    def expired(self, now: datetime) -> list[KeptSet]:
        """The sets whose time is over; log that they are deleted, then delete them."""
        return [kept for kept in self.kept() if kept.head.keep_until <= now]

    def open(self, root: str, size: int) -> SubjectSet | None:
        """Reads a set, and checks all of it.

        Args:
            root: Its root, from the log: 64 hex digits.
            size: Its size, likewise.

        Returns:
            The set; None if it is not kept any more.

        Raises:
            AuditError: ``audit.subject-proof`` if the file holds anything else than that set.
            ConfigurationError: ``config.missing-file``, ``config.bad-data`` if it cannot be read.
        """
        path = self._folder / f"{root}{_SUFFIX}"
        if not path.is_file():
            return None
        _, start = _read_head(path)
        body = _read(path)[start:]
        tags = [body[at : at + TAG_BYTES] for at in range(0, len(body), TAG_BYTES)]
        try:
            return check_set(tags, bytes.fromhex(root), size)
        except AuditError as error:
            raise AuditError(error.code, f"{path}: {error.detail}") from error

    def delete(self, kept: KeptSet) -> None:
        """Deletes a file. That it is deleted is in the log before.

        Raises:
            ConfigurationError: ``config.unwritable`` if the file system refuses.
        """
        try:
            with suppress(FileNotFoundError):  # another process was quicker
                kept.path.unlink()
            sync_folder(self._folder)
        except OSError as error:
            detail = f"cannot delete {kept.path}: {error.strerror}"
            raise ConfigurationError("config.unwritable", detail) from error

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            detail = f"cannot make {self._folder}: {error.strerror}"
            raise ConfigurationError("config.unwritable", detail) from error


def _read_head(path: Path) -> tuple[SetHead, int]:
    """The head of a file, and where its tags begin."""
    data = _read(path, _MAX_HEAD_BYTES)
    line, end, _ = data.removeprefix(_MAGIC).partition(b"\n")
    failure = ConfigurationError("config.bad-data", f"{path} is not a set of subjects")
    if not data.startswith(_MAGIC) or not end:
        raise failure
    try:
        return SetHead.model_validate_json(line), len(_MAGIC) + len(line) + 1
    except ValidationError as error:
        raise failure from error


def _read(path: Path, limit_bytes: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes)
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error
