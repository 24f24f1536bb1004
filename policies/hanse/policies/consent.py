"""Consent events, and what stands after them.

The fields are those of ISO/IEC TS 27560 (field-compatible; the conformance of a deployment is not claimed).
An event records what was there, good or bad: a pre-ticked grant is kept as evidence and admits nothing. Only
what identifies the event is required; whatever else is missing makes the rules exclude the subject.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.policies.fields import (
    Classification,
    ColumnName,
    Country,
    Document,
    EventId,
    Many,
    PurposeKey,
    Sha256Hex,
    SubjectRef,
    Text,
    UtcTime,
    to_ms,
)
from hanse.policies.purposes import covered_by, is_known

State: TypeAlias = Literal[
    "requested", "given", "narrowed", "refused", "withdrawn", "expired", "invalidated", "objected"
]
"""What an event says. ``requested`` changes nothing; ``narrowed`` hides data and touches no grant (data
folding); everything after them ends what was given before."""

LegalBasis: TypeAlias = Literal[
    "consent", "contract", "legal_obligation", "vital_interest", "public_task", "legitimate_interest"
]
"""What the controller rests the use on."""

Method: TypeAlias = Literal["active_click", "signed", "verbal", "imported"]
"""How the subject acted; ``imported`` says that another system claims it, and shows no act."""

ACTIVE_METHODS: Final = frozenset({"active_click", "signed", "verbal"})
MAX_HIDDEN_COLUMNS: Final = 200
_SILENT: Final = frozenset({"requested", "narrowed"})  # states that say nothing about a grant
_NEVER: Final = -(1 << 62)  # earlier than every time


@dataclass(frozen=True)
class Terms:
    """What a subject was told and agreed to; shared by all who saw the same form.

    Attributes are those of :class:`ConsentEvent`; the time is in milliseconds since 1970.
    """

    controller: str | None
    recipients: tuple[str, ...]
    purposes: tuple[str, ...]
    categories: tuple[str, ...]
    notice_version: str | None
    notice_sha256: str | None
    notice_published_ms: int | None
    method: str | None
    preticked: bool | None
    bundled: bool | None
    jurisdiction: str | None
    storage_country: str | None
    legal_basis: str | None = None
    conditional: bool | None = None
    withdrawal_method: str | None = None
    hidden_columns: tuple[str, ...] = ()
    hidden_categories: tuple[str, ...] = ()

    @cached_property
    def parties(self) -> frozenset[str]:
        """Controller and recipients: everybody that the subject was told of."""
        named = frozenset(self.recipients)
        return named if self.controller is None else named | {self.controller}

    @cached_property
    def uses(self) -> tuple[str, ...]:
        """The purposes of use that an event on these terms is about: its own and those below, sorted."""
        return tuple(sorted({asked for purpose in self.purposes for asked in covered_by(purpose)}))


class Act(NamedTuple):
    """What an event says about one subject, without its terms; times in milliseconds since 1970."""

    event_id: str
    subject_ref: str
    state: str
    given_ms: int | None
    expires_ms: int | None
    recorded_ms: int
    guardian_ref: str | None = None
    age_at_least: int | None = None


class ConsentEvent(Document):
    """One thing that a subject, or time, did to a consent.

    Attributes:
        event_id: Unique for ever; the same event may be delivered twice.
        recorded_at: When the controller's system learned of it.
        subject_ref: Pseudonym of the subject.
        state: What happened.
        purposes: Purposes that it is about, at least one, all known.
        given_at: When the subject acted: gave, refused, withdrew.
        expires_at: When a grant ends by itself.
        controller: Organisation that asked.
        recipients: Organisations that were named as recipients.
        categories: Classes of data that were named.
        notice_version: Version of the notice that the subject saw.
        notice_sha256: Its digest.
        notice_published_at: When it was published.
        method: How the subject acted.
        preticked: Whether the box was ticked beforehand.
        bundled: Whether the purposes could not be chosen one by one.
        jurisdiction: Law that the subject is under.
        storage_country: Where the data is kept.
        legal_basis: What the controller rests the use on.
        conditional: Whether the service was refused to who did not agree.
        guardian_ref: Pseudonym of the guardian who acted for the subject.
        age_at_least: Years that the subject was known to have reached when they acted: a lower bound, so that
            no date of birth is kept.
        withdrawal_method: How the subject can withdraw, or did.
        hidden_columns: Columns that a ``narrowed`` event hides.
        hidden_categories: Classes of data that a ``narrowed`` event hides. Both replace what was hidden for
            the same purposes before; both empty unfold it.
    """

    event_id: EventId
    recorded_at: UtcTime
    subject_ref: SubjectRef
    state: State
    purposes: Annotated[Many[PurposeKey], Field(min_length=1, max_length=20)]
    given_at: UtcTime | None = None
    expires_at: UtcTime | None = None
    controller: Text | None = None
    recipients: Annotated[Many[Text], Field(max_length=100)] = ()
    categories: Annotated[Many[Classification], Field(max_length=10)] = ()
    notice_version: Text | None = None
    notice_sha256: Sha256Hex | None = None
    notice_published_at: UtcTime | None = None
    method: Method | None = None
    preticked: bool | None = None
    bundled: bool | None = None
    jurisdiction: Country | None = None
    storage_country: Country | None = None
    legal_basis: LegalBasis | None = None
    conditional: bool | None = None
    guardian_ref: SubjectRef | None = None
    age_at_least: Annotated[int, Field(ge=0, le=120)] | None = None
    withdrawal_method: Text | None = None
    hidden_columns: Annotated[Many[ColumnName], Field(max_length=MAX_HIDDEN_COLUMNS)] = ()
    hidden_categories: Annotated[Many[Classification], Field(max_length=10)] = ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not all(is_known(purpose) for purpose in self.purposes):
            raise PydanticCustomError("purposes", "name known purposes only")
        if self.state != "narrowed" and (self.hidden_columns or self.hidden_categories):
            # Recorded on a grant, it would look as if the data were hidden.
            raise PydanticCustomError("hidden", "only an event of state narrowed hides data; write it as one")
        # A withdrawal is never turned away, whatever its clock said; see `_end_ms`.
        if self.state == "given" and self.given_at is not None and self.given_at > self.recorded_at:
            raise PydanticCustomError("given_at", "given_at is in the future; correct it, or the clock")
        return self

    @property
    def act(self) -> Act:
        """What the event says about this subject alone."""
        return Act(
            self.event_id,
            self.subject_ref,
            self.state,
            None if self.given_at is None else to_ms(self.given_at),
            None if self.expires_at is None else to_ms(self.expires_at),
            to_ms(self.recorded_at),
            self.guardian_ref,
            self.age_at_least,
        )

    @property
    def terms(self) -> Terms:
        """What the event shares with the others that came from the same form."""
        published = self.notice_published_at
        return Terms(
            controller=self.controller,
            recipients=self.recipients,
            purposes=self.purposes,
            categories=self.categories,
            notice_version=self.notice_version,
            notice_sha256=self.notice_sha256,
            notice_published_ms=None if published is None else to_ms(published),
            method=self.method,
            preticked=self.preticked,
            bundled=self.bundled,
            jurisdiction=self.jurisdiction,
            storage_country=self.storage_country,
            legal_basis=self.legal_basis,
            conditional=self.conditional,
            withdrawal_method=self.withdrawal_method,
            hidden_columns=self.hidden_columns,
            hidden_categories=self.hidden_categories,
        )


class Standing(NamedTuple):
    """What stands for one subject and one purpose.

    Attributes:
        state: State of the event that decided.
        barrier_ms: When consent last ended; a grant must have been given later. None if it never ended.
        given_ms: When the standing grant was given.
        expires_ms: When it ends by itself.
        terms: Its terms; None unless ``state`` is ``given``.
        guardian: Whether a guardian gave the standing grant.
        age_at_least: Years that the subject had reached when it was given, as far as known.
    """

    state: str
    barrier_ms: int | None
    given_ms: int | None
    expires_ms: int | None
    terms: Terms | None
    guardian: bool = False
    age_at_least: int | None = None

    def has_ended(self, now_ms: int) -> bool:
        """Whether it is a grant that has ended by itself."""
        return self.state == "given" and self.expires_ms is not None and self.expires_ms <= now_ms


class Folding(NamedTuple):
    """What a subject hides, for one purpose, from whoever may use the rest (data folding).

    Attributes:
        hidden_columns: Names of columns.
        hidden_categories: Classes of columns.
        acted_ms: When the subject chose so, milliseconds since 1970.
    """

    hidden_columns: frozenset[str]
    hidden_categories: frozenset[str]
    acted_ms: int = 0

    @property
    def hides(self) -> bool:
        """Whether anything is hidden."""
        return bool(self.hidden_columns or self.hidden_categories)


def advance(standing: Standing | None, act: Act, terms: Terms) -> Standing | None:
    """What stands after one more event, in the order in which events were recorded.

    An end (withdrawal, refusal, …) ends everything that was recorded before it, even if its own clock says
    that it is older. A grant stands only if it was given after every end; of several, the one given last
    decides alone, so that a narrower new grant is never widened by an older one. Being asked, and hiding
    data, change no grant.

    Args:
        standing: What stood before; None if nothing was recorded.
        act: What the event says.
        terms: What the subject was told.

    Returns:
        What stands now; ``standing`` itself if the event changes nothing.
    """
    if act.state in _SILENT:
        return standing
    if act.state != "given":
        return Standing(act.state, max(_end_ms(act), _barrier_ms(standing)), None, None, None)
    if standing is not None and _time(act.given_ms) < _earliest_ms(standing):
        return standing
    barrier_ms = None if standing is None else standing.barrier_ms
    guardian = act.guardian_ref is not None
    return Standing(act.state, barrier_ms, act.given_ms, act.expires_ms, terms, guardian, act.age_at_least)


def fold(folding: Folding | None, act: Act, terms: Terms) -> Folding | None:
    """What is hidden after one more event. Only ``narrowed`` hides or unfolds; a new grant does not.

    Args:
        folding: What was hidden before; None if the subject never chose.
        act: What the event says.
        terms: What came with it.

    Returns:
        What the subject chose last; ``folding`` itself if the event changes nothing.
    """
    if act.state != "narrowed":
        return folding
    acted_ms = _end_ms(act)
    if folding is not None and acted_ms < folding.acted_ms:
        return folding
    return Folding(frozenset(terms.hidden_columns), frozenset(terms.hidden_categories), acted_ms)


def current_state(events: Iterable[ConsentEvent]) -> Mapping[tuple[str, str], Standing]:
    """What stands after all events, by subject and purpose of use.

    A grant stands for its purposes and those below; so does a withdrawal.

    Args:
        events: Events in the order in which they were recorded.

    Returns:
        The standing of every (subject_ref, purpose) about which something was decided.
    """
    return replay((event.act, event.terms) for event in events)


def replay(acts: Iterable[tuple[Act, Terms]]) -> dict[tuple[str, str], Standing]:
    """As :func:`current_state`, from the parts of the events."""
    return replay_all(acts)[0]


def current_foldings(events: Iterable[ConsentEvent]) -> Mapping[tuple[str, str], Folding]:
    """What is hidden after all events, by subject and purpose of use; unfolded ones are left out.

    Args:
        events: Events in the order in which they were recorded.

    Returns:
        The folding of every (subject_ref, purpose) for which something is hidden.
    """
    foldings = replay_all((event.act, event.terms) for event in events)[1]
    return {key: folding for key, folding in foldings.items() if folding.hides}


def replay_all(
    acts: Iterable[tuple[Act, Terms]],
) -> tuple[dict[tuple[str, str], Standing], dict[tuple[str, str], Folding]]:
    """Both projections at once: what stands, and what was chosen to be hidden (nothing, too)."""
    standings: dict[tuple[str, str], Standing] = {}
    foldings: dict[tuple[str, str], Folding] = {}
    for act, terms in acts:
        for purpose in terms.uses:
            key = (act.subject_ref, purpose)
            if (standing := advance(standings.get(key), act, terms)) is not None:
                standings[key] = standing
            if (folding := fold(foldings.get(key), act, terms)) is not None:
                foldings[key] = folding
    return standings, foldings


def _time(given_ms: int | None) -> int:
    return _NEVER if given_ms is None else given_ms


def _barrier_ms(standing: Standing | None) -> int:
    return _NEVER if standing is None or standing.barrier_ms is None else standing.barrier_ms


def _earliest_ms(standing: Standing) -> int:
    """When a grant must have been given to replace this: after every end, not before what stands."""
    after_end = _NEVER if standing.barrier_ms is None else standing.barrier_ms + 1
    return max(after_end, _time(standing.given_ms))


def _end_ms(act: Act) -> int:
    """When an end, or a folding, took effect: when the subject acted, but never later than it was known."""
    return act.recorded_ms if act.given_ms is None else min(act.given_ms, act.recorded_ms)
