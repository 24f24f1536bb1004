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

State: TypeAlias = Literal["given", "refused", "withdrawn", "expired", "invalidated", "objected"]
"""What an event says; everything but ``given`` ends what was given before."""

Method: TypeAlias = Literal["active_click", "signed", "verbal", "imported"]
"""How the subject acted; ``imported`` says that another system claims it, and shows no act."""

ACTIVE_METHODS: Final = frozenset({"active_click", "signed", "verbal"})
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

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not all(is_known(purpose) for purpose in self.purposes):
            raise PydanticCustomError("purposes", "name known purposes only")
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
        )


class Standing(NamedTuple):
    """What stands for one subject and one purpose.

    Attributes:
        state: State of the event that decided.
        barrier_ms: When consent last ended; a grant must have been given later. None if it never ended.
        given_ms: When the standing grant was given.
        expires_ms: When it ends by itself.
        terms: Its terms; None unless ``state`` is ``given``.
    """

    state: str
    barrier_ms: int | None
    given_ms: int | None
    expires_ms: int | None
    terms: Terms | None


def advance(standing: Standing | None, act: Act, terms: Terms) -> Standing:
    """What stands after one more event, in the order in which events were recorded.

    An end (withdrawal, refusal, …) ends everything that was recorded before it, even if its own clock says
    that it is older. A grant stands only if it was given after every end; of several, the one given last
    decides alone, so that a narrower new grant is never widened by an older one.

    Args:
        standing: What stood before; None if nothing was recorded.
        act: What the event says.
        terms: What the subject was told.

    Returns:
        What stands now; ``standing`` itself if the event changes nothing.
    """
    if act.state != "given":
        return Standing(act.state, max(_end_ms(act), _barrier_ms(standing)), None, None, None)
    if standing is not None and _time(act.given_ms) < _earliest_ms(standing):
        return standing
    barrier_ms = None if standing is None else standing.barrier_ms
    return Standing(act.state, barrier_ms, act.given_ms, act.expires_ms, terms)


def current_state(events: Iterable[ConsentEvent]) -> Mapping[tuple[str, str], Standing]:
    """What stands after all events, by subject and purpose of use.

    A grant stands for its purposes and those below; so does a withdrawal.

    Args:
        events: Events in the order in which they were recorded.

    Returns:
        The standing of every (subject_ref, purpose) that an event was about.
    """
    return replay((event.act, event.terms) for event in events)


def replay(acts: Iterable[tuple[Act, Terms]]) -> dict[tuple[str, str], Standing]:
    """As :func:`current_state`, from the parts of the events."""
    state: dict[tuple[str, str], Standing] = {}
    for act, terms in acts:
        for purpose in terms.uses:
            key = (act.subject_ref, purpose)
            state[key] = advance(state.get(key), act, terms)
    return state


def _time(given_ms: int | None) -> int:
    return _NEVER if given_ms is None else given_ms


def _barrier_ms(standing: Standing | None) -> int:
    return _NEVER if standing is None or standing.barrier_ms is None else standing.barrier_ms


def _earliest_ms(standing: Standing) -> int:
    """When a grant must have been given to replace this: after every end, not before what stands."""
    after_end = _NEVER if standing.barrier_ms is None else standing.barrier_ms + 1
    return max(after_end, _time(standing.given_ms))


def _end_ms(act: Act) -> int:
    """When an end took effect: when the subject acted, but never later than when it was known."""
    return act.recorded_ms if act.given_ms is None else min(act.given_ms, act.recorded_ms)
