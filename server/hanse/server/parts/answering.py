"""Who may ask a feature holder about whom, what is logged of it, and what is said.

The order is that of every decision: who asks, for which model, for which use, how much of it a day; then each
person's own consent here, by this member's ledger, whatever the label holder's says; then the entry in the
log, durable; then the answer. What is refused leaves an entry too.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from hanse.audit import ConsentState, Counts, Event, EventType
from hanse.errors import PolicyError, ServingError
from hanse.learning.vertical.serving import (
    FeatureHalf,
    KeptPart,
    Question,
    Reply,
    conversation,
    read_question,
)
from hanse.learning.vertical.serving.messages import EPOCH_BYTES
from hanse.policies import (
    POLICY_DIGEST,
    PURPOSES,
    Agreement,
    Answers,
    Column,
    ConsentLedger,
    Job,
    Policy,
    SignedAgreement,
)
from hanse.server.parts.table import PartPeople
from hanse.server.scoring.borders import known
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.consents import Consents
from hanse.server.scoring.leases import Account
from hanse.server.scoring.quota import Quota

_REFUSED: Final = "P26"
_MOST_REMEMBERED: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PartSite:
    """What the service works with; all of it checked when it was loaded.

    Attributes:
        agreement: The agreement that every member signed.
        answers: What it says of answers.
        member: Name of this feature holder.
        policy: The rule packs that apply, merged.
        kept: The part as it is kept.
        part: What answers.
        model: SHA-256 of the signed manifest of the model that the part belongs to.
        ledger: The member's consent ledger.
        log: The member's audit log.
        clock: Tells the time, aware.
        keep_s: For how long answers may be kept, seconds.
        require_running: Refuses an agreement that a member has ended; asked at every question.
    """

    agreement: SignedAgreement
    answers: Answers
    member: str
    policy: Policy
    kept: KeptPart
    part: FeatureHalf
    model: str
    ledger: ConsentLedger
    log: GroupCommit
    clock: Callable[[], datetime]
    keep_s: int
    require_running: Callable[[Agreement], None]

    @property
    def label_holder(self) -> str:
        """Who asks."""
        vertical = self.agreement.agreement.vertical
        return "" if vertical is None else vertical.label_holder

    @property
    def columns(self) -> Sequence[Column]:
        """This member's own columns that answers are made of."""
        read = frozenset(self.part.columns)
        return [column for column in self.agreement.agreement.columns if column.name in read]


@dataclass(slots=True)
class _Facts:
    """What is known about a question so far; the entry of a refused one says no more than this."""

    peer: str | None = None
    purpose: str | None = None
    rules: tuple[str | None, ...] = ()
    consent: ConsentState | None = None
    conversation: str | None = None


