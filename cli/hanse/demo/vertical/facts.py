"""What the vertical demo shows a person: the one document behind its tables and its page.

Figures marked "demo only" need everybody's columns or identifiers in one place; the demo has them because it
made them up. The JSON that ``--json`` writes is another document, for programs.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal, TypeAlias

from hanse.demo.results import Auc, Count, Facts, LogFacts, NonNegative
from hanse.demo.vertical.rivals import Rivals
from hanse.demo.vertical.story import Story
from hanse.learning.vertical.runs.manifest import VerticalManifest
from hanse.policies import Agreement
from hanse.policies.agreement.vertical_statements import learned_by, relied_on

Kind: TypeAlias = Literal["alone", "federated", "pooled"]
_PHASES: Final = {"prepared": "align", "trained": "train", "evaluated": "evaluate"}


class PartyFacts(Facts):
    """One member.

    Attributes:
        name: Name in the agreement.
        organisation: Made-up name of the organisation.
        labelled: Whether it has the label.
        people: Its people.
        columns: Its columns.
        left_out: Columns that it has and does not use, with the reason.
    """

    name: str
    organisation: str
    labelled: bool
    people: Count
    columns: tuple[str, ...]
    left_out: dict[str, str]


class ModelQuality(Facts):
    """One model on the held-out common people.

    Attributes:
        name: What was trained on which columns.
        kind: How it is drawn: of one party, of this run, or of everything in one place.
        auc: Area under the ROC curve; None where it is not known.
        standard_error: Of drawing the people; None where it was not computed.
        remark: What it is for.
    """

    name: str
    kind: Kind
    auc: Auc | None
    standard_error: NonNegative | None = None
    remark: str = ""


class Sent(Facts):
    """What one party said to another in one phase.

    Attributes:
        phase: ``align``, ``train`` or ``evaluate``.
        sender: Who said it.
        receiver: To whom.
        size_bytes: How much.
        digest: Of all that the two said to each other in the phase, as in both logs; empty of what is dealt.
    """

    phase: str
    sender: str
    receiver: str
    size_bytes: Count
    digest: str = ""


class Learned(Facts):
    """One thing that a party learned beside what it had."""

    party: str
    text: str


class Attack(Facts):
    """A known attack on labels.

    Attributes:
        party: At whom it was run, on what was sent there.
        name: The attack.
        on: What it read.
        auc: What it reached; None where nothing that depends on labels was sent.
        allowed: The largest area with which a model is released; None of what is agreed, and not judged.
    """

    party: str
    name: str
    on: str
    auc: Auc | None
    allowed: Auc | None


class Asked(Facts):
    """One call of the label holder's calling system, and what came of it.

    Attributes:
        about: What the caller asked, in words.
        purpose: The use that it declared.
        people: How many it asked about.
        joint: Scored on everybody's columns.
        own_columns: Scored on the label holder's columns alone, and marked so.
        denied: Not scored, by the rule.
        code: Error code of a call that was refused; None of one that was answered.
        latency_ms: Milliseconds at the caller, with a new connection.
    """

    about: str
    purpose: str
    people: Count
    joint: Count
    own_columns: Count
    denied: dict[str, Count]
    code: str | None
    latency_ms: NonNegative

    @property
    def refused(self) -> int:
        """People without a score."""
        return self.people - self.joint - self.own_columns


class Scored(Facts):
    """What came of all calls.

    Attributes:
        calls: In order.
        withdrawal_s: Seconds from a withdrawal at another member to the first call that was refused.
    """

    calls: tuple[Asked, ...]
    withdrawal_s: NonNegative


class VerticalFacts(Facts):
    """Everything that is shown.

    Attributes:
        version: Of Hanse.
        started_at: Start, UTC.
        duration_s: Until all logs were verified, seconds.
        title: What is predicted of whom.
        model: Kind of the model.
        agreement_id: Name of the agreement.
        agreement_digest: Its SHA-256.
        assumption: What its signers rely on.
        parties: The label holder, then the others.
        common: People in common, as the members found them.
        held_out: How many of them the figures rest on.
        quality: Models next to each other.
        sent: What crossed the wire.
        learned: What each party learned.
        attacks: What known attacks reach.
        scored: What a calling system was told.
        logs: Every log.
        findings: What they do not account for.
    """

    version: str
    started_at: datetime
    duration_s: NonNegative
    title: str
    model: str
    agreement_id: str
    agreement_digest: str
    assumption: str
    parties: tuple[PartyFacts, ...]
    common: Count
    held_out: Count
    quality: tuple[ModelQuality, ...]
    sent: tuple[Sent, ...]
    learned: tuple[Learned, ...]
    attacks: tuple[Attack, ...]
    scored: Scored
    logs: tuple[LogFacts, ...]
    findings: tuple[str, ...]

    @property
    def joint(self) -> ModelQuality:
        """The model of this run."""
        return next(one for one in self.quality if one.kind == "federated")


def parties_of(story: Story) -> tuple[PartyFacts, ...]:
    """Who knows what."""
    return tuple(
        PartyFacts(
            name=holder.name,
            organisation=holder.organisation,
            labelled=place == 0,
            people=len(holder.person),
            columns=tuple(column.name for column in holder.columns),
            left_out=dict(holder.left_out),
        )
        for place, holder in enumerate(story.holders)
    )


def quality_of(manifest: VerticalManifest, rivals: Rivals) -> tuple[ModelQuality, ...]:
    """The models on the same held-out people."""
    metrics = manifest.metrics
    error = metrics.get("auc_standard_error")
    return (
        ModelQuality(
            name="label holder alone",
            kind="alone",
            auc=metrics.get("auc_alone"),
            remark="its own columns; stays if the others leave",
        ),
        *(
            ModelQuality(name=f"{name} alone, if it had the label", kind="alone", auc=area)
            for name, area in rivals.partners.items()
        ),
        ModelQuality(
            name="late fusion",
            kind="alone",
            auc=rivals.late_fusion,
            remark="everybody trains alone, log-odds added",
        ),
        ModelQuality(
            name="joint (this run)",
            kind="federated",
            auc=metrics.get("auc"),
            standard_error=error,
            remark="" if error is None else f"± {error:.3f} (standard error)",
        ),
        ModelQuality(
            name="pooled",
            kind="pooled",
            auc=rivals.pooled,
            remark="all columns in one place, which nobody may have",
        ),
    )


def sent_of(manifest: VerticalManifest) -> tuple[Sent, ...]:
    """Bytes by phase and direction. What members say to each other is sealed; the coordinator relays it."""
    said = [
        Sent(
            phase=_PHASES[one.phase],
            sender=one.between[way],
            receiver=one.between[1 - way],
            size_bytes=one.sent[way],
            digest=one.digest,
        )
        for one in manifest.conversations
        for way in (0, 1)
    ]
    dealt = (
        Sent(phase="train", sender="coordinator", receiver=name, size_bytes=count)
        for name, count in manifest.dealt.items()
    )
    return (*said, *dealt)


def learned_of(manifest: VerticalManifest) -> tuple[Learned, ...]:
    """What each party learned beside what it had."""
    return tuple(
        Learned(party=party, text=line.en)
        for party in (*manifest.parts, "coordinator")
        for line in learned_by(manifest.vertical, manifest.training.model, party)
    )


def attacks_of(manifest: VerticalManifest) -> Iterator[Attack]:
    """The worst attack on what each feature holder was sent, and those on what it may know."""
    for report in manifest.leakage:
        most = max(manifest.vertical.maximum_leakage, report.chance)
        worst = report.worst
        if worst is None:
            on = "nothing that depends on labels was sent"
            yield Attack(party=report.party, name="none", on=on, auc=None, allowed=most)
        else:
            name = f"{worst.attack}, the worst"
            yield Attack(party=report.party, name=name, on=worst.seen, auc=worst.leaked, allowed=most)
        for known in report.disclosed:
            yield Attack(party=report.party, name=known.attack, on=known.seen, auc=known.area, allowed=None)


def assumption_of(agreement: Agreement) -> str:
    """What those who sign rely on."""
    assert agreement.vertical is not None  # noqa: S101 - the demo's has it
    return relied_on(agreement.vertical, agreement.training.model).en
