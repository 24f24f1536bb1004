"""The log of logs: what each member states of a step before it sends the step's result.

A statement is taken once per member and step, if the member that is due signed it and its own log goes on
from where it last stated it to be. It is in the shared log before the member is answered. The rounds then
hold every result against the statement of its member, and take none that has no statement (P32).

That the shared log keeps all of a member's statements is shown to the member by the index it is answered with
and by the witnesses; that its own log never went back between two statements is shown here, by proof.
"""

import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hanse.audit import AuditLog, Checkpoint, Entry, Event, EventType, check_consistency, parse_checkpoint
from hanse.audit.statement import check_statement, read_statement
from hanse.crypto import VerifierKey, unverified_text
from hanse.errors import AuditError, IdentityError, ProtocolError
from hanse.policies import RULES, Agreement, SignedAgreement

_CHUNK_ENTRIES: Final = 4096
_MARK: Final = f'"{EventType.ROUND_SUBMITTED.value}"'.encode()


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run for which statements are due.

    Attributes:
        run: The run.
        signed: Its agreement.
        name: ``prepared``, ``trained`` or ``evaluated``.
        round: The round that is trained; None in the other steps.
        members: Whose statements are due.
    """

    run: str
    signed: SignedAgreement
    name: str
    round: int | None
    members: frozenset[str]


class Statements:
    """See the module docstring; thread-safe.

    Args:
        log: The shared log.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._guard = threading.Lock()
        self._step: Step | None = None
        self._taken: dict[str, Event] = {}
        self._indices: dict[str, int] = {}
        self._last: dict[str, Checkpoint | None] = {}

    def expect(self, step: Step | None) -> None:
        """Begins a step: from now on, statements of its members about it are taken, and no other.

        Args:
            step: The step; None if nothing is due any more.
        """
        with self._guard:
            self._step = step
            self._taken = {}

    def again(self, members: Collection[str]) -> None:
        """Lets members state the step again: their nodes were restarted, and they are asked again."""
        with self._guard:
            for member in members:
                self._taken.pop(member, None)

    def taken(self, member: str) -> Event | None:
        """What a member has stated of the step; None if nothing."""
        with self._guard:
            return self._taken.get(member)

    def submitted(self, member: str) -> int:
        """Size that a member's own log had when it last stated something; 0 if it never did."""
        with self._guard:
            last = self._last_checkpoint(member)
            return 0 if last is None else last.size

    def submit(self, statement: bytes, old_size: int, proof: Sequence[bytes], caller: str) -> int:
        """Takes a statement into the shared log; one that says the same once more is there already.

        A member that is asked again after a restart does so while its first answer may still be on its way.

        Args:
            statement: As :func:`hanse.audit.statement.sign_statement` made it.
            old_size: As :meth:`submitted` told.
            proof: That the member's log at its checkpoint begins with its log at ``old_size``.
            caller: Name of the member that hands it in.

        Returns:
            Index of the entry.

        Raises:
            ProtocolError: ``protocol.malformed``; ``protocol.unexpected-step`` if it is not due,
                ``protocol.replayed`` if there is another one already.
            IdentityError: If the caller did not sign it.
            AuditError: ``audit.integrity`` if the member's log does not go on from where it was.
        """
        event = read_statement(statement)
        with self._guard:
            if caller in self._taken and _same(self._taken[caller], event):
                return self._indices[caller]
            agreement = self._due(event, caller)
            checkpoint = self._check_log(event, agreement, old_size, proof)
            index = self._log.append(event).start
            self._taken[caller], self._last[caller] = event, checkpoint
            self._indices[caller] = index
        return index

    def _due(self, event: Event, caller: str) -> Agreement:
        step = self._step
        if step is None or caller not in step.members or event.peer != caller:
            raise ProtocolError("protocol.unexpected-step", f"nothing is due from {caller} now")
        agreement = step.signed.agreement
        stated = (event.run, event.agreement, event.purpose, event.round, event.detail)
        if stated != (step.run, step.signed.digest, agreement.purpose, step.round, step.name):
            raise ProtocolError("protocol.unexpected-step", f"{caller} states another step than the one due")
        if caller in self._taken:
            raise ProtocolError("protocol.replayed", f"{caller} has stated this step already")
        _check_places(event, agreement)
        return agreement

    def _check_log(
        self, event: Event, agreement: Agreement, old_size: int, proof: Sequence[bytes]
    ) -> Checkpoint:
        """Holds the member's checkpoint against its last one."""
        member = agreement.member(str(event.peer))
        if member is None:
            raise IdentityError("identity.unknown-signer", "the statement of no member")
        checkpoint = check_statement(event, VerifierKey.decode(member.node_key))
        last = self._last_checkpoint(member.name)
        if last is None:
            return checkpoint
        if old_size != last.size:
            raise ProtocolError("protocol.unexpected-step", f"{member.name} goes on from another statement")
        if checkpoint.size < last.size:
            raise AuditError(
                "audit.integrity",
                f"the log of {member.name} has {checkpoint.size} entries and had {last.size}",
                entry=checkpoint.size,
            )
        check_consistency(last.size, last.root, checkpoint.size, checkpoint.root, proof)
        return checkpoint

    def _last_checkpoint(self, member: str) -> Checkpoint | None:
        """What the member stated last, from the shared log if this process has not seen it."""
        if member not in self._last:
            self._last[member] = self._find_last(member)
        return self._last[member]

    def _find_last(self, member: str) -> Checkpoint | None:
        with self._log.reader() as reader:
            for end in range(reader.size, 0, -_CHUNK_ENTRIES):
                leaves = list(reader.leaves(max(0, end - _CHUNK_ENTRIES), end))
                found = _last_of(member, reversed(leaves))
                if found is not None:
                    return found
        return None


def _same(one: Event, other: Event) -> bool:
    """Whether two statements say the same; each is signed, with the state of its member's log at its time."""
    own = {"member_checkpoint": None, "statement_signature": None}
    return one.model_copy(update=own) == other.model_copy(update=own)


def _last_of(member: str, leaves: Iterable[bytes]) -> Checkpoint | None:
    for leaf in leaves:
        entry = Entry.parse(leaf) if _MARK in leaf else None
        if entry is not None and entry.peer == member and entry.member_checkpoint is not None:
            # Its signature was checked before it went into the log.
            return parse_checkpoint(unverified_text(entry.member_checkpoint.encode()))
    return None


def _check_places(event: Event, agreement: Agreement) -> None:
    """What is counted goes into the shared log by these names: rules and columns, and nothing else."""
    if event.counts is None:
        return
    if not {*event.counts.by_rule, *event.counts.hidden_by_rule} <= set(RULES):
        raise ProtocolError("protocol.malformed", "rows are counted by what is no rule")
    if any(int(place) >= len(agreement.columns) for place in event.counts.hidden):
        raise ProtocolError("protocol.malformed", "values are counted by what is no column")
