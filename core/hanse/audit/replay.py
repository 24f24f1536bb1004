"""The lines of a log file, and what they add up to. Pure: the file is read and written elsewhere.

A log is one text file::

    hanse-log/1 <origin> <verifier key>                  the header, once
    c <canonical JSON string of a signed checkpoint>     a seal: after the header and after every commit
    e <leaf hash> <canonical JSON of the entry>          the entries of a commit, before the commit's seal

Every line ends in a newline and has exactly one valid form, and each byte of it is covered: the header is
compared with what the reader expects, an entry is hashed into the tree, the hash beside it is recomputed, and
a seal carries a signature over the root of the tree so far. A later, incompatible form would have another
first line.
"""

import re
from dataclasses import dataclass, field
from typing import Final, Self

from hanse.audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from hanse.audit.entry import Actor, Entry
from hanse.audit.tree import Frontier, leaf_hash
from hanse.crypto import SigningKey, VerifierKey, canonical_json, parse_canonical_json
from hanse.errors import AuditError, HanseError

_MAGIC: Final = "hanse-log/1"
_SEAL_LINES: Final = 5  # three of the checkpoint, an empty one, and one signature
_ENTRY: Final = re.compile(rb"e ([0-9a-f]{64}) (.+)\n")
_TORN_ENTRY: Final = re.compile(rb"e?|e [0-9a-f]{0,64}|e [0-9a-f]{64} (\{[ -~]*)?")


def format_header(origin: str, verifier: VerifierKey) -> bytes:
    """The first line of a log of this origin and key."""
    return f"{_MAGIC} {origin} {verifier.encode()}\n".encode()


def format_entry(digest: bytes, data: bytes) -> bytes:
    """The line of an entry.

    Args:
        digest: Leaf hash of the entry.
        data: Its canonical bytes.
    """
    return b"e %s %s\n" % (digest.hex().encode("ascii"), data)


def format_seal(note: bytes) -> bytes:
    """The line of a signed checkpoint."""
    return b"c %s\n" % canonical_json(note.decode())


