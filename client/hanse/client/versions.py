"""Which versions of agreements a member has accepted, and which agreements have ended: files in its folder.

What cannot be read is not taken for nothing: a record of an accepted version, or a note that ends an
agreement, that is broken keeps every agreement that it may be about from running.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hanse.client.home import MemberHome
from hanse.crypto import write_atomic
from hanse.errors import ConfigurationError, HanseError, PolicyError
from hanse.policies import Agreement, Identity
from hanse.policies.agreement.amendment import MAX_ACCEPTED_BYTES, Accepted, require_successor
from hanse.policies.agreement.termination import MAX_NOTE_BYTES, Attestation, Termination, ends

ENDING = ".note"

_Parsed = TypeVar("_Parsed")


class AgreementBook:
    """What one member remembers of its agreements.

    Args:
        home: The member's folder.
        trusted: Identities that the member pinned, by name.
    """

    def __init__(self, home: MemberHome, trusted: Mapping[str, Identity]) -> None:
        self._accepted = home.accepted
        self._ended = home.terminations
        self._trusted = trusted

    def check(self, agreement: Agreement) -> None:
        """Refuses an agreement that has ended, or a version that does not follow the accepted one.

        Raises:
            PolicyError: ``policy.denied`` (P20, P31); ``policy.invalid`` if a file here cannot be read as
                what it should be.
            ConfigurationError: ``config.missing-file`` if a file cannot be read at all.
        """
        self.require_running(agreement)
        require_successor(agreement, self.accepted(agreement.id))

    def require_running(self, agreement: Agreement) -> None:
        """Refuses an agreement that a member has ended.

        Raises:
            PolicyError: ``policy.denied`` (P20), or as :meth:`terminations`.
            ConfigurationError: As :meth:`terminations`.
        """
        for note in self.terminations():
            if ends(note, agreement):
                raise PolicyError(
                    "policy.denied",
                    f"{note.member} has ended agreement {note.agreement}; agree anew under another name",
                    rule="P20",
                )

    def accept(self, agreement: Agreement) -> None:
        """Remembers a version as the accepted one, durably.

        Raises:
            PolicyError: As :meth:`check`.
            ConfigurationError: ``config.unwritable`` if the file system refuses.
        """
        with self._locked():
            self.check(agreement)
            write_atomic(self._accepted / agreement.id, Accepted.of(agreement).encode())

    def accepted(self, identifier: str) -> Accepted | None:
        """The version of an agreement that was accepted here; None if none was.

        Raises:
            PolicyError: ``policy.invalid`` if its record is broken.
            ConfigurationError: ``config.missing-file`` if it cannot be read.
        """
        path = self._accepted / identifier
        if not path.exists():
            return None
        accepted = _read(path, MAX_ACCEPTED_BYTES, Accepted.parse)
        if accepted.id != identifier:
            raise PolicyError("policy.invalid", f"{path} is about another agreement")
        return accepted

    def terminations(self) -> tuple[Termination, ...]:
        """The notes here that end agreements.

        Raises:
            PolicyError: ``policy.invalid`` if one is broken.
            IdentityError: ``identity.unknown-signer`` if the approver of no pinned member signed it.
            ConfigurationError: ``config.missing-file`` if one cannot be read.
        """
        paths = sorted(self._ended.glob(f"*{ENDING}"))
        return tuple(_read(path, MAX_NOTE_BYTES, self._open_termination) for path in paths)

    def keep_termination(self, note: bytes) -> Termination:
        """Keeps a note, so that what it ends no longer runs here.

        Raises:
            PolicyError: ``policy.invalid`` if it is none.
            IdentityError: ``identity.unknown-signer`` if the approver of no pinned member signed it.
            ConfigurationError: ``config.unwritable`` if the file system refuses.
        """
        termination = self._open_termination(note)
        _make(self._ended)
        # Only the first one of a member counts: a later one must not move the time.
        path = self._ended / f"{termination.agreement}.{termination.member}{ENDING}"
        if not path.exists():
            write_atomic(path, note)
        return termination

    def open_attestation(self, note: bytes) -> Attestation:
        """Opens what an entrusted member attests.

        Raises:
            PolicyError: ``policy.invalid`` if it is none.
            IdentityError: ``identity.unknown-signer`` if the approver of no pinned member signed it.
        """
        return Attestation.open(note, self._trusted)

    def _open_termination(self, note: bytes) -> Termination:
        return Termination.open(note, self._trusted)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time: the node and a command must not accept past each other."""
        _make(self._accepted)
        # Beside the folder: in it, the lock would have the name that an agreement can have.
        lock = self._accepted.with_name(f"{self._accepted.name}.lock")
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot make {folder}: {error.strerror}") from error


def _read(path: Path, limit: int, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    try:
        with path.open("rb") as file:
            return parse(file.read(limit + 1))
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error
    except HanseError as error:
        raise PolicyError(error.code, f"{path}: {error.detail}", rule=error.rule) from error
