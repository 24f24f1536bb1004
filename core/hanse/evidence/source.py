"""What an evidence package is made from: a log at one of its checkpoints, with all that proves it.

:func:`collect` reads it; everything else is pure.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from hanse.audit import Checkpoint, Entry, EventType, parse_checkpoint
from hanse.audit.hashes import TreeHashes
from hanse.audit.policy_file import PolicyLog, TrustPolicy
from hanse.audit.reader import LogReader
from hanse.crypto import VerifierKey, unverified_text
from hanse.errors import AuditError

NO_WITNESSES: Final = TrustPolicy(())
"""For a log that nobody has to co-sign; :func:`collect` fills in its keys."""


@dataclass(frozen=True)
class Evidence:
    """A log at one of its checkpoints. Nothing about it was verified.

    Attributes:
        note: The checkpoint, signed by the newest key, with all cosignatures collected for it.
        keys: The keys of the log, each after the one that it replaced.
        policy: Which checkpoints of this log count.
        leaves: All entries up to the checkpoint, exact bytes.
        rotations: Signed checkpoints at which a key was replaced, by their size.
        later: How many entries the log had after this checkpoint when it was read.
    """

    note: bytes
    keys: tuple[VerifierKey, ...]
    policy: TrustPolicy
    leaves: tuple[bytes, ...]
    rotations: Mapping[int, bytes]
    later: int = 0

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the log commits to."""
        return _read(self.note)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, parsed."""
        return tuple(Entry.parse(leaf) for leaf in self.leaves)

    @cached_property
    def hashes(self) -> TreeHashes:
        """The nodes of the tree."""
        return TreeHashes.of_leaves(self.leaves)

    def disclosed(self, run: str | None) -> Iterator[tuple[int, Entry]]:
        """The entries that a package discloses.

        Args:
            run: Only those of this run, and those that hand the log to a new key; all without one.

        Yields:
            Index and entry.
        """
        for index, entry in enumerate(self.entries):
            if run in (None, entry.run) or entry.type is EventType.LOG_KEY_ROTATED:
                yield index, entry


def collect(place: Path | str, policy_of: Callable[[Sequence[Entry]], TrustPolicy] | None = None) -> Evidence:
    """Reads a log up to its newest checkpoint that counts.

    Args:
        place: The log: a file or a URL.
        policy_of: Says, from the entries, which witnesses and what quorum count; nobody by default.

    Returns:
        The log at that checkpoint. If none counts, the newest is taken as it is, and whoever verifies the
        package is told.

    Raises:
        AuditError: ``audit.unavailable`` or ``audit.integrity`` if the log cannot be read or has no entry.
        ProtocolError: ``protocol.malformed`` if an entry is none.
    """
    with LogReader.open(place) as reader:
        kept = reader.checkpoints()
        leaves = tuple(reader.leaves(0, reader.size))
        first = VerifierKey.decode(reader.first_key)
    return at_checkpoint(kept, leaves, first, policy_of)


def at_checkpoint(
    kept: Sequence[bytes],
    leaves: Sequence[bytes],
    first: VerifierKey,
    policy_of: Callable[[Sequence[Entry]], TrustPolicy] | None = None,
) -> Evidence:
    """Puts together what :func:`collect` reads, for a log that came another way.

    Args:
        kept: Checkpoints of the log, in order of their size.
        leaves: Its entries, exact bytes.
        first: The key that it began with.
        policy_of: See :func:`collect`.

    Returns:
        The log at its newest checkpoint that counts.

    Raises:
        AuditError: ``audit.integrity`` if the log has no entry or its change of keys is not kept.
        ProtocolError: ``protocol.malformed`` if an entry is none.
    """
    entries = [Entry.parse(leaf) for leaf in leaves]
    policy = NO_WITNESSES if policy_of is None else policy_of(entries)
    changes = {
        index + 1: VerifierKey.decode(entry.new_key)
        for index, entry in enumerate(entries)
        if entry.type is EventType.LOG_KEY_ROTATED and entry.new_key is not None
    }
    full = _with_logs(policy, (first, *changes.values()))
    note = next((note for note in reversed(kept) if full.is_met(note)), kept[-1] if kept else b"")
    size = _read(note).size if note else 0
    if size == 0:
        raise AuditError("audit.integrity", "the log has no entry yet: there is nothing to export")
    before = {at: key for at, key in changes.items() if at <= size}
    rotations = {at: kept_note for kept_note in kept if (at := _read(kept_note).size) in before}
    if missing := sorted(set(before) - set(rotations)):
        raise AuditError(
            "audit.integrity", "no checkpoint is kept of where the key changed", entry=missing[0] - 1
        )
    keys = (first, *before.values())
    return Evidence(note, keys, _with_logs(policy, keys), tuple(leaves[:size]), rotations, len(leaves) - size)


def _with_logs(policy: TrustPolicy, keys: Sequence[VerifierKey]) -> TrustPolicy:
    return dataclasses.replace(policy, logs=tuple(map(PolicyLog, keys)))


def _read(note: bytes) -> Checkpoint:
    return parse_checkpoint(unverified_text(note))
