"""What the node says in the shared log before it sends the result of a step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from hanse.audit import AuditLog, Counts, Event, EventType, consistency_proof
from hanse.audit.event import Count
from hanse.audit.statement import sign_statement
from hanse.crypto import SigningKey
from hanse.errors import AuditError
from hanse.policies import suppress


class SharedLog(Protocol):
    """The shared log, as far as a node writes to it."""

    def submitted(self) -> int:
        """Size that this member's own log had when it stated something last."""
        ...

    def submit(self, statement: bytes, old_size: int, proof: Sequence[bytes]) -> int:
        """Hands in a statement; returns the index of its entry."""
        ...


class Statements:
    """States steps for one member.

    Args:
        member: Its name.
        log: Its own log.
        key: Its node key.
        shared: Where statements go.
        trusted: Raises if this member's witness has refused the shared log and nobody has looked at it yet.
    """

    def __init__(
        self, member: str, log: AuditLog, key: SigningKey, shared: SharedLog, trusted: Callable[[], None]
    ) -> None:
        self._member = member
        self._log = log
        self._key = key
        self._shared = shared
        self.require_trusted = trusted

    def state(self, name: str, admitted: Event, suppress_below: int) -> int:
        """States a step that was done: which rows were admitted for it, and what this site's log is now.

        Args:
            name: ``prepared``, ``trained`` or ``evaluated``.
            admitted: The decision about its rows, as it is in the site's own log.
            suppress_below: Counts below this are not told, from the agreement.

        Returns:
            Index of the entry in the shared log.

        Raises:
            AuditError: ``audit.integrity`` if the coordinator says that this site's log was longer before.
            HanseError: What the coordinator refused it with, ``run.engine`` if it did not answer.
        """
        old_size = self._shared.submitted()
        with self._log.reader() as reader:
            if old_size > reader.size:
                raise AuditError(
                    "audit.integrity",
                    f"the coordinator knows {old_size} entries of this log, which has {reader.size}",
                    entry=reader.size,
                )
            proof = consistency_proof(old_size, reader.size, reader.hashes) if old_size else ()
            event = _event(name, admitted, suppress_below, self._member, reader.note)
        return self._shared.submit(sign_statement(event, self._key), old_size, proof)


def _event(name: str, admitted: Event, suppress_below: int, member: str, note: bytes) -> Event:
    """The statement; of what is counted, nothing that is too small."""
    return Event(
        type=EventType.ROUND_SUBMITTED,
        agreement=admitted.agreement,
        run=admitted.run,
        round=admitted.round,
        purpose=admitted.purpose,
        peer=member,
        counts=None if admitted.counts is None else shown_counts(admitted.counts, suppress_below),
        subject_set_root=admitted.subject_set_root,
        subject_set_size=admitted.subject_set_size,
        subject_epoch=admitted.subject_epoch,
        aligned_set_root=admitted.aligned_set_root,
        # An evaluation computes on the held-out part alone.
        rows_used=None if name == "evaluated" else admitted.subject_set_size,
        member_checkpoint=note.decode(),
        detail=name,
    )


def shown_counts(counts: Counts, below: int) -> Counts:
    """Counts as others may see them.

    Numbers below the minimum are written as fewer than it. Beside the others, a total would give the only
    hidden one away, so the rows considered are then those that the shown numbers account for.

    Args:
        counts: Exact counts.
        below: The minimum.
    """
    by_rule = _shown(counts.by_rule, below)
    known = [count for count in by_rule.values() if isinstance(count, int)]
    whole = len(known) == len(by_rule)
    hidden, hidden_by_rule = _shown(counts.hidden, below), _shown(counts.hidden_by_rule, below)
    complete = all(isinstance(count, int) for count in (*hidden.values(), *hidden_by_rule.values()))
    return Counts(
        rows_in=counts.rows_in if whole else int(counts.rows_out) + sum(known),
        rows_out=counts.rows_out,
        by_rule=by_rule,
        # By column and by rule, hidden values have the same sum: both are told only if all of both are.
        hidden=hidden if complete else {},
        hidden_by_rule=hidden_by_rule,
    )


def _shown(counts: Mapping[str, Count], below: int) -> dict[str, Count]:
    return dict(suppress({name: int(count) for name, count in counts.items()}, below))
