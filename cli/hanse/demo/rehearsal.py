"""The rehearsal of an agreement: the whole collaboration, on made-up subjects, before real data is touched.

Fresh sites are made in a folder of their own, under the members' names and with keys that exist for the
rehearsal only; no real home is opened and no real row is read. Everything else is real: the agreement's
terms, its rule packs, the enforcement point, the coordinator and the nodes as processes on loopback, and the
scorer.

An agreement with gaps is not rehearsed: the nodes would refuse it, and a rehearsal that made them look away
would rehearse something else.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from hanse.audit import Entry, EventType, VerifiedLog, verify_log
from hanse.client.drafting import known_identities
from hanse.client.models import fetch_model
from hanse.client.progress import ROUND_AGGREGATED, RUN_FAILED, failure
from hanse.client.remote import CoordinatorClient, RunEvent
from hanse.client.setup import Organisation
from hanse.client.software import software_digest, software_version
from hanse.crypto import VerifierKey
from hanse.demo.calls import Caller
from hanse.demo.federation import Cast, Federation, Site
from hanse.demo.interruption import heed
from hanse.demo.kinds import KINDS
from hanse.demo.processes import Processes
from hanse.demo.rehearsed import (
    Admitted,
    Flow,
    HiddenColumn,
    PlantedKind,
    PlantedRule,
    Rehearsal,
    Withdrawal,
)
from hanse.demo.results import ScoringCall
from hanse.demo.synthetic import SHARES, rows_needed, situation_of, synthetic_member
from hanse.errors import PolicyError, TrainingError
from hanse.learning import SCORE_EDGES, LoadedModel, n_cells, parameter_count
from hanse.policies import (
    RULES,
    Agreement,
    Identity,
    Policy,
    RulePack,
    SignedAgreement,
    merge,
    open_agreement,
    require_no_gap,
    resolve,
)

STRANGER: Final = "not-in-the-agreement"
FOREIGN_PURPOSE: Final = "scoring.pricing"
SCORED_SUBJECTS: Final = 8
_SCORER: Final = "scorer"


@dataclass(slots=True)
class Rehearsing:
    """A rehearsal that goes on.

    Attributes:
        agreement: The agreement as it was given; its keys are the members' own.
        policy: Its merged rule packs.
        federation: The made-up sites.
        signed: The same terms under the made-up keys.
        started_at: Start, UTC.
        events: The run's events.
        model: The registered model version.
        calls: Calls to the scorer.
        withdrawn: Where a subject withdrew, and after which round; None if it never came to that.
    """

    agreement: Agreement
    policy: Policy
    federation: Federation
    signed: SignedAgreement
    started_at: datetime
    events: list[RunEvent] = field(default_factory=list)
    model: LoadedModel | None = None
    calls: list[ScoringCall] = field(default_factory=list)
    withdrawn: tuple[str, int] | None = None

    def on_event(self, event: RunEvent) -> None:
        """Keeps an event; half way, one subject withdraws at the second member."""
        self.events.append(event)
        half = max(1, self.agreement.training.rounds // 2)
        if event.type == ROUND_AGGREGATED and event.round == half < self.agreement.training.rounds:
            site = self.federation.sites[1]
            consenting = site.written.subject_ids[site.written.profiles == "granted"]
            self.federation.withdraw(site, str(consenting[0]), self.agreement.purpose, datetime.now(UTC))
            self.withdrawn = (site.data.name, event.round)


def rehearse(
    agreement: Agreement,
    available: Sequence[RulePack],
    folder: Path,
    rows: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Rehearses an agreement with real processes.

    Args:
        agreement: The agreement; whoever has signed it does not matter here.
        available: Rule packs, those that it names among them.
        folder: Empty folder for the made-up sites.
        rows: Subjects of each member; None for as many as the agreement's cohort needs.
        say: Told what is being done.

    Returns:
        What was found.

    Raises:
        PolicyError: ``policy.denied`` if the agreement has gaps, ``policy.software`` if it names another
            software, ``policy.cohort`` if there are too few rows for its minimum.
        HanseError: When a step of the run fails.
    """
    say("make the sites, their subjects and their consents")
    going = prepare(agreement, available, folder, datetime.now(UTC), np.random.default_rng(), rows)
    with Processes(folder / "output") as processes:
        say("start the coordinator and the nodes")
        going.federation.start(processes)
        say("train under the rules")
        train(going)
        say("ask for scores")
        ask_for_scores(going, processes)
    say("hold what was found against what was planted")
    return examine(going)


