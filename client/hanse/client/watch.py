"""Reads from a site's own files the figures that early warnings are about. It writes nothing.

The consent ledger, the audit log (verified from its first byte), the privacy ledger, the agreements that the
site ran and the models that it fetched. Nothing here asks another site, so a partner's acknowledgement of a
withdrawal is not among the figures: only whether this site's own log has taken notice of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hanse.audit import Entry, EventType, verify_log
from hanse.client.consents import open_ledger
from hanse.client.home import MemberHome
from hanse.client.logs import log_place
from hanse.client.packs import policy_of
from hanse.client.refusals import open_refusals
from hanse.client.settings import NodeSettings
from hanse.crypto import VerifierKey, certificate_end
from hanse.learning import LoadedModel, load_model
from hanse.policies import Agreement, Identity, Terms, read_unverified
from hanse.policies.fields import from_ms, to_ms
from hanse.policies.ledger import StandingRow
from hanse.policies.warning import EarlyWarning, Reading, Watch, early_warnings, limits_of

WINDOW: Final = timedelta(days=7)
EXPIRING: Final = timedelta(days=30)
PARTS: Final = ("training", "holdout")
_ENDED: Final = frozenset({"withdrawn", "objected"})
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class ConsentFigures:
    """What a consent ledger says about one agreement, in numbers of people.

    Attributes:
        given: Whose grant stands now.
        withdrawn: Who withdrew or objected within :data:`WINDOW`.
        expiring: Whose grant ends by itself within :data:`EXPIRING`.
        outdated: Whose grant rests on an older main version of the notice.
        by_notice: Standing grants by version of the notice.
        ended_ms: When each grant ended that did not end by itself, milliseconds since 1970.
    """

    given: int = 0
    withdrawn: int = 0
    expiring: int = 0
    outdated: int = 0
    by_notice: Counter[str] = field(default_factory=Counter)
    ended_ms: list[int] = field(default_factory=list)


class Watching(NamedTuple):
    """Everything that is watched at a site, at one moment.

    Attributes:
        warnings: Readings against limits, the most urgent first.
        notices: By name of the agreement: standing grants by version of the notice.
        suppress_below: Counts of people below this are not shown.
    """

    warnings: tuple[EarlyWarning, ...]
    notices: Mapping[str, Mapping[str, int]]
    suppress_below: int


def watch_site(home: MemberHome, now: datetime) -> Watching:
    """Reads the figures of a member and holds them against the limits of its agreements.

    Args:
        home: The member's folder.
        now: The current time, UTC.

    Returns:
        Warnings per agreement, and per site.

    Raises:
        HanseError: When a file of the site cannot be read or does not verify.
    """
    agreements = newest(read_unverified(path.read_bytes()) for path in home.agreements.glob("*.agreement"))
    verifier = VerifierKey.decode(Identity.load(home.identity).node_key)
    # Parsed once, here; so the verification need not parse them.
    entries = list(verify_log(log_place(home), verifier, origin=verifier.name, detailed=False).entries)
    site = [*denials(entries, now), *_certificates(home, now), _refused(home, now)]
    judged = list(early_warnings(site))
    notices: dict[str, Mapping[str, int]] = {}
    for agreement in agreements:
        figures, readings = _consent(home, agreement, entries, now)
        readings += [*deadlines(agreement, now), *_budget(home, agreement)]
        model = _newest_model(home, agreement)
        readings += [] if model is None else model_readings(model, entries, figures, now)
        judged += early_warnings(readings, limits_of(agreement, policy_of(home, agreement)))
        notices[agreement.id] = dict(figures.by_notice)
    below = max((agreement.cohort.suppress_below for agreement in agreements), default=1)
    return Watching(tuple(sorted(judged, key=_urgency)), notices, below)


def newest(agreements: Iterable[Agreement]) -> list[Agreement]:
    """The last version of each agreement, by name."""
    found: dict[str, Agreement] = {}
    for agreement in agreements:
        if agreement.id not in found or agreement.version > found[agreement.id].version:
            found[agreement.id] = agreement
    return [found[name] for name in sorted(found)]


def consent_figures(
    rows: Iterable[StandingRow], terms: Mapping[int, Terms], agreement: Agreement, now: datetime
) -> ConsentFigures:
    """Counts what stands for an agreement's purpose. Pure.

    Args:
        rows: What stands, for any purposes.
        terms: The terms that rows name.
        agreement: The agreement.
        now: The current time.
    """
    figures, now_ms = ConsentFigures(), to_ms(now)
    window_ms, horizon_ms = to_ms(now - WINDOW), to_ms(now + EXPIRING)
    majors = _majors(agreement, now)
    for row in rows:
        if row.purpose != agreement.purpose:
            continue
        if row.barrier_ms is not None and row.state in _ENDED | {"given"}:
            figures.ended_ms.append(row.barrier_ms)
            figures.withdrawn += row.state in _ENDED and row.barrier_ms >= window_ms
        if row.state == "given" and row.expires_ms is not None and row.expires_ms > now_ms:
            form = None if row.terms_id is None else terms.get(row.terms_id)
            version = None if form is None else form.notice_version
            figures.given += 1
            figures.expiring += row.expires_ms <= horizon_ms
            figures.outdated += form is None or (form.controller, _major(version)) not in majors
            figures.by_notice[version or "none"] += 1
    return figures


def denials(entries: Sequence[Entry], now: datetime) -> list[Reading]:
    """The share of decisions of the last days that were denials; nothing if there was no decision."""
    decisions = [e.decision for e in entries if e.decision is not None and e.at >= now - WINDOW]
    if not decisions:
        return []
    return [Reading(Watch.DENIALS, "site", decisions.count("deny") / len(decisions), now - WINDOW)]


def deadlines(agreement: Agreement, now: datetime) -> list[Reading]:
    """Days until agreement and impact assessment end."""
    assessed = (agreement.assessment.expires_at - now) / _DAY
    agreed = (agreement.valid_until - now) / _DAY
    return [
        Reading(Watch.ASSESSMENT, agreement.id, assessed, agreement.assessment.approved_at),
        Reading(Watch.AGREEMENT, agreement.id, agreed, agreement.valid_from),
    ]


def model_readings(
    model: LoadedModel, entries: Sequence[Entry], figures: ConsentFigures, now: datetime
) -> list[Reading]:
    """Withdrawals since a model was trained, of its cohort and since the first of them.

    Whoever withdrew since is taken to be in the model: the ledger does not say who was, so the figure is the
    highest that it can be.

    Args:
        model: The newest model.
        entries: The site's log, which says how many rows the model's run admitted.
        figures: What the ledger says now.
        now: The current time.
    """
    manifest = model.manifest
    cohorts = [
        int(entry.counts.rows_out)
        for entry in entries
        if entry.type is EventType.ROUND_ADMITTED and entry.run == manifest.run and entry.counts is not None
    ]
    trained_ms = to_ms(manifest.created_at)
    since = [ended for ended in figures.ended_ms if ended > trained_ms]
    first = from_ms(min(since)) if since else None
    share = len(since) / cohorts[-1] if cohorts and cohorts[-1] else None
    overdue = 0.0 if first is None else (now - first) / _DAY
    return [
        Reading(Watch.MODEL_WITHDRAWN, manifest.reference, share, manifest.created_at, len(since)),
        Reading(Watch.MODEL_DUE, manifest.reference, overdue, first),
    ]


def _consent(
    home: MemberHome, agreement: Agreement, entries: Sequence[Entry], now: datetime
) -> tuple[ConsentFigures, list[Reading]]:
    logged = max((entry.consent.head for entry in entries if entry.consent is not None), default=0)
    with open_ledger(home) as ledger:
        standing = ledger.standing_rows()
        synced_at, head = standing.synced_at, standing.head
        figures = consent_figures(standing.rows, standing.terms, agreement, now)
        # A head of 0 would ask for everybody, and a log that knows of no consent has acknowledged nothing.
        later = ledger.standing_rows(since=logged).rows if head > logged else iter(())
        unknown = [
            row.barrier_ms
            for row in later
            if row.purpose == agreement.purpose and row.state in _ENDED and row.barrier_ms is not None
        ]
    oldest = from_ms(min(unknown)) if unknown else None
    waiting = 0.0 if oldest is None else (now - oldest) / _HOUR
    contact = None if synced_at is None else (now - synced_at) / _HOUR
    name = agreement.id
    readings = [
        Reading(Watch.CONTACT, name, contact, synced_at),
        Reading(Watch.UNACKNOWLEDGED, name, waiting, oldest),
    ]
    if figures.given + figures.withdrawn:
        total = figures.given + figures.withdrawn
        share = figures.withdrawn / total
        readings.append(Reading(Watch.WITHDRAWALS, name, share, now - WINDOW, figures.withdrawn))
    if figures.given:
        readings += [
            Reading(Watch.EXPIRING, name, figures.expiring / figures.given, None, figures.expiring),
            Reading(Watch.OUTDATED, name, figures.outdated / figures.given, None, figures.outdated),
        ]
    return figures, readings


def _budget(home: MemberHome, agreement: Agreement) -> Iterator[Reading]:
    """What was spent of the budget, by the part of the records that spent more of it."""
    budget = agreement.privacy
    if budget is None:
        return
    population = NodeSettings.load(home.root).dataset.name
    # Imported here: the accountant takes seconds to load, and every command would wait for it.
    from hanse.privacy import LedgerKey, PrivacyLedger  # noqa: PLC0415

    ledger = PrivacyLedger(home.privacy)
    spent = max(
        ledger.spent(LedgerKey(f"{population}:{part}", agreement.purpose), budget.delta) for part in PARTS
    )
    yield Reading(Watch.BUDGET, agreement.id, spent / budget.epsilon)


def _certificates(home: MemberHome, now: datetime) -> Iterator[Reading]:
    for path in (home.tls_certificate, home.serving_certificate):
        left = (certificate_end(path.read_bytes()) - now) / _DAY if path.is_file() else None
        yield Reading(Watch.CERTIFICATE, path.name, left)


def _refused(home: MemberHome, now: datetime) -> Reading:
    """How long ago the witness refused the coordinator's log and nobody has looked; 0 if it has not."""
    times = [refusal.time for refusal in open_refusals(home)]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return Reading(Watch.WITNESS, "site", None)
    since = min(known, default=None)
    return Reading(Watch.WITNESS, "site", 0.0 if since is None else (now - since) / _HOUR, since)


def _newest_model(home: MemberHome, agreement: Agreement) -> LoadedModel | None:
    verifier = VerifierKey.decode(agreement.coordinator.key)
    models = [load_model(path, verifier) for path in home.models.glob(f"{agreement.id}@*")]
    return max(models, key=lambda model: model.manifest.version, default=None)


def _majors(agreement: Agreement, now: datetime) -> frozenset[tuple[str | None, str | None]]:
    """Each organisation with the main version of its latest published notice."""
    majors: set[tuple[str | None, str | None]] = set()
    for member in agreement.members:
        published = [notice for notice in member.notices if notice.published_at <= now]
        if published:
            latest = max(published, key=lambda notice: notice.published_at)
            majors.add((member.organisation, _major(latest.version)))
    return frozenset(majors)


def _major(version: str | None) -> str | None:
    return None if version is None else version.partition(".")[0]


def _urgency(warning: EarlyWarning) -> tuple[int, str, str]:
    order = ("alarm", "warn", "ok")
    reading = warning.reading
    return order.index(warning.level.value), reading.watch.value, reading.scope
