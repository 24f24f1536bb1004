"""What a reviewer runs: read every byte of a log again and trust none of it before it is checked."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hanse.audit.checkpoint import Checkpoint, open_checkpoint
from hanse.audit.entry import Entry
from hanse.audit.replay import Replay
from hanse.audit.storage import read_lines
from hanse.crypto import VerifierKey
from hanse.errors import AuditError


@dataclass(frozen=True)
class VerifiedLog:
    """A log of which every byte was checked.

    Attributes:
        origin: Which log it is.
        size: Number of entries.
        root: Root hash of their tree, 32 bytes.
        checkpoint: Signed note over origin, size and root. Keep it: given as ``since`` later, it shows that
            nothing before it was changed, not even by the holder of the log's key.
        leaves: The entries as they are stored, for proofs.
    """

    origin: str
    size: int
    root: bytes
    checkpoint: bytes
    leaves: tuple[bytes, ...]

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The entries in order; parsed when first asked for."""
        return tuple(Entry.parse(leaf) for leaf in self.leaves)


def verify_log(
    path: Path, verifier: VerifierKey, *, origin: str | None = None, since: bytes | None = None
) -> VerifiedLog:
    """Checks a log: every hash, seal and signature, the sequence of each actor, and the order of times.

    A signature shows that the holder of the log's key wrote this log, not that it is the only log the holder
    wrote: who rewrites a log signs it again. Only a checkpoint that the reviewer saved earlier shows that.

    Args:
        path: The log, or a copy of it. Appending may go on meanwhile; what comes after the start is not read.
        verifier: The log's key, known from elsewhere.
        origin: Which log it must be; any of this key by default.
        since: A checkpoint of this log that the reviewer saved earlier.

    Returns:
        What was checked.

    Raises:
        AuditError: ``audit.integrity`` if anything is not as it was written; ``entry`` is the first entry
            that is not known to be, where that can be told. ``audit.unavailable`` if the file cannot be read.
        IdentityError: If ``since`` is not signed by the log's key.
        ProtocolError: If ``since`` is not a checkpoint.
    """
    saved = None if since is None else open_checkpoint(since, verifier)
    state = Replay(verifier)
    leaves: list[bytes] = []
    for line in read_lines(path):
        leaf = state.read(line)
        if leaf is not None:
            leaves.append(leaf)
            _check_saved(state, saved)
    state.finish()
    if origin not in {None, state.origin}:
        raise AuditError("audit.integrity", f"this is the log {state.origin}, not {origin}", entry=0)
    if saved is not None and (saved.size > state.size or saved.origin != state.origin):
        raise AuditError(
            "audit.integrity",
            f"the log has {state.size} entries, the saved checkpoint of {saved.origin} has {saved.size}",
            entry=state.size,
        )
    return VerifiedLog(state.origin, state.size, state.frontier.root(), state.note, tuple(leaves))


def _check_saved(state: Replay, saved: Checkpoint | None) -> None:
    """Compares the tree with the saved one when it has that size."""
    if saved is not None and saved.size == state.size and saved.root != state.frontier.root():
        # The saved root does not tell which of its entries was changed, so no entry is named.
        raise AuditError(
            "audit.integrity",
            f"the first {saved.size} entries are not those of the saved checkpoint: rewritten",
        )
