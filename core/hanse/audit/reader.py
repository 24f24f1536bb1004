"""Reads a log while others append to it: entries, hashes for proofs, checkpoints with their cosignatures.

Nothing that is read here is verified. Whoever reads for somebody else hands on bytes and proofs, and the
receiver checks them; whoever reads for themselves uses :func:`hanse.audit.verify_log`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from hanse.audit.checkpoint import parse_checkpoint
from hanse.audit.hashes import Hashes
from hanse.audit.rotation import is_rotation, read_rotation
from hanse.audit.store import Head, Rows, read_only
from hanse.crypto import VerifierKey, unverified_text
from hanse.crypto.note import SignatureLine
from hanse.errors import ProtocolError


class LogReader:
    """One consistent view of a log, as of when it was opened. A context manager.

    Open it for as long as an answer takes, not longer: meanwhile SQLite keeps what writers add in its own
    log. One thread at a time may use it.

    Args:
        rows: Reads in an open transaction.
        opened: Closed with the reader.
    """

    def __init__(self, rows: Rows, opened: ExitStack) -> None:
        self._rows = rows
        self._opened = opened
        self._origin = rows.meta("origin")
        self._first_key = rows.meta("key")
        self._head = rows.head()

    @classmethod
    def open(cls, place: Path | str) -> Self:
        """Opens a log.

        Args:
            place: The file, which need not be writable, or the URL.

        Returns:
            The reader.

        Raises:
            AuditError: ``audit.unavailable`` if it cannot be read, ``audit.integrity`` if it is no audit log
                of this version or a guard was dropped.
            ConfigurationError: ``config.invalid`` if a URL is not supported.
        """
        with ExitStack() as opened:
            return cls(opened.enter_context(read_only(place)), opened.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the view."""
        self._opened.close()

    @property
    def origin(self) -> str:
        """Name of the log."""
        return self._origin

    @property
    def first_key(self) -> str:
        """The verifier key that the log says it began with; later ones stand in its entries."""
        return self._first_key

    @property
    def size(self) -> int:
        """Number of entries."""
        return self._head.size

    @property
    def note(self) -> bytes:
        """The newest checkpoint, with the cosignatures that were collected for it."""
        return self._cosigned(self._head)

    @property
    def hashes(self) -> Hashes:
        """The nodes of the tree."""
        return self._rows

    def leaves(self, first: int, end: int) -> Iterator[bytes]:
        """The canonical bytes of entries.

        Args:
            first: Index of the first.
            end: Index after the last; at most :attr:`size`.

        Yields:
            One entry after the other.

        Raises:
            AuditError: ``audit.integrity`` if one is missing.
        """
        for piece in self._rows.entries(first, end):
            yield from piece.data

    def checkpoints(self) -> list[bytes]:
        """The kept checkpoints in order of their size, the newest included, with their cosignatures."""
        return [self._cosigned(kept) for kept in self._kept(0)]

    def rotations(self) -> list[bytes]:
        """The checkpoints at which the log changed its key, in order; each is signed by both keys."""
        return [self._cosigned(kept) for kept in self._kept(0) if is_rotation(kept.note)]

    def keys(self) -> tuple[VerifierKey, ...]:
        """The keys that the log says it had, each after the one that it replaced; the last is in use.

        Raises:
            AuditError: ``audit.integrity`` if an entry is missing.
            IdentityError: ``identity.bad-key`` if what stands there is no key.
            ProtocolError: ``protocol.malformed`` if the checkpoint by two keys ends with another entry.
        """
        keys = [VerifierKey.decode(self._first_key)]
        for note in self.rotations():
            size = parse_checkpoint(unverified_text(note)).size
            (leaf,) = self.leaves(size - 1, size)
            key = read_rotation(leaf)
            if key is None:
                raise ProtocolError("protocol.malformed", f"entry {size - 1} does not change the log's key")
            keys.append(key)
        return tuple(keys)

    def note_at_least(self, size: int, enough: Callable[[bytes], bool]) -> bytes | None:
        """The smallest kept checkpoint of at least a size that satisfies the caller.

        Args:
            size: Number of entries.
            enough: Looks at a checkpoint with its cosignatures, as by a quorum.

        Returns:
            That checkpoint, or None.
        """
        return next((note for kept in self._kept(size) if enough(note := self._cosigned(kept))), None)

    def _kept(self, size: int) -> list[Head]:
        kept = self._rows.checkpoints(size)
        newest = self._head.size
        return kept if newest < size or any(head.size == newest for head in kept) else [*kept, self._head]

    def _cosigned(self, checkpoint: Head) -> bytes:
        """The log's note with the last line of each witness, in the order in which witnesses came first."""
        lines: dict[tuple[str, bytes], str] = {}
        for line in self._rows.cosignatures(checkpoint.size):
            parsed = SignatureLine.decode(line)
            lines[parsed.name, parsed.key_id] = line
        return checkpoint.note + "".join(lines.values()).encode()
