"""Whether agreements have ended, asked at every scoring call: notes are read again only when they change."""

import threading
import time
from pathlib import Path
from typing import Final

from hanse.client.drafting import known_identities
from hanse.client.home import MemberHome
from hanse.client.versions import AgreementBook
from hanse.errors import ConfigurationError, HanseError
from hanse.policies import Agreement
from hanse.policies.agreement.termination import Termination, ends

_SETTLED_S: Final = 2.0
"""A folder that changed less than this ago may change again within one tick of its clock."""


class Ended:
    """The notes of a site by which members have ended agreements.

    A note that is added or removed counts from the next call. One that cannot be read ends every agreement,
    as it does for training.

    Args:
        folder: Where the notes are.
        book: Reads them.
    """

    def __init__(self, folder: Path, book: AgreementBook) -> None:
        self._folder = folder
        self._book = book
        self._lock = threading.Lock()
        self._changed_ns: int | None = -1
        self._notes: tuple[Termination, ...] = ()
        self._broken: HanseError | None = None

    def require_running(self, agreement: Agreement) -> None:
        """Refuses an agreement that a member has ended.

        Raises:
            PolicyError: ``policy.denied`` (P20), or as :meth:`AgreementBook.terminations`.
            ConfigurationError: As :meth:`AgreementBook.terminations`.
        """
        with self._lock:
            self._refresh()
            notes, broken = self._notes, self._broken
        if broken is not None:
            raise broken
        if any(ends(note, agreement) for note in notes):
            self._book.require_running(agreement)  # says who has ended it

    def _refresh(self) -> None:
        changed_ns = self._changed()
        if changed_ns == self._changed_ns:
            return
        self._notes, self._broken = (), None
        try:
            self._notes = self._book.terminations()
        except HanseError as error:
            self._broken = error
        unsettled = changed_ns is not None and time.time() - changed_ns / 1e9 < _SETTLED_S
        self._changed_ns = -1 if unsettled or self._broken else changed_ns

    def _changed(self) -> int | None:
        """When a note was last added or removed; None where there never was one."""
        try:
            return self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(
                "config.missing-file", f"cannot read {self._folder}: {error.strerror}"
            ) from error


def ended_at(site: MemberHome) -> Ended:
    """The notes of a member's site.

    Raises:
        ConfigurationError: As the identities of peers.
    """
    trusted = {identity.name: identity for identity in known_identities(site)}
    return Ended(site.terminations, AgreementBook(site, trusted))
