"""Follows a log that grows: each checkpoint must be signed, and extend the one before. Pure."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from hanse.audit import Checkpoint, Entry, EventType, Frontier, open_checkpoint, parse_checkpoint
from hanse.crypto import VerifierKey, unverified_text
from hanse.errors import AuditError, IdentityError


class Follower:
    """What somebody knows who has seen a log from its first entry.

    Every entry is hashed, so that a checkpoint which does not extend the one before cannot pass: its root
    would have to come from other entries than those that were seen.

    Args:
        verifier: A key of the log that is known. A change of keys counts where this key, or one that follows
            from it, signed the checkpoint that ends with the change.
        saved: A checkpoint that was saved earlier, under any key that the log has had; the log must contain
            it.
        first: The key with which the log says it began; by default, the one that is known.

    Raises:
        ProtocolError: If what was saved is no checkpoint.
    """

    def __init__(
        self, verifier: VerifierKey, saved: bytes | None = None, first: VerifierKey | None = None
    ) -> None:
        self._verifier = verifier
        self._keys = [verifier if first is None else first]
        self._note = saved
        self._saved = None if saved is None else parse_checkpoint(unverified_text(saved))
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

    def take(
        self,
        note: bytes,
        leaves: Iterable[bytes],
        rotations: Callable[[], Iterable[bytes]] = tuple[bytes, ...],
    ) -> list[tuple[int, Entry]]:
        """Takes the next checkpoint.

        Args:
            note: It, as a signed note.
            leaves: The entries from :attr:`size` up to it.
            rotations: Gives the checkpoints at which the log changed its key, as its keeper tells of them.

        Returns:
            Index and entry of what is new.

        Raises:
            AuditError: ``audit.integrity`` if it does not extend what was seen.
            IdentityError: If the log's key did not sign it, or none of its keys what was saved.
            ProtocolError: If it is no checkpoint, or an entry is none.
        """
        rows = []
        for leaf in leaves:
            index, entry = self._tree.size, Entry.parse(leaf)
            self._tree.append(leaf)
            self._check_saved()
            if entry.type is EventType.LOG_KEY_ROTATED and entry.new_key is not None:
                self._keys.append(VerifierKey.decode(entry.new_key))
                self._change(self._keys[-1], (*rotations(), note))
            rows.append((index, entry))
        self._check(open_checkpoint(note, self._verifier))
        self._check_signed()
        return rows

    def _change(self, new: VerifierKey, notes: Iterable[bytes]) -> None:
        """Goes over to a new key if the one that counts signed for it; else the change was before that one.

        What comes of a change that nobody may make is a newest checkpoint that the key that counts did not
        sign.
        """
        note = next((note for note in notes if self.claimed_size(note) == self._tree.size), None)
        if note is None:
            at = self._tree.size - 1
            raise AuditError("audit.integrity", f"no checkpoint is kept of the change of the key at {at}")
        with suppress(IdentityError):
            signed = open_checkpoint(note, self._verifier)
            if (signed.size, signed.root) != (self._tree.size, self._tree.root()):
                raise AuditError(
                    "audit.integrity", f"the key was changed at {self._tree.size - 1} over other entries"
                )
            self._verifier = new

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

    def _check_signed(self) -> None:
        """Checks once, when all keys up to it are known, that one of them signed what was saved."""
        note = self._note
        if note is None or self._saved is None or self._tree.size < self._saved.size:
            return
        try:
            open_checkpoint(note, self._verifier, *self._keys)
        except IdentityError as error:
            raise IdentityError(error.code, "no key of the log signed the saved checkpoint") from error
        self._note = None