def prepare(
    agreement: Agreement,
    available: Sequence[RulePack],
    folder: Path,
    now: datetime,
    rng: np.random.Generator,
    rows: int | None = None,
) -> Rehearsing:
    """Makes the sites, and has them sign the terms; arguments and errors as :func:`rehearse`."""
    packs = resolve(agreement.packs, available)
    policy = merge(packs)
    require_no_gap(agreement, policy, now)
    _require_software(agreement)
    needed = rows_needed(agreement)
    if rows is not None and rows < needed:
        raise PolicyError(
            "policy.cohort",
            f"the agreement's minimum cohort needs {needed} made-up subjects a member",
            rule="P15",
        )
    situations = {m.name: situation_of(agreement, policy, m, now) for m in agreement.members}
    members = [synthetic_member(agreement, m, rows or needed, rng) for m in agreement.members]
    federation = Federation(folder, members, now, _cast(agreement, packs))
    federation.make_keys()
    for member in members:
        federation.write_site(member, situations[member.name], rng, SHARES)
    signed = open_agreement(federation.sign(_with_keys(agreement, federation)))
    return Rehearsing(agreement, policy, federation, signed, now)


def train(going: Rehearsing) -> None:
    """``hanse run`` at the first member.

    Raises:
        HanseError: The error that the run ended with.
    """
    brand = going.federation.sites[0]
    with CoordinatorClient(brand.home, f"127.0.0.1:{going.federation.ports.people}") as client:
        for event in client.start(client.submit(going.signed.note)):
            heed()
            going.on_event(event)
        if going.events[-1].type == RUN_FAILED:
            raise failure(going.events)
        _, going.model = fetch_model(client, brand.home, str(going.events[-1].facts["model"]), going.signed)


def ask_for_scores(going: Rehearsing, processes: Processes) -> None:
    """``hanse serve`` at the first member: listed callers, a use that is never allowed, and a stranger."""
    if going.model is None:
        raise TrainingError("run.engine", "there is no model to ask")
    site, scoring = going.federation.sites[0], going.agreement.scoring
    listed = [caller.name for caller in scoring.callers]
    folders = going.federation.make_callers([*listed, STRANGER])
    manifest = going.model.manifest
    processes.start(_SCORER, ["serve", manifest.reference, "--home", str(site.home.root)], {})
    address = processes.wait_until_ready(_SCORER).split()[-1]
    subjects = _subjects_to_score(site, going.agreement)
    asked = [(name, scoring.purpose) for name in (*listed, STRANGER)]
    asked += [(name, FOREIGN_PURPOSE) for name in listed[:1]]
    for name, purpose in asked:
        model = (manifest.name, str(manifest.version))
        caller = Caller(address, folders[name], site.home.serving_authority, model)
        going.calls.append(caller.score(purpose, subjects))


