"""Early warning: what a data protection officer has to act on before a rule refuses. Pure.

A *reading* is one figure of a site (the share of withdrawals of the last week, the days until the impact
assessment expires). It is held against a *limit* with two steps; a figure that ought to be there and is not
known is an alarm, because a rule that needs it would refuse. A figure that does not exist yet (a site that
has no model has none to retrain) is no reading.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from hanse.policies.agreement import Agreement
from hanse.policies.packs import Policy

OURS: Final = "default of Hanse, not law"
_AGREEMENT: Final = "agreement"
_UNKNOWN_FIRST: Final = float("-inf")


class Level(StrEnum):
    """How urgent it is."""

    OK = "ok"
    WARN = "warn"
    ALARM = "alarm"


class Watch(StrEnum):
    """What is watched; the name of the metric without its prefix, unit included."""

    WITHDRAWALS = "withdrawn_ratio"
    DENIALS = "denied_ratio"
    BUDGET = "budget_used_ratio"
    EXPIRING = "consents_expiring_ratio"
    OUTDATED = "consents_old_notice_ratio"
    ASSESSMENT = "assessment_left_days"
    AGREEMENT = "agreement_left_days"
    CERTIFICATE = "certificate_left_days"
    CONTACT = "ledger_contact_hours"
    UNACKNOWLEDGED = "withdrawals_unacknowledged_hours"
    MODEL_WITHDRAWN = "model_withdrawn_ratio"
    MODEL_DUE = "model_withdrawn_days"
    WITNESS = "log_refused_hours"


@dataclass(frozen=True, slots=True)
class Watched:
    """What is to be known of one watched figure.

    Attributes:
        words: What it is, for people.
        unit: ``ratio``, ``days`` or ``hours``.
        low_is_bad: Whether small figures are the urgent ones.
        rule: The rule that refuses in the end; None if none does.
        advice: What to do.
    """

    words: str
    unit: str
    low_is_bad: bool
    rule: str | None
    advice: str


WATCHED: Final = MappingProxyType(
    {
        Watch.WITHDRAWALS: Watched(
            "consents withdrawn in the last 7 days",
            "ratio",
            low_is_bad=False,
            rule="P10",
            advice="ask why people withdraw: read the notice and the last campaign; plan a retraining",
        ),
        Watch.DENIALS: Watched(
            "decisions denied in the last 7 days",
            "ratio",
            low_is_bad=False,
            rule=None,
            advice="see which rules deny: hanse audit show; then correct the caller or the agreement",
        ),
        Watch.BUDGET: Watched(
            "privacy budget used",
            "ratio",
            low_is_bad=False,
            rule="P18",
            advice="plan no further run, or agree on another budget by an amendment; it is never refunded",
        ),
        Watch.EXPIRING: Watched(
            "consents that expire in the next 30 days",
            "ratio",
            low_is_bad=False,
            rule="P10",
            advice="ask again before they expire; whoever does not answer is left out",
        ),
        Watch.OUTDATED: Watched(
            "consents on an older main version of the notice",
            "ratio",
            low_is_bad=False,
            rule="P05",
            advice="ask again with the current notice; until then these people are left out",
        ),
        Watch.ASSESSMENT: Watched(
            "until the impact assessment expires",
            "days",
            low_is_bad=True,
            rule="P19",
            advice="make the assessment anew and amend the agreement; without it no run starts",
        ),
        Watch.AGREEMENT: Watched(
            "until the agreement ends",
            "days",
            low_is_bad=True,
            rule="P12",
            advice="sign an amendment, or plan the deletion of rows, caches and models",
        ),
        Watch.CERTIFICATE: Watched(
            "until a certificate of this site expires",
            "days",
            low_is_bad=True,
            rule=None,
            advice="make a new certificate and hand the new identity.json to the others",
        ),
        Watch.CONTACT: Watched(
            "since a source last fed the consent ledger",
            "hours",
            low_is_bad=False,
            rule="P10",
            advice="import the consent events; a site whose ledger is stale may not join a round",
        ),
        Watch.UNACKNOWLEDGED: Watched(
            "oldest withdrawal that this site's log has not acknowledged",
            "hours",
            low_is_bad=False,
            rule="P11",
            advice="record it in the log (hanse consent withdraw does) and tell the partners",
        ),
        Watch.MODEL_WITHDRAWN: Watched(
            "of the model's cohort have withdrawn since it was trained",
            "ratio",
            low_is_bad=False,
            rule="P11",
            advice="train the model anew now; do not start from its weights",
        ),
        Watch.MODEL_DUE: Watched(
            "since the first withdrawal that the model in use still contains",
            "days",
            low_is_bad=False,
            rule="P11",
            advice="train the model anew before the deadline, and retire this version",
        ),
        Watch.WITNESS: Watched(
            "since this site's witness refused the coordinator's log and nobody has looked",
            "hours",
            low_is_bad=False,
            rule="P28",
            advice="compare the two checkpoints: hanse audit refusals; no round runs here until then",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on a figure is a warning, and from where on an alarm; both included.

    Attributes:
        warn: First step.
        alarm: Second step.
        source: Who set the second one: the agreement, a rule pack, or :data:`OURS`.
    """

    warn: float
    alarm: float
    source: str = OURS


