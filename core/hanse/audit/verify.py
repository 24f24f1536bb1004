"""What a reviewer runs: read every byte of a log again and trust none of it before it is checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hanse.audit.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from hanse.audit.entries import Leaves, ParsedEntries
from hanse.audit.entry import Entry
from hanse.audit.hashes import root_at
from hanse.audit.policy_file import TrustPolicy
from hanse.audit.replay import Replay
from hanse.audit.replay_processes import replay
from hanse.audit.rotation import signatures_of
from hanse.audit.store import Head, Rows, read_only
from hanse.audit.witnessed import Lines, Witnessed, check_witnessed, of_log
from hanse.crypto import VerifierKey, unverified_text
from hanse.errors import AuditError, HanseError, IdentityError


@dataclass(frozen=True)
class VerifiedLog:
    """A log of which every byte was checked.

    Attributes:
        origin: Which log it is.
        size: Number of entries.
        root: Root hash of their tree, 32 bytes.
        checkpoint: Signed note over origin, size and root. Keep it: given as ``since`` later, it shows that
            nothing before it was changed, not even by the holder of the log's key.
        keys: The log's verifier keys, in the order in which they were in use; the last is in use.
        leaves: The entries as they are stored. They are read again when asked for, and compared with what
            was verified, so that a log may be larger than the memory.
        witnessed: How far the witnesses of the policy vouch for it; None if no policy was given.
    """

    origin: str
    size: int
    root: bytes
    checkpoint: bytes
    keys: tuple[VerifierKey, ...]
    leaves: Sequence[bytes]
    witnessed: Witnessed | None = None

    @cached_property
    def entries(self) -> Sequence[Entry]:
        """The entries in order; parsed when asked for."""
        return ParsedEntries(self.leaves)


def verify_log(
    place: Path | str,
    verifier: VerifierKey,
    *,
    origin: str | None = None,
    since: bytes | None = None,
    policy: TrustPolicy | None = None,
    detailed: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> VerifiedLog:
    """Checks a log: every hash, checkpoint and signature, the sequence of each actor, the order of times.

    A signature shows that the holder of the log's key wrote this log, not that it is the only log the holder
    wrote: who rewrites a log signs it again. Only a checkpoint that somebody else saved or co-signed shows
    that. Whose cosignatures count is not the log's to state: they are checked if a policy is given.

    Args:
        place: The log, or a copy of it; a file or a URL. Appending may go on meanwhile; what comes after the
            start is not read.
        verifier: A key of the log, known from elsewhere: the one in use or an earlier one. From an earlier
            one the changes of the key are followed.
        origin: Which log it must be; any of this key by default.
        since: A checkpoint of this log that the reviewer saved earlier.
        policy: Whose cosignatures count, of an agreement or from a policy file; it names a key of the log.
        detailed: Whether each entry is also parsed and validated; otherwise only its actor, number and time
            are read. Hashes and signatures are checked in any case.
        progress: Called with the number of entries that were checked, and of all, from time to time.

    Returns:
        What was checked.

    Raises:
        AuditError: ``audit.integrity`` if anything is not as it was written; ``entry`` is the first entry
            that is not known to be, where that can be told. ``audit.unavailable`` if it cannot be read.
        IdentityError: If ``since`` is not signed by a key of the log.
        ProtocolError: If ``since`` is not a checkpoint.
        ConfigurationError: ``config.invalid`` if the policy names no key of this log.
    """
    saved = None if since is None else parse_checkpoint(unverified_text(since))
    with read_only(place) as rows:
        log = _LogCheck(rows, rows.meta("origin"), rows.head())
        if origin not in {None, log.origin}:
            raise AuditError("audit.integrity", f"this is the log {log.origin}, not {origin}", entry=0)
        if saved is not None:
            log.require_reach(saved)
        state = replay(rows, log.head.size, progress, detailed=detailed)
        keys = log.keys(state, verifier)
        log.check_checkpoints(state, keys)
        log.check_tables(state)
        if saved is not None and since is not None:
            open_checkpoint(since, *keys)
            log.check_saved(saved)
        return VerifiedLog(
            log.origin,
            log.head.size,
            state.tree.root(),
            log.head.note,
            keys,
            Leaves(place, log.head.size, state.blocks),
            None if policy is None else log.witnessed(of_log(policy, keys)),
        )


@dataclass(frozen=True, slots=True)
class _LogCheck:
    """One log in one view of the database."""

    rows: Rows
    origin: str
    head: Head

    def require_reach(self, saved: Checkpoint) -> None:
        """Checks that the log is the saved one's and long enough, before all of it is read."""
        if saved.size > self.head.size or saved.origin != self.origin:
            raise AuditError(
                "audit.integrity",
                f"the log has {self.head.size} entries, the saved checkpoint of {saved.origin}"
                f" has {saved.size}",
                entry=self.head.size,
            )

    def keys(self, state: Replay, verifier: VerifierKey) -> tuple[VerifierKey, ...]:
        """The keys of the log in order, one of which the reviewer knows.

        From a key that the reviewer knows, each next one is trusted because it stands in an entry under the
        last checkpoint of the one before; each earlier one because it signed what the known one continued.
        """
        try:
            first = VerifierKey.decode(self.rows.meta("key"))
        except IdentityError as error:
            raise AuditError("audit.integrity", "the log does not say which key it began with") from error
        keys = (first, *(key for _, key in state.rotations))
        if verifier not in keys:
            raise AuditError("audit.integrity", "not a log of the expected key", entry=0)
        return keys

    def check_checkpoints(self, state: Replay, keys: Sequence[VerifierKey]) -> None:
        """Checks the signatures and roots of all kept checkpoints and of the newest.

        The last checkpoint under a key is signed by the next key as well, and is always kept.
        """
        ends = [entry + 1 for entry, _ in state.rotations]
        kept = self.rows.checkpoints()
        if not {end for end in ends if end < self.head.size} <= {checkpoint.size for checkpoint in kept}:
            raise AuditError("audit.integrity", "the checkpoint by which the log changed its key is missing")
        good = 0
        for checkpoint in (*kept, self.head):
            turn = sum(end < checkpoint.size for end in ends)
            signers = keys[turn : turn + 1 + (checkpoint.size in ends)]
            self._check_checkpoint(checkpoint, signers, good)
            good = checkpoint.size

    def _check_checkpoint(self, checkpoint: Head, signers: Sequence[VerifierKey], good: int) -> None:
        if not 0 <= checkpoint.size <= self.head.size:
            raise _bad_checkpoint(checkpoint.size, "is for more entries than there are", self.head.size)
        try:
            stated = [open_checkpoint(checkpoint.note, key) for key in signers]
        except HanseError as error:
            raise _bad_checkpoint(checkpoint.size, f"is not valid: {error.detail}", good) from error
        if signatures_of(checkpoint.note) != len(signers):
            raise _bad_checkpoint(checkpoint.size, "is not in the form that a writer gives it", good)
        if stated[0] != Checkpoint(self.origin, checkpoint.size, root_at(checkpoint.size, self.rows)):
            raise _bad_checkpoint(checkpoint.size, "was made for other entries", good)

    def check_tables(self, state: Replay) -> None:
        """Checks what the database holds beside entries and checkpoints."""
        if self.rows.beyond(self.head.size):
            raise AuditError("audit.integrity", "there are entries under no checkpoint", entry=self.head.size)
        if self.rows.actors() != state.last_entries:
            raise AuditError("audit.integrity", "the last entry of an actor is not the one that is noted")
        sizes = {checkpoint.size for checkpoint in self.rows.checkpoints()}
        if not self.rows.cosigned_sizes() <= sizes:
            raise AuditError("audit.integrity", "a checkpoint that was co-signed is missing")

    def witnessed(self, policy: TrustPolicy) -> Witnessed:
        """Checks the cosignatures that are kept."""
        kept = {checkpoint.size: checkpoint for checkpoint in (*self.rows.checkpoints(), self.head)}
        lines = (Lines(kept[size].note, self.rows.cosignatures(size)) for size in sorted(kept))
        return check_witnessed(self.origin, self.head.size, lines, policy)

    def check_saved(self, saved: Checkpoint) -> None:
        """Compares the tree with the saved one."""
        if root_at(saved.size, self.rows) != saved.root:
            # The saved root does not tell which of its entries was changed, so no entry is named.
            raise AuditError(
                "audit.integrity",
                f"the first {saved.size} entries are not those of the saved checkpoint: rewritten",
            )


def _bad_checkpoint(size: int, problem: str, entry: int) -> AuditError:
    return AuditError("audit.integrity", f"the checkpoint over {size} entries {problem}", entry=entry)