def examine(going: Rehearsing) -> Rehearsal:
    """Holds what the sites' own logs say against what was planted.

    Raises:
        AuditError: A log does not verify.
    """
    logs = {site.data.name: _verify(site.home.root) for site in going.federation.sites}
    _verify(going.federation.hub)
    agreement, training = going.agreement, going.agreement.training
    sites = going.federation.sites
    return Rehearsal(
        version=software_version(),
        software_digest=software_digest(),
        agreement=agreement.id,
        agreement_version=agreement.version,
        agreement_digest=agreement.digest,
        policy_digest=going.policy.digest,
        packs=dict(going.policy.packs),
        started_at=going.started_at,
        rows_per_member=len(sites[0].data.rows),
        members=tuple(_admitted(site, logs[site.data.name]) for site in sites),
        kinds=tuple(_kinds(sites)),
        rules=tuple(rule for site in sites for rule in _rules(site, logs[site.data.name])),
        hidden=tuple(item for site in sites for item in _hidden(site, agreement, logs[site.data.name])),
        rounds_planned=training.rounds,
        rounds_done=sum(event.type == ROUND_AGGREGATED for event in going.events),
        withdrawal=_withdrawal(going, logs),
        calls=tuple(going.calls),
        flows=tuple(_flows(going)),
    )


def _require_software(agreement: Agreement) -> None:
    if agreement.software.digest != software_digest():
        raise PolicyError(
            "policy.software",
            f"the agreement names version {agreement.software.version}, not with the installed digest "
            f"{software_digest()}; amend software.digest, or install that version",
            rule="P20",
        )


def _cast(agreement: Agreement, packs: Sequence[RulePack]) -> Cast:
    organisations = {
        m.name: Organisation(m.name, m.organisation, m.jurisdiction, m.storage_country, m.notices)
        for m in agreement.members
    }
    coordinator = agreement.coordinator
    return Cast(coordinator.name, coordinator.jurisdiction, organisations, packs)


def _with_keys(agreement: Agreement, federation: Federation) -> Agreement:
    """The same terms with the keys of the made-up sites."""
    known = {identity.name: identity for identity in known_identities(federation.sites[0].home)}
    members = tuple(
        member.model_copy(
            update={
                "node_key": known[member.name].node_key,
                "approver_key": known[member.name].approver_key,
                "witness_key": known[member.name].witness_key,
            }
        )
        for member in agreement.members
    )
    hub = agreement.coordinator.model_copy(update={"key": known[agreement.coordinator.name].node_key})
    # No outside auditor is rehearsed, so that the quorum can at most be all members.
    quorum = min(agreement.evidence.quorum, len(members))
    evidence = agreement.evidence.model_copy(update={"quorum": quorum, "auditors": ()})
    return agreement.model_copy(update={"members": members, "coordinator": hub, "evidence": evidence})


def _subjects_to_score(site: Site, agreement: Agreement) -> list[str]:
    """Some subjects that agreed to scoring, and one each that did not, or withdrew; all values are known."""
    columns = site.data.rows.columns
    numeric = [columns[column.name] for column in agreement.columns if column.kind == "numeric"]
    known = np.logical_and.reduce([np.isfinite(np.asarray(values, dtype=np.float64)) for values in numeric])
    profiles = np.where(known, site.written.profiles, "")
    chosen = np.concatenate(
        [
            np.flatnonzero(profiles == "granted")[: SCORED_SUBJECTS - 2],
            np.flatnonzero(profiles == "training-only")[:1],
            np.flatnonzero(profiles == "withdrawn")[:1],
        ]
    )
    return [str(site.written.subject_ids[row]) for row in chosen]


def _verify(home: Path) -> VerifiedLog:
    verifier = VerifierKey.decode(Identity.load(home / "identity.json").node_key)
    return verify_log(home / "state" / "audit.db", verifier, origin=verifier.name)


def _admissions(log: VerifiedLog) -> dict[int, Entry]:
    """The last admission of each round."""
    return {e.round: e for e in log.entries if e.type is EventType.ROUND_ADMITTED and e.round is not None}


def _counts(log: VerifiedLog, number: int) -> tuple[int, int, Mapping[str, int], Mapping[str, int]]:
    """Rows in, rows out, rows out by rule and hidden values by column of a round, as the site logged them."""
    entry = _admissions(log).get(number)
    if entry is None or entry.counts is None:
        raise TrainingError("run.engine", f"the log {log.origin} has no admission for round {number}")
    counts = entry.counts
    by_rule = {rule: int(count) for rule, count in counts.by_rule.items()}
    hidden = {place: int(count) for place, count in counts.hidden.items()}
    return int(counts.rows_in), int(counts.rows_out), by_rule, hidden