@dataclass(slots=True)
class Replay:
    """The state of a log after the lines read so far.

    Attributes:
        origin: Which log it is; empty before the header.
        verifier: The log's key, which the reader knows from elsewhere.
        frontier: The tree of the entries.
        sealed: Number of entries under the last valid seal.
        note: That seal's signed checkpoint; empty before the first.
        last_time: Time of the last entry; empty before the first.
        sequences: The next ``seq`` of each actor.
    """

    verifier: VerifierKey
    origin: str = ""
    frontier: Frontier = field(default_factory=Frontier)
    sealed: int = 0
    note: bytes = b""
    last_time: str = ""
    sequences: dict[Actor, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.frontier.size

    def copy(self) -> Self:
        """An independent state."""
        return type(self)(
            self.verifier,
            self.origin,
            self.frontier.copy(),
            self.sealed,
            self.note,
            self.last_time,
            self.sequences.copy(),
        )

    def read(self, line: bytes) -> bytes | None:
        """Takes the next line of the file.

        Args:
            line: With its newline.

        Returns:
            The bytes of the entry, if the line has one.

        Raises:
            AuditError: ``audit.integrity`` if the line is not the one that a writer would have written next;
                ``entry`` is the first entry that is not known to be as it was written. The state is then
                void.
        """
        if not line.endswith(b"\n"):
            raise self._cut_off("in the middle of a line")
        if not self.origin:
            self._read_header(line)
        elif line.startswith(b"e "):
            return self._read_entry(line)
        else:
            self._read_seal(line)
        return None

    def finish(self) -> None:
        """Checks that the file may end here.

        Raises:
            AuditError: ``audit.integrity`` if it ends before the first seal, or with entries under no seal.
        """
        if not self.note or self.size != self.sealed:
            raise self._cut_off("without a seal")

    def add(self, entry: Entry) -> bytes:
        """Adds an entry.

        Args:
            entry: The next entry.

        Returns:
            Its line.

        Raises:
            AuditError: ``audit.integrity`` if its sequence number or time does not follow from what is there.
        """
        data = entry.canonical()
        self._follow(entry)
        return format_entry(self.frontier.append(data), data)

    def seal(self, key: SigningKey) -> bytes:
        """Signs the entries so far.

        Args:
            key: The log's key.

        Returns:
            The seal's line.
        """
        self.note = sign_checkpoint(Checkpoint(self.origin, self.size, self.frontier.root()), key)
        self.sealed = self.size
        return format_seal(self.note)

    def _read_header(self, line: bytes) -> None:
        """Compares the whole line with the one that the expected key gives."""
        try:
            origin = line.decode("utf-8").split(" ")[1]
        except (UnicodeDecodeError, IndexError):
            origin = ""
        if not origin or line != format_header(origin, self.verifier):
            raise AuditError("audit.integrity", "not the header of a log of the expected key", entry=0)
        self.origin = origin

    def _read_entry(self, line: bytes) -> bytes:
        match = _ENTRY.fullmatch(line)
        if match is None or not self.note:
            raise self._bad_entry("is not a line of a log")
        data = match[2]
        if leaf_hash(data).hex().encode("ascii") != match[1]:
            raise self._bad_entry("does not have the hash beside it")
        try:
            entry = Entry.parse(data)
        except HanseError as error:
            raise self._bad_entry(f"cannot be read: {error.detail}") from error
        self._follow(entry)
        self.frontier.append(data)
        return data

    def _follow(self, entry: Entry) -> None:
        """Checks an entry against the ones before it."""
        if entry.seq != self.sequences.get(entry.actor, 0):
            raise self._bad_entry("is not the next of its actor: one is missing or repeated")
        if entry.time < self.last_time:
            raise self._bad_entry("is older than the one before")
        self.sequences[entry.actor] = entry.seq + 1
        self.last_time = entry.time

    def _bad_entry(self, problem: str) -> AuditError:
        return AuditError("audit.integrity", f"entry {self.size} {problem}", entry=self.size)

    def _read_seal(self, line: bytes) -> None:
        try:
            note = str(parse_canonical_json(line[2:-1])).encode()
            stated = open_checkpoint(note, self.verifier)
        except HanseError as error:
            raise self._bad_seal(f"is not valid: {error.detail}") from error
        if line != format_seal(note) or note.count(b"\n") != _SEAL_LINES:
            raise self._bad_seal("is not in the form that a writer gives it")
        if stated != Checkpoint(self.origin, self.size, self.frontier.root()):
            raise self._bad_seal("was made for other entries")
        if self.note and self.size == self.sealed:
            raise self._bad_seal("is repeated")
        self.note, self.sealed = note, self.size

    def _cut_off(self, where: str) -> AuditError:
        return AuditError(
            "audit.integrity", f"the log ends {where}: cut off, or a write was interrupted", entry=self.sealed
        )

    def _bad_seal(self, problem: str) -> AuditError:
        return AuditError(
            "audit.integrity", f"the seal over the entries from {self.sealed} {problem}", entry=self.sealed
        )


def read_commits(state: Replay, data: bytes, key: SigningKey) -> tuple[Replay, int]:
    """Reads what was appended since a seal, as the holder of the log's key.

    What follows the last seal is a write that was interrupted, or the work of somebody who changed the file.
    A commit is written front to back, so an interruption leaves the beginning of one: whole entries and the
    beginning of one more line. Ed25519 signatures are deterministic, so even the beginning of the seal is
    known. Everything else is refused.

    Args:
        state: After some seal, or before the header. It is left alone.
        data: All bytes of the file from there on.
        key: The log's key.

    Returns:
        The state after the last seal, and how many bytes lead up to it. The rest was never acknowledged.

    Raises:
        AuditError: ``audit.integrity`` if a line is not valid, or the rest is not the beginning of a commit.
    """
    state, sealed, end, position = state.copy(), state, 0, 0
    while newline := data.find(b"\n", position) + 1:
        state.read(data[position:newline])
        position = newline
        if state.note != sealed.note:
            sealed, end = state.copy(), position
    if not sealed.note:
        state.finish()
    rest = data[position:]
    expected = state.seal(key) if state.size > state.sealed else b""
    if not _TORN_ENTRY.fullmatch(rest) and not expected.startswith(rest):
        raise AuditError("audit.integrity", f"what follows entry {state.size} is no entry", entry=state.size)
    return sealed, end
