"""What a release costs: the two mechanisms of this version, as values that are stored and sent.

A mechanism that is not one of these cannot be written down, so it cannot be charged, so it cannot be run.
Every event is for the unit *record* and the adjacency *add or remove one record*. For a record it makes no
difference whether its member released a figure alone, or all members released a sum together to which each
added a share of the noise: the noise that an event states is that which remains if as many members collude
or drop out as the run allows for. For a person with records at several members it does, so an event says
which of the two it was (:mod:`hanse.privacy.person`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from hanse.crypto import JsonValue
from hanse.errors import PrivacyError

MIN_NOISE_MULTIPLIER: Final = 0.1  # below it no epsilon of interest is reached, and the arithmetic degrades
MAX_NOISE_MULTIPLIER: Final = 1e6
MAX_COUNT: Final = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class GaussianRelease:
    """Sums of fixed sensitivity, published with Gaussian noise.

    Attributes:
        noise_multiplier: Standard deviation of the noise divided by the L2 sensitivity.
        count: How many such releases on the same records.
        shared: Whether each is one sum over the members, with shared noise.
    """

    noise_multiplier: float
    count: int = 1
    shared: bool = False

    def __post_init__(self) -> None:
        _check_noise(self.noise_multiplier)
        _check_count(self.count)


@dataclass(frozen=True, slots=True, order=True)
class SampledGaussian:
    """Steps of DP-SGD: a Poisson sample of the records, clipped gradients, Gaussian noise.

    Attributes:
        noise_multiplier: Standard deviation of the noise divided by the clipping norm.
        sample_rate: Probability with which each record enters a step, independently of all others.
        steps: Number of steps; a step that happened to sample nobody counts.
        shared: Whether each is one sum over the members, which sample independently of each other, with
            shared noise.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int
    shared: bool = False

    def __post_init__(self) -> None:
        _check_noise(self.noise_multiplier)
        _check_count(self.steps)
        if not 0 < self.sample_rate <= 1:
            raise PrivacyError("privacy.unsupported", "a sample rate is not in (0, 1]")


PrivacyEvent: TypeAlias = GaussianRelease | SampledGaussian

Mechanism: TypeAlias = (
    tuple[Literal["gaussian"], bool, float] | tuple[Literal["sampled_gaussian"], bool, float, float]
)
"""An event without its count: what two events must share to be added up."""


def mechanism(event: PrivacyEvent) -> Mechanism:
    """The event without its count."""
    if isinstance(event, GaussianRelease):
        return ("gaussian", event.shared, event.noise_multiplier)
    return ("sampled_gaussian", event.shared, event.noise_multiplier, event.sample_rate)


def times(event: PrivacyEvent) -> int:
    """How often the event's mechanism ran."""
    return event.count if isinstance(event, GaussianRelease) else event.steps


def merge_events(events: Iterable[PrivacyEvent]) -> tuple[PrivacyEvent, ...]:
    """Adds up events of the same mechanism, in an order that depends on nothing but the mechanisms.

    Args:
        events: Any number of events, in any order.

    Returns:
        One event per mechanism, sorted.
    """
    merged: dict[Mechanism, PrivacyEvent] = {}
    for event in events:
        kind = mechanism(event)
        known = merged.get(kind)
        merged[kind] = event if known is None else _repeat(event, times(known) + times(event))
    return tuple(merged[kind] for kind in sorted(merged))


def subtract_events(total: Iterable[PrivacyEvent], part: Iterable[PrivacyEvent]) -> tuple[PrivacyEvent, ...]:
    """What is left of a reservation.

    Args:
        total: What was reserved.
        part: What was spent of it.

    Returns:
        The rest, merged; mechanisms that are used up are left out.

    Raises:
        PrivacyError: ``privacy.exhausted`` if the part is more than the total.
    """
    left = {mechanism(event): event for event in merge_events(total)}
    for event in merge_events(part):
        reserved = left.pop(mechanism(event), None)
        if reserved is None or times(reserved) < times(event):
            raise PrivacyError("privacy.exhausted", "the run did not reserve what it is about to spend")
        if times(reserved) > times(event):
            left[mechanism(event)] = _repeat(event, times(reserved) - times(event))
    return tuple(left[kind] for kind in sorted(left))


def events_to_json(events: Iterable[PrivacyEvent]) -> list[JsonValue]:
    """The events as JSON values, as audit entries, ledgers and model manifests carry them."""
    return [_to_json(event) for event in events]


def events_from_json(value: JsonValue) -> tuple[PrivacyEvent, ...]:
    """Reads what :func:`events_to_json` wrote.

    Args:
        value: A JSON value from anywhere.

    Returns:
        The events.

    Raises:
        PrivacyError: ``privacy.unsupported`` for everything that is not a list of known mechanisms.
    """
    if not isinstance(value, list):
        raise PrivacyError("privacy.unsupported", "events are not a list")
    return tuple(_from_json(item) for item in value)


def _repeat(event: PrivacyEvent, number: int) -> PrivacyEvent:
    """The same mechanism, run that often."""
    if isinstance(event, GaussianRelease):
        return replace(event, count=number)
    return replace(event, steps=number)


def _to_json(event: PrivacyEvent) -> dict[str, JsonValue]:
    # Absent for releases of one member, as before there were others: what was written stays as it is.
    shared: dict[str, JsonValue] = {"shared": True} if event.shared else {}
    if isinstance(event, GaussianRelease):
        return {
            "kind": "gaussian",
            "noise_multiplier": event.noise_multiplier,
            "count": event.count,
            **shared,
        }
    return {
        "kind": "sampled_gaussian",
        "noise_multiplier": event.noise_multiplier,
        "sample_rate": event.sample_rate,
        "steps": event.steps,
        **shared,
    }


def _from_json(value: JsonValue) -> PrivacyEvent:
    match value:
        case {"kind": "gaussian", "noise_multiplier": float() as noise, "count": int() as count, **rest}:
            event: PrivacyEvent = GaussianRelease(noise, _no_bool(count), _take_shared(rest))
        case {
            "kind": "sampled_gaussian",
            "noise_multiplier": float() as noise,
            "sample_rate": float() as rate,
            "steps": int() as steps,
            **rest,
        }:
            event = SampledGaussian(noise, rate, _no_bool(steps), _take_shared(rest))
        case _:
            raise PrivacyError("privacy.unsupported", "an event is of no known mechanism")
    _check_no_rest(rest)
    return event


def _take_shared(rest: dict[Any, Any]) -> bool:
    """Takes the field out if it is there; it is written for true only."""
    if rest.get("shared") is True:
        return bool(rest.pop("shared"))
    return False


def _no_bool(value: int) -> int:
    """JSON ``true`` is an int to Python, but not a count."""
    if isinstance(value, bool):
        raise PrivacyError("privacy.unsupported", "a count is not a number")
    return value


def _check_no_rest(rest: Mapping[Any, Any]) -> None:
    """An unknown field may change what an event means."""
    if rest:
        raise PrivacyError("privacy.unsupported", "an event has unknown fields")


def _check_noise(noise_multiplier: float) -> None:
    if not (
        math.isfinite(noise_multiplier) and MIN_NOISE_MULTIPLIER <= noise_multiplier <= MAX_NOISE_MULTIPLIER
    ):
        raise PrivacyError(
            "privacy.unsupported",
            f"a noise multiplier is not in [{MIN_NOISE_MULTIPLIER}, {MAX_NOISE_MULTIPLIER:g}]",
        )


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_COUNT:
        raise PrivacyError("privacy.unsupported", f"a count is not in [1, {MAX_COUNT}]")
