"""What a run's events mean to a person who follows it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hanse.client.remote import RunEvent
from hanse.errors import CATALOGUE, HanseError

RUN_STARTED: Final = "run.started"
RUN_FAILED: Final = "run.failed"
RUN_FINISHED: Final = "run.finished"
ROUND_AGGREGATED: Final = "round.aggregated"
MODEL_REGISTERED: Final = "model.registered"
RUN_PREPARED: Final = "run.prepared"
RUN_EVALUATED: Final = "run.evaluated"
RUN_RESUMED: Final = "run.resumed"
MEMBER_LEFT: Final = "member.left"
MAXIMUM_ERROR: Final = 0.2
"""Standard error of an AUC above which the estimate says nothing."""


def describe(event: RunEvent) -> str:
    """One line about an event and what comes next, for a progress bar."""
    if event.type == ROUND_AGGREGATED:
        then = "evaluating" if _over(event) else f"round {event.round + 1} goes on"
        return f"round {event.round}{_took(event)}: AUC {auc_text(event.facts)} going in; {then}"
    if event.type == RUN_PREPARED:
        return f"prepared{_took(event)}; round 1 goes on"
    if event.type == RUN_RESUMED:
        return _resumed(event.facts)
    if event.type == RUN_EVALUATED:
        return f"evaluated{_took(event)}; registering the model"
    return "waiting for members, preparing" if event.type == RUN_STARTED else event.type.replace(".", " ")


def _resumed(facts: Mapping[str, Any]) -> str:
    """Who is waited for, and what to do."""
    attempt = f"going on, attempt {facts.get('attempt', '?')}"
    if not facts.get("gone"):
        return f"{attempt}: waiting for members"
    wait_s = facts.get("wait_s")
    longest = f" up to {wait_s:.0f} s" if isinstance(wait_s, int | float) else ""
    return f"{facts['gone']} is gone; {attempt}, waits{longest}: start its node again (hanse client)"


def seconds_text(facts: Mapping[str, Any]) -> str:
    """How long a step took, if the coordinator says it."""
    seconds = facts.get("seconds")
    return f"{seconds:.1f} s" if isinstance(seconds, int | float) else "not known"


def _took(event: RunEvent) -> str:
    return f" in {seconds_text(event.facts)}" if "seconds" in event.facts else ""


def auc_text(facts: Mapping[str, Any]) -> str:
    """The estimated AUC with its standard error, or that noise and few records leave none."""
    error = facts.get("auc_standard_error")
    if facts.get("auc") is None or error is None or error > MAXIMUM_ERROR:
        return "lost in noise"
    return f"{facts['auc']:.3f} ± {error:.3f}"


def registered_model(events: Sequence[RunEvent]) -> str:
    """Name and version of the model that a run ended with.

    Raises:
        HanseError: The error that the run ended with, or ``run.engine`` when its end was never told.
    """
    last = events[-1] if events else None
    if last is not None and last.type == RUN_FAILED:
        raise failure(events)
    if last is None or last.type != RUN_FINISHED or not isinstance(last.facts.get("model"), str):
        raise HanseError("run.engine", "the coordinator stopped telling of the run before its end")
    return str(last.facts["model"])


def kept_model(events: Sequence[RunEvent]) -> tuple[str, list[dict[str, Any]]]:
    """Name and version of the model that a sweep has kept, and all of its trials.

    Raises:
        HanseError: The error that the sweep ended with, or ``run.engine`` when its end was never told.
    """
    last = events[-1] if events else None
    if last is not None and last.type == RUN_FAILED:
        raise failure(events)
    if last is None or last.type != MODEL_REGISTERED or not isinstance(last.facts.get("trials"), list):
        raise HanseError("run.engine", "the coordinator stopped telling of the sweep before its end")
    return str(last.facts.get("model")), last.facts["trials"]


def failure(events: Sequence[RunEvent]) -> HanseError:
    """The error that a failed run ended with, in which step, and why each member that left did so.

    Args:
        events: All events of the run; the last one says that it failed.
    """
    event = events[-1]
    code = str(event.facts.get("code", "internal.error"))
    known = code if code in CATALOGUE else "internal.error"
    left = "".join(f"; {_why_left(e)}" for e in events if e.type == MEMBER_LEFT)
    message = event.facts.get("message", code)
    leaked = _leaked(events) if code == "policy.leakage" else ""
    told = f"run {event.run} ended{_where(events, code)}: {message}{leaked}{left}"
    return HanseError(known, told, rule=event.facts.get("rule"))


def _where(events: Sequence[RunEvent], code: str) -> str:
    """In which step a run has ended: the one after the last that is done; of a sweep there is none."""
    where = ""
    for event in events:
        if event.run != events[-1].run:  # a trial of the sweep that has ended
            continue
        if event.type == RUN_STARTED:
            where = " in the preparation"
        elif event.type == RUN_PREPARED:
            where = " in the training" if "aligned" in event.facts else " in round 1"
        elif event.type == ROUND_AGGREGATED:
            where = " in the evaluation" if _over(event) else f" in round {event.round + 1}"
        elif event.type in (RUN_EVALUATED, MODEL_REGISTERED):
            where = " in the registration"
    return " after the training" if code == "policy.leakage" else where


def _over(event: RunEvent) -> bool:
    """Whether a round was the last."""
    return event.facts.get("next") == "evaluation"


def _leaked(events: Sequence[RunEvent]) -> str:
    """What attacks reach at each feature holder, as the coordinator was told."""
    told = [e.facts["leakage"] for e in events if isinstance(e.facts.get("leakage"), dict)]
    areas = [(name, area) for each in told for name, area in each.items() if isinstance(area, int | float)]
    return "".join(f"; an attack on what {name} was sent reaches {area:.3f}" for name, area in areas)


def _why_left(event: RunEvent) -> str:
    """Who left and why, as far as others may know; what its node prints says where to look."""
    member, code = event.facts["member"], str(event.facts["code"])
    if code == "run.insufficient-members":  # what is noted of a member itself that falls silent
        return f"{member} left: it did not answer"
    meaning = f" ({CATALOGUE[code].public_message} Its node's output says more.)" if code in CATALOGUE else ""
    return f"{member} left: {code}{meaning}"