DEFAULT_LIMITS: Final[Mapping[Watch, Limit]] = MappingProxyType(
    {
        Watch.WITHDRAWALS: Limit(0.005, 0.02),
        Watch.DENIALS: Limit(0.05, 0.2),
        Watch.BUDGET: Limit(0.5, 0.9),
        Watch.EXPIRING: Limit(0.1, 0.3),
        Watch.OUTDATED: Limit(0.1, 0.3),
        Watch.ASSESSMENT: Limit(30, 7),
        Watch.AGREEMENT: Limit(30, 7),
        Watch.CERTIFICATE: Limit(30, 7),
        Watch.CONTACT: Limit(18, 24),
        Watch.UNACKNOWLEDGED: Limit(12, 24),
        Watch.MODEL_WITHDRAWN: Limit(0.0025, 0.005),
        Watch.MODEL_DUE: Limit(15, 30),
        Watch.WITNESS: Limit(0.0001, 0.0002),
    }
)
"""All of them our defaults, not law; :func:`limits_of` puts what is stricter in their place."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure of a site.

    Attributes:
        watch: What it is.
        scope: What it is about: the name of an agreement, a model or a file.
        value: The figure, in the unit of its watch; None if it ought to be known and is not.
        since: Since when it is so, if that is known.
        people: How many people it counts, if it counts people.
    """

    watch: Watch
    scope: str
    value: float | None
    since: datetime | None = None
    people: int | None = None

    def hidden(self, suppress_below: int) -> bool:
        """Whether the figure would give a count away that is too small to be shown."""
        return self.people is not None and 0 < self.people < suppress_below


@dataclass(frozen=True, slots=True)
class EarlyWarning:
    """A reading held against its limit.

    Attributes:
        reading: The figure.
        limit: The limit.
        level: What follows.
    """

    reading: Reading
    limit: Limit
    level: Level

    @property
    def watched(self) -> Watched:
        """What is to be known of the figure."""
        return WATCHED[self.reading.watch]


def early_warnings(
    readings: Iterable[Reading], limits: Mapping[Watch, Limit] = DEFAULT_LIMITS
) -> tuple[EarlyWarning, ...]:
    """Holds every reading against its limit.

    Args:
        readings: The figures of a site.
        limits: A limit for each of them; one that is missing makes its readings alarms.

    Returns:
        One per reading, the most urgent first, then by what and about what it is.
    """
    judged = [_judge(reading, limits.get(reading.watch)) for reading in readings]
    order = {Level.ALARM: 0, Level.WARN: 1, Level.OK: 2}
    return tuple(sorted(judged, key=lambda w: (order[w.level], w.reading.watch.value, w.reading.scope)))


def limits_of(agreement: Agreement, policy: Policy) -> Mapping[Watch, Limit]:
    """The limits of one agreement: the strictest of ours, its own and those of its rule packs.

    Args:
        agreement: The agreement.
        policy: Its merged rule packs.

    Returns:
        A limit for everything that is watched.
    """
    terms = agreement.consent
    own = {
        Watch.CONTACT: [(terms.propagation_hours, _AGREEMENT), _set(policy, "maximum_propagation_age_hours")],
        Watch.UNACKNOWLEDGED: [(terms.acknowledge_hours, _AGREEMENT), _set(policy, "acknowledgement_hours")],
        Watch.MODEL_DUE: [(terms.retrain_days, _AGREEMENT), _set(policy, "retraining_days")],
        Watch.MODEL_WITHDRAWN: [_set(policy, "retraining_withdrawn_share")],
    }
    return MappingProxyType(
        {watch: _strictest(limit, own.get(watch, [])) for watch, limit in DEFAULT_LIMITS.items()}
    )


def _set(policy: Policy, name: str) -> tuple[float, str]:
    restriction = policy.thresholds[name]
    sources = ", ".join(restriction.sources)
    return float(restriction.value), f"{sources}; {OURS}" if restriction.ours else sources


def _strictest(default: Limit, others: list[tuple[float, str]]) -> Limit:
    """The smallest second step, with the first one in the same proportion as by default."""
    alarm, source = min([(default.alarm, default.source), *others], key=lambda item: item[0])
    return default if alarm == default.alarm else Limit(alarm * default.warn / default.alarm, alarm, source)


def _judge(reading: Reading, limit: Limit | None) -> EarlyWarning:
    if limit is None:
        return EarlyWarning(reading, Limit(_UNKNOWN_FIRST, _UNKNOWN_FIRST, "no limit is set"), Level.ALARM)
    return EarlyWarning(reading, limit, _level(reading, limit))


def _level(reading: Reading, limit: Limit) -> Level:
    """Written so that a figure that is no number fails every comparison, and is an alarm."""
    if reading.value is None:
        return Level.ALARM
    sign = -1 if WATCHED[reading.watch].low_is_bad else 1
    if sign * reading.value < sign * limit.warn:
        return Level.OK
    return Level.WARN if sign * reading.value < sign * limit.alarm else Level.ALARM
