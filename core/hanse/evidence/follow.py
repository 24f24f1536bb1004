"""Follows a log that grows: each checkpoint must be signed, and extend the one before. Pure."""

from collections.abc import Iterable

from hanse.audit import Checkpoint, Entry, EventType, Frontier, open_checkpoint, parse_checkpoint
from hanse.crypto import VerifierKey, unverified_text
from hanse.errors import AuditError


class Follower:
    """What somebody knows who has seen a log from its first entry.

    Every entry is hashed, so that a checkpoint which does not extend the one before cannot pass: its root
    would have to come from other entries than those that were seen.

    Args:
        verifier: The log's key; a change of keys that the log itself records is followed.
        saved: A checkpoint that was saved earlier; the log must contain it.

    Raises:
        IdentityError: If the saved checkpoint is not signed by the key.
        ProtocolError: If it is none.
    """

    def __init__(self, verifier: VerifierKey, saved: bytes | None = None) -> None:
        self._verifier = verifier
        self._saved = None if saved is None else open_checkpoint(saved, verifier)
        self._tree = Frontier()
        self._origin: str | None = None

    @property
    def size(self) -> int:
        """Number of entries seen."""
        return self._tree.size

    @property
    def root(self) -> bytes:
        """Root of their tree."""
        return self._tree.root()

    def claimed_size(self, note: bytes) -> int:
        """How many entries a checkpoint says that there are, so that they can be fetched; not checked yet.

        Args:
            note: A signed note.

        Raises:
            ProtocolError: If it is no checkpoint.
        """
        return parse_checkpoint(unverified_text(note)).size

    def take(self, note: bytes, leaves: Iterable[bytes]) -> list[tuple[int, Entry]]:
        """Takes the next checkpoint.

        Args:
            note: It, as a signed note.
            leaves: The entries from :attr:`size` up to it.

        Returns:
            Index and entry of what is new.

        Raises:
            AuditError: ``audit.integrity`` if it does not extend what was seen.
            IdentityError: If the log's key did not sign it.
            ProtocolError: If it is no checkpoint, or an entry is none.
        """
        rows = []
        for leaf in leaves:
            index, entry = self._tree.size, Entry.parse(leaf)
            self._tree.append(leaf)
            self._check_saved()
            if entry.type is EventType.LOG_KEY_ROTATED and entry.new_key is not None:
                self._verifier = VerifierKey.decode(entry.new_key)
            rows.append((index, entry))
        self._check(open_checkpoint(note, self._verifier))
        return rows

    def _check(self, checkpoint: Checkpoint) -> None:
        if (checkpoint.size, checkpoint.root) != (self._tree.size, self._tree.root()):
            raise AuditError(
                "audit.integrity",
                f"the checkpoint of {checkpoint.size} entries does not extend the {self._tree.size} seen",
            )
        if self._origin not in (None, checkpoint.origin):
            raise AuditError("audit.integrity", f"the log now calls itself {checkpoint.origin}")
        if self._saved is not None and checkpoint.size < self._saved.size:
            raise AuditError(
                "audit.integrity", f"{checkpoint.size} entries; {self._saved.size} were saved: cut off"
            )
        self._origin = checkpoint.origin

    def _check_saved(self) -> None:
        saved = self._saved
        if saved is not None and saved.size == self._tree.size and saved.root != self._tree.root():
            raise AuditError(
                "audit.integrity", f"the first {saved.size} entries are not those of the saved checkpoint"
            )