def _admitted(site: Site, log: VerifiedLog) -> Admitted:
    considered, admitted, _, _ = _counts(log, 1)
    return Admitted(
        member=site.data.name,
        considered=considered,
        planted=int(site.written.consenting.sum()),
        admitted=admitted,
    )


def _kinds(sites: Sequence[Site]) -> list[PlantedKind]:
    total: Counter[str] = Counter()
    for site in sites:
        total.update(map(str, site.written.profiles))
    return [
        PlantedKind(kind=name, rule=kind.rule, words=kind.words, subjects=total[name])
        for name, kind in KINDS.items()
    ]


def _rules(site: Site, log: VerifiedLog) -> list[PlantedRule]:
    planted = Counter(KINDS[kind].rule for kind in site.written.profiles)
    found = _counts(log, 1)[2]
    names = sorted({rule for rule in planted if rule is not None} | set(found))
    return [
        PlantedRule(member=site.data.name, rule=rule, planted=planted[rule], found=found.get(rule, 0))
        for rule in names
    ]


def _hidden(site: Site, agreement: Agreement, log: VerifiedLog) -> list[HiddenColumn]:
    """Values of optional columns that must not be read, by column."""
    found = _counts(log, 1)[3]
    kinds = Counter(map(str, site.written.profiles))
    planted: Counter[str] = Counter()
    optional = [column for column in agreement.columns if not column.required]
    for number, column in enumerate(optional):
        planted[column.name] += kinds["hides-optional"] if number == 0 else 0
        protected = column.classification == "sensitive" or column.special == "public_place"
        planted[column.name] += kinds["optional-sensitive"] if protected else 0
    return [
        HiddenColumn(
            member=site.data.name,
            column=column.name,
            planted=planted[column.name],
            found=found.get(str(place), 0),
        )
        for place, column in enumerate(agreement.columns)
        if planted[column.name] or str(place) in found
    ]


def _withdrawal(going: Rehearsing, logs: Mapping[str, VerifiedLog]) -> Withdrawal | None:
    if going.withdrawn is None:
        return None
    member, number = going.withdrawn
    before, after = (_counts(logs[member], at)[1] for at in (number, number + 1))
    return Withdrawal(member=member, after_round=number, admitted_before=before, admitted_after=after)


def _flows(going: Rehearsing) -> list[Flow]:
    """What a member sends in one run; how much of it follows from agreement and model."""
    agreement, rounds, model = going.agreement, going.agreement.training.rounds, going.model
    hub = agreement.coordinator.name
    cells = sum(map(n_cells, agreement.columns))
    weights = (
        0
        if model is None
        else parameter_count(agreement.training, model.transform.n_features, model.transform.groups)
    )
    noise = "privacy noise" if agreement.privacy else "none: the agreement has no privacy budget"
    bins = 2 * (len(SCORE_EDGES) - 1)
    small = f"counts below {agreement.cohort.suppress_below} are left out"
    rules = len(RULES)
    return [
        Flow(content="rows in each public cell", numbers=cells, times=1, protection=noise, to=hub),
        Flow(
            content="numbers of rows, by rule too", numbers=rules, times=rounds + 2, protection=small, to=hub
        ),
        Flow(content="change of the weights", numbers=weights, times=rounds, protection=noise, to=hub),
        Flow(content="scores of held-out rows", numbers=bins, times=rounds + 1, protection=noise, to=hub),
        Flow(
            content="root of the tree of subject tags",
            numbers=1,
            times=rounds + 2,
            protection="keyed hashes; reveals nobody",
            to=hub,
        ),
        Flow(
            content="signed checkpoint of the site's log",
            numbers=1,
            times=rounds + 2,
            protection="a hash of the entries",
            to=hub,
        ),
        Flow(
            content="weights of the model, summed over members",
            numbers=weights,
            times=1,
            protection=noise,
            to="every member",
        ),
    ]