class Answering:
    """Answers questions.

    Args:
        site: What it works with.
        people: What is known of the common people.
        quota: Counts whom the label holder asks about, in all processes of this member, whether they are
            answered or refused.

    Attributes:
        epoch: Of the consents.
    """

    def __init__(self, site: PartSite, people: PartPeople, quota: Quota) -> None:
        self.site: Final = site
        self.epoch = os.urandom(EPOCH_BYTES)
        self._people = people
        self._quota = quota
        self._account = Account(site.agreement.agreement.id, site.label_holder)
        remembered = min(len(site.kept.people), _MOST_REMEMBERED)
        self._consents = Consents(site.ledger, str, site.member, remembered)  # they are pseudonyms already

    async def answer(self, body: bytes, identify: Callable[[], str]) -> bytes:
        """Answers one question.

        Args:
            body: The message, from anywhere.
            identify: Who asks, or raises.

        Returns:
            The reply; its entry is on disk.

        Raises:
            HanseError: Why it is refused. The refusal is on disk, unless the log itself is the reason.
        """
        facts = _Facts()
        try:
            reply = await self._decide(facts, body, identify)
        except Exception as raised:  # noqa: BLE001 - what failed leaves an entry, whatever failed
            error = known(raised)
            reasons = (error.code,) if error.rule is None else (error.code, error.rule)
            await self.site.log.append(self._event(facts, EventType.PART_DENIED, reasons))
            raise error from None
        facts.conversation = conversation(body, reply)
        await self.site.log.append(self._event(facts, EventType.PART_ANSWERED))
        return reply

    async def _decide(self, facts: _Facts, body: bytes, identify: Callable[[], str]) -> bytes:
        facts.peer = identify()
        question = read_question(body)
        facts.purpose = question.purpose
        self.site.require_running(self.site.agreement.agreement)
        self._require_known(question)
        now = self.site.clock()
        job = self._consents.open_call(self.site, question.caller, question.purpose, now)
        await self._charge(len(question.places), now)
        return (await self._reply(facts, question, job)).encode(body)

    def _require_known(self, question: Question) -> None:
        site = self.site
        if (question.model, question.part) != (site.model, site.kept.digest):
            raise ServingError("model.not-found", "a part, or a model, is asked for that is not the one here")
        if max(question.places) >= len(site.kept.people):
            raise ServingError("scoring.bad-input", "somebody is asked about who is not in common")

    async def _charge(self, people: int, now: datetime) -> None:
        limit = self.site.answers.daily_people
        try:
            await self._quota.charge(self._account, limit, people, now)
        except PolicyError as error:
            raise ServingError("scoring.partner-quota", f"more than {limit} people in a day") from error

    async def _reply(self, facts: _Facts, question: Question, job: Job) -> Reply:
        site = self.site
        epoch = self.epoch  # before the consents are read: what changes meanwhile is another epoch
        refs = [site.kept.people[place] for place in question.places]
        rules, hidden, facts.consent = self._consents.decide(site, job, refs)
        at = [one for one, rule in enumerate(rules) if rule is None]
        position = {old: new for new, old in enumerate(at)}
        hides = {
            name: [position[one] for one in places if one in position] for name, places in hidden.items()
        }
        known, answers = await self._people.answers([question.places[one] for one in at], hides)
        each = iter(known)
        answered = [rule is None and next(each) for rule in rules]
        facts.rules = tuple(None if one else _REFUSED for one in answered)
        return Reply(epoch, site.keep_s, answered, answers)

    def _event(self, facts: _Facts, kind: EventType, reasons: tuple[str, ...] = ()) -> Event:
        event = _event(
            kind,
            reasons,
            self.site.agreement.digest,
            facts.purpose if facts.purpose in PURPOSES else None,
            facts.peer,
            facts.consent,  # pyright: ignore[reportArgumentType] # frozen documents have a hash
            len(facts.rules),
            facts.rules.count(None),
            self.site.kept.digest,
        )
        return event.model_copy(update={"conversation": facts.conversation})


@lru_cache(maxsize=1024)
def _event(
    kind: EventType,
    reasons: tuple[str, ...],
    agreement: str,
    purpose: str | None,
    peer: str | None,
    consent: ConsentState | None,
    rows: int,
    answered: int,
    part: str,
) -> Event:
    """An entry without its conversation; most of them say the same, and are checked once."""
    by_rule = {_REFUSED: rows - answered} if answered < rows else {}
    return Event(
        type=kind,
        decision="permit" if kind is EventType.PART_ANSWERED else "deny",
        reasons=reasons,
        agreement=agreement,
        purpose=purpose,
        peer=peer,
        policy_digest=POLICY_DIGEST,
        consent=consent,
        counts=Counts(rows_in=rows, rows_out=answered, by_rule=by_rule) if rows else None,
        model_in=part,
    )


def require_answers(agreement: SignedAgreement, part: FeatureHalf) -> Answers:
    """What an agreement says of answers.

    Args:
        agreement: The agreement.
        part: What would answer.

    Raises:
        PolicyError: ``policy.denied`` (P13) if it lets feature holders answer nothing, or another form than
            the part has.
    """
    vertical = agreement.agreement.vertical
    if vertical is None or vertical.answers is None:
        raise PolicyError(
            "policy.denied",
            "by the agreement feature holders answer nothing about people who are scored: vertical.answers",
            rule="P13",
        )
    if vertical.answers.form != part.form.name:
        raise PolicyError(
            "policy.denied",
            f"by the agreement feature holders answer {vertical.answers.form}, and the part {part.form.name}",
            rule="P13",
        )
    return vertical.answers
