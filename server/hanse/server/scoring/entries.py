"""The entry of a call, or of several: counts, digests and names of the program's own vocabulary."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from hanse.audit import ConsentState, Counts, Event, EventType
from hanse.audit.event import MAX_COUNTED_COLUMNS
from hanse.errors import HanseError
from hanse.policies import POLICY_DIGEST, PURPOSES
from hanse.policies.scoring import HIDING_RULE
from hanse.server.scoring.asked import Facts
from hanse.server.scoring.served import Served


class Shared(NamedTuple):
    """What calls must have in common to share an entry."""

    kind: EventType
    decision: Literal["permit", "deny"]
    reasons: tuple[str, ...]
    agreement: str
    purpose: str | None
    caller: str | None
    head: int | None
    root: str | None
    model: str


class CallEntry(NamedTuple):
    """What is logged of a call.

    Attributes:
        shared: What calls must have in common to share an entry.
        request: Digest of the request.
        rows: Subjects asked about; 0 where that was not known yet.
        admitted: Subjects who were scored.
        by_rule: Subjects who were denied, by rule.
        hidden: Values that were not used, by place of the column.
        size: Subjects that the consent ledger knows; None if it was not asked.
    """

    shared: Shared
    request: str
    rows: int
    admitted: int
    by_rule: Mapping[str, int]
    hidden: Mapping[str, int]
    size: int | None


def answered(facts: Facts, primary: Served) -> CallEntry:
    """The entry of a call that is answered.

    Args:
        facts: What is known about it.
        primary: Named where no model version was found for the call.
    """
    return _entry(facts, primary, EventType.SCORE_ANSWERED, "permit", ())


def answered_alike(served: Served, caller: str, purpose: str, consent: ConsentState) -> Shared:
    """What calls have in common that are answered, alike, and about people who are all admitted.

    Args:
        served: The model version that answers.
        caller: Name of the caller.
        purpose: The use that it declares.
        consent: The consent ledger that was decided on; its size is each call's own.
    """
    agreement, known = served.agreement.digest, _known(purpose)
    return Shared(
        EventType.SCORE_ANSWERED,
        "permit",
        (),
        agreement,
        known,
        caller,
        consent.head,
        consent.root,
        served.digest,
    )


def denied(facts: Facts, primary: Served, error: HanseError) -> Event:
    """The entry of a call that is refused.

    Args:
        facts: What is known about it.
        primary: Named where no model version was found for the call.
        error: Why.

    Returns:
        The entry, which takes back one that was written while others were asked, if there is one.
    """
    reasons = (error.code,) if error.rule is None else (error.code, error.rule)
    kind = EventType.SCORE_DENIED if facts.ahead is None else EventType.SCORE_WITHHELD
    entry = _entry(facts, primary, kind, "deny", reasons)
    return merged([entry], entry.request)


def withheld(facts: Facts, primary: Served) -> CallEntry:
    """The entry of a call that is answered about fewer subjects than its entry says.

    Args:
        facts: What is known about it.
        primary: See :func:`answered`.
    """
    return _entry(facts, primary, EventType.SCORE_WITHHELD, "permit", ())


def merged(entries: Sequence[CallEntry], request: str) -> Event:
    """The one entry of calls that share what they must.

    Args:
        entries: At least one.
        request: The only request, or the root of the tree over them.
    """
    shared, calls = entries[0].shared, len(entries)
    rows = sum(entry.rows for entry in entries)
    size = sum(entry.size or 0 for entry in entries)
    by_rule: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    for entry in entries:
        if entry.by_rule:
            by_rule.update(entry.by_rule)
        if entry.hidden:
            hidden.update(entry.hidden)
    event = _merged(shared, calls, rows, sum(entry.admitted for entry in entries), size)
    stated: dict[str, object] = {"request": request}
    if event.counts is not None and (by_rule or hidden):
        stated["counts"] = Counts(
            rows_in=event.counts.rows_in,
            rows_out=event.counts.rows_out,
            by_rule=by_rule,
            hidden=hidden,
            hidden_by_rule={HIDING_RULE: hidden.total()} if hidden else {},
        )
    return event.model_copy(update=stated)


@lru_cache(maxsize=1024)
def _merged(shared: Shared, calls: int, rows: int, admitted: int, size: int) -> Event:
    """An entry without its request, about nobody who is denied; most say the same, and are checked once."""
    return Event(
        type=shared.kind,
        decision=shared.decision,
        reasons=shared.reasons,
        agreement=shared.agreement,
        purpose=shared.purpose,
        peer=shared.caller,
        policy_digest=POLICY_DIGEST,
        consent=_consent(shared, size),
        counts=Counts(rows_in=rows, rows_out=admitted) if rows else None,
        requests=calls if calls > 1 else None,
        model_in=shared.model,
    )


def hidden_counts(facts: Facts) -> dict[str, int]:
    """By the place of the column in the agreement, the admitted subjects whose value was not used."""
    if not facts.hidden or facts.job is None:
        return {}
    counts: dict[str, int] = {}
    for place, column in enumerate(facts.job.agreement.columns[:MAX_COUNTED_COLUMNS]):
        rows = sum(facts.rules[position] is None for position in facts.hidden.get(column.name, ()))
        if rows:
            counts[str(place)] = rows
    return counts


def _entry(
    facts: Facts,
    primary: Served,
    kind: EventType,
    decision: Literal["permit", "deny"],
    reasons: tuple[str, ...],
) -> CallEntry:
    served, consent = facts.served or primary, facts.consent
    purpose = _known(facts.purpose)
    head, root, size = (None, None, None) if consent is None else (consent.head, consent.root, consent.size)
    rows, rules = facts.rows, facts.rules
    if kind is EventType.SCORE_WITHHELD and facts.ahead is not None:  # of those whom that one admitted
        rules = tuple(rule for rule, before in zip(rules, facts.ahead.rules, strict=True) if before is None)
        rows = len(rules)
    admitted = rules.count(None)
    by_rule = {} if admitted == len(rules) else Counter(filter(None, rules))
    shared = Shared(
        kind, decision, reasons, served.agreement.digest, purpose, facts.caller, head, root, served.digest
    )
    return CallEntry(shared, facts.request_digest, rows, admitted, by_rule, hidden_counts(facts), size)


def _known(purpose: str | None) -> str | None:
    """A purpose that is not in the tree is the caller's own text, which no log entry carries."""
    return purpose if purpose in PURPOSES else None


def _consent(shared: Shared, size: int) -> ConsentState | None:
    if shared.head is None:
        return None
    return ConsentState(head=shared.head, size=size, root=shared.root)
