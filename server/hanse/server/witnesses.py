"""The shared log and its witnesses: handing out checkpoints, collecting cosignatures, waiting for a quorum.

The coordinator gains nothing by accepting a wrong cosignature, for whoever relies on one checks it again; it
is checked here so that a witness with a wrong key or clock hears of it at once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from hanse.audit import AuditLog, LogReader, format_checkpoint, root_at
from hanse.audit.policy_file import TrustPolicy
from hanse.crypto.cosigning import CosignerVerifier, read_cosignatures
from hanse.errors import AuditError, IdentityError

PUBLISH_S: Final = 0.25
"""Shortest time between two checkpoints that are handed out. All witnesses are shown the same ones, however
fast the log grows, so that a quorum can come together under one of them."""


class Witnesses:
    """See the module docstring; thread-safe.

    Args:
        log: The shared log.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._changed = threading.Condition()
        self._published = (0, b"")
        self._published_s = -PUBLISH_S

    def reader(self) -> LogReader:
        """A consistent view of the log as it is now; a context manager."""
        return self._log.reader()

    def watch(self, size: int | None, alive: Callable[[], bool]) -> Iterator[bytes]:
        """Yields the newest checkpoint if it is not of the given size, and from then on each newest one.

        Args:
            size: Size of the checkpoint that the watcher has; None if it wants the newest in any case.
            alive: Whether the watcher still listens.
        """
        told = size
        while alive():
            now, note = self._newest()
            if now != told:
                told = now
                yield note
            else:
                self._pause()

    def add(self, size: int, line: str, witness: CosignerVerifier) -> None:
        """Takes a witness's cosignature of the checkpoint of a size.

        Args:
            size: Size of the checkpoint.
            line: The signature line.
            witness: Key of the witness that hands it in.

        Raises:
            IdentityError: ``identity.bad-signature`` or ``identity.unknown-signer`` if it is not the
                witness's cosignature of that checkpoint.
            ProtocolError: ``protocol.malformed`` if the line is not one.
            AuditError: ``audit.integrity`` if the log has handed out no checkpoint of that size.
        """
        with self.reader() as reader:
            if size > reader.size:
                raise AuditError("audit.integrity", f"there is no checkpoint of size {size}")
            text = format_checkpoint(reader.origin, size, root_at(size, reader.hashes))
        if not read_cosignatures(f"{text}\n{line}".encode(), [witness]):
            raise IdentityError("identity.unknown-signer", f"not a cosignature by {witness.name}")
        self._log.cosign(size, line)
        with self._changed:
            self._changed.notify_all()

    def wait(self, size: int, policy: TrustPolicy, timeout_s: float, over: Callable[[], bool]) -> bytes:
        """Waits until the witnesses of an agreement have co-signed a checkpoint of at least a size.

        Args:
            size: How many entries it must cover.
            policy: Whose cosignatures count.
            timeout_s: How long to wait.
            over: Whether to stop waiting.

        Returns:
            The smallest such checkpoint, with its cosignatures.

        Raises:
            AuditError: ``audit.quorum`` naming who is missing.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            with self.reader() as reader:
                note = reader.note_at_least(size, policy.is_met)
                newest = reader.note
            if note is not None:
                return note
            if over() or time.monotonic() >= deadline_s:
                policy.check(newest)  # says who is missing
                raise AuditError("audit.quorum", f"no co-signed checkpoint covers entry {size - 1}")
            self._pause()

    def _newest(self) -> tuple[int, bytes]:
        """Size and note of the checkpoint that is handed out now."""
        with self._changed:
            if time.monotonic() - self._published_s >= PUBLISH_S:
                with self.reader() as reader:
                    self._published = reader.size, reader.note
                self._published_s = time.monotonic()
            return self._published

    def _pause(self) -> None:
        """Waits for a cosignature or the next look at the log, to which other processes append as well."""
        with self._changed:
            self._changed.wait(PUBLISH_S)
