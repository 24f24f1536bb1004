"""Every fact that a rule reads: its name, its kind and what it means. A rule can read no other.

Ages and delays are whole units, rounded up, and never negative: what comes from the future has no age, and is
therefore not known. What is ``policy.*`` comes from the merged rule packs (:mod:`hanse.policies.packs`), and
so does ``job.given_since``; all others are stated by whoever asks for the decision.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from hanse.policies.predicates import Fact, Kind

_FLAG, _COUNT, _NUMBER, _TEXT, _TIME, _NAMES = (
    Kind.FLAG,
    Kind.COUNT,
    Kind.NUMBER,
    Kind.TEXT,
    Kind.TIME,
    Kind.NAMES,
)
_Table = Mapping[str, tuple[Kind, str]]


class FactMeaning(NamedTuple):
    """A fact and what it means."""

    fact: Fact
    meaning: str


STANDINGS: Final = MappingProxyType(
    {
        "grant": "the grant for the purpose of the job",
        "sharing": "the separate consent 'sharing'",
        "sensitive": "the separate consent 'sensitive_data'",
        "cross_border": "the separate consent 'cross_border'",
    }
)
"""Prefixes of the facts about what a person consented to."""

_STANDING: Final[_Table] = {
    "state": (_TEXT, "what stands: given, refused, withdrawn, expired, invalidated, objected"),
    "given": (_TIME, "when the person gave it"),
    "expires": (_TIME, "when it ends by itself"),
    "controller": (_TEXT, "organisation that asked"),
    "parties": (_NAMES, "every organisation that was named, the controller among them"),
    "purposes": (_NAMES, "purposes that the same act granted"),
    "categories": (_NAMES, "classes of data that were named"),
    "notice": (_TEXT, "the notice that the person saw: organisation|version|sha256"),
    "notice_major": (_TEXT, "its main version: organisation|major"),
    "notice_published": (_TIME, "when the notice was published"),
    "method": (_TEXT, "how the person acted"),
    "preticked": (_FLAG, "whether the box was ticked beforehand"),
    "bundled": (_FLAG, "whether the purposes could not be chosen one by one"),
    "conditional": (_FLAG, "whether the service was refused to who did not agree"),
    "legal_basis": (_TEXT, "what the controller rests the use on"),
    "places": (_NAMES, "law that the person is under and country of storage; unknown unless both are known"),
    "guardian": (_FLAG, "whether a guardian acted for the person"),
    "age_known": (_FLAG, "whether an age was stated at all"),
    "age_at_least": (_COUNT, "years that the person was known to have reached"),
}

_JOB: Final[_Table] = {
    "job.purpose": (_TEXT, "purpose of the use"),
    "job.now": (_TIME, "time of the decision"),
    "job.given_since": (_TIME, "time of the decision less policy.maximum_grant_age_days"),
    "job.organisations": (_NAMES, "legal names of all members"),
    "job.non_providers": (_NAMES, "members that provide data to nobody"),
    "job.classifications": (_NAMES, "classes of all columns"),
    "job.jurisdictions": (_NAMES, "where anything is processed, kept, mirrored or served"),
    "job.single_jurisdiction": (_FLAG, "whether that is one place"),
    "job.border_mechanism": (_FLAG, "whether the agreement records a mechanism for borders, with reference"),
    "job.may_contain_minors": (_FLAG, "whether children may be among the people"),
    "job.requires_sensitive": (_FLAG, "whether a required column is sensitive"),
    "job.requires_public_place": (_FLAG, "whether a required column was recorded in public places"),
    "job.notices": (_NAMES, "notices that the agreement knows: organisation|version|sha256"),
    "job.notice_majors": (_NAMES, "main version of each organisation's latest notice: organisation|major"),
    "job.legal_bases": (_NAMES, "legal bases that the agreement allows: consent, and its overrides"),
    "job.snapshot_age_s": (_COUNT, "seconds since the copy of the consent ledger was taken"),
    "job.propagation_age_s": (_COUNT, "seconds since a source last fed the consent ledger"),
    "job.propagation_limit_s": (_COUNT, "what the agreement allows of that"),
    "job.opening_head": (_COUNT, "last event of the consent ledger when the round or call was opened"),
    "job.snapshot_head": (_COUNT, "last event of the consent ledger that the copy knows"),
    "subject.known": (_FLAG, "whether anything was ever recorded about the person"),
}

_COLUMN: Final[_Table] = {
    "column.sensitive": (_FLAG, "whether it is sensitive"),
    "column.public_place": (_FLAG, "whether it was recorded in public places"),
    "column.required": (_FLAG, "whether a record is useless without it"),
    "column.hidden": (_FLAG, "whether the person hides it (data folding)"),
    "column.listed": (_FLAG, "whether the agreement lists it"),
    "column.declared": (_FLAG, "whether the member's data set declares it as the agreement does"),
    "column.disclosed": (_FLAG, "whether the agreement says that what is made of it may go to a member"),
    "column.necessity": (_FLAG, "whether the agreement says why the purpose needs it"),
    "column.special_named": (_FLAG, "whether the agreement says why it is sensitive"),
    "column.unused_runs": (_COUNT, "trainings in a row in which it contributed nothing that was measured"),
    "column.kept_by_decision": (_FLAG, "whether the data protection officer decided to keep it"),
}

_AGREEMENT: Final[_Table] = {
    "agreement.purpose": (_TEXT, "purpose of the training"),
    "agreement.valid_from": (_TIME, "first moment at which it is in force"),
    "agreement.valid_until": (_TIME, "first moment at which it no longer is"),
    "agreement.member_names": (_NAMES, "short names of the members"),
    "agreement.signers": (_NAMES, "short names of the members whose approvers signed exactly this text"),
    "agreement.members": (_COUNT, "number of members"),
    "agreement.has_controller": (_FLAG, "whether a member decides about the data: is joint or provider"),
    "agreement.classifications": (_NAMES, "classes of all columns"),
    "agreement.sensitive": (_FLAG, "whether a column is sensitive"),
    "agreement.propagation_hours": (_COUNT, "longest silence of a member's sources of consent"),
    "agreement.acknowledge_hours": (_COUNT, "hours in which members acknowledge a withdrawal"),
    "agreement.retrain_days": (_COUNT, "days in which a model is trained anew after a withdrawal"),
    "evidence.quorum": (_COUNT, "witnesses that have to co-sign the coordinator's log"),
    "evidence.witnesses": (_COUNT, "members and outside auditors, all of whom are witnesses"),
    "cohort.minimum_rows": (_COUNT, "people that a member must admit to take part"),
    "cohort.minimum_members": (_COUNT, "members in every aggregate"),
    "cohort.suppress_below": (_COUNT, "counts below this leave a member only as 'fewer than'"),
    "vertical.stated": (_FLAG, "whether members have different columns of the same people"),
    "vertical.minimum_intersection": (_COUNT, "common people with fewer of whom nothing is learned"),
    "vertical.minimum_bin_rows": (_COUNT, "common people of a bin whose sums another member learns"),
    "privacy.stated": (_FLAG, "whether the agreement has a privacy budget"),
    "privacy.epsilon": (_NUMBER, "its epsilon"),
    "privacy.delta": (_NUMBER, "its delta"),
    "privacy.delta_limit": (_NUMBER, "1 / cohort.minimum_rows: a delta from which on one record may leak"),
    "training.longest_run_days": (_NUMBER, "rounds times their time limit"),
    "retention.rows_days": (_COUNT, "days for which rows are kept"),
    "retention.intermediates_days": (_COUNT, "days for which caches, checkpoints and updates are kept"),
    "retention.model_days": (_COUNT, "days for which models are kept"),
    "scoring.purpose": (_TEXT, "purpose of the scores"),
    "scoring.permitted": (_NAMES, "scoring.purpose and those below it, without the prohibited ones"),
    "scoring.callers": (_NAMES, "who may ask for scores"),
    "scoring.output": (_TEXT, "score, band, decile, segment, flag or list"),
    "scoring.decimals": (_COUNT, "decimals that a score is rounded to"),
    "scoring.significant_effect": (_FLAG, "whether decisions based on a score affect people significantly"),
    "scoring.human_review": (_FLAG, "whether a person can have such a decision reviewed by a person"),
    "scoring.reason_codes": (_FLAG, "whether such a decision can be explained"),
    "assessment.approver": (_TEXT, "who approved the impact assessment"),
    "assessment.approved_at": (_TIME, "when"),
    "assessment.expires_at": (_TIME, "when it has to be made anew"),
    "assessment.age_days": (_NUMBER, "days since it was approved"),
    "assessment.purposes": (_NAMES, "purposes that it covers, with those below them"),
    "assessment.members": (_NAMES, "members that it covers"),
    "assessment.classifications": (_NAMES, "classes of data that it covers"),
    "border.mechanism": (_TEXT, "none, security_assessment, certification or standard_contract"),
    "border.reference": (_TEXT, "where the mechanism is filed"),
    "people.named": (_COUNT, "people named as proposer, auditor and approvers, with repetition"),
    "people.different": (_COUNT, "how many different people these are"),
    "member.role": (_TEXT, "joint, provider or entrusted"),
    "contract.reference": (_TEXT, "where an entrusted member's contract is filed"),
    "contract.purposes": (_NAMES, "purposes of the contract, with those below them"),
    "contract.until": (_TIME, "when the contract ends"),
    "contract.sub_processors": (_FLAG, "whether the contract lets it entrust others"),
    "contract.at_end": (_TEXT, "what becomes of the data then: delete or return"),
}

_RUN: Final[_Table] = {
    "cohort.subjects": (_COUNT, "people whom the member admits"),
    "aggregate.members": (_COUNT, "members in the aggregate"),
    "admission.records": (_COUNT, "records that were admitted"),
    "update.records": (_COUNT, "records that the update says it used"),
    "budget.planned_epsilon": (_NUMBER, "epsilon that the run would spend"),
    "budget.remaining_epsilon": (_NUMBER, "epsilon that is left of what all runs of these records may spend"),
    "budget.planned_delta": (_NUMBER, "delta that the run would spend"),
    "budget.remaining_delta": (_NUMBER, "delta that is left"),
    "budget.complete": (_FLAG, "whether the privacy ledger holds every run of these records, none refunded"),
    "export.subjects": (
        _COUNT,
        "people whose data went abroad since 1 January, with this job's",
    ),
    "export.sensitive_subjects": (_COUNT, "those of them whose data is sensitive"),
    "log.durable": (_FLAG, "whether the decision's entry is durable in the log"),
    "log.recorded_at": (_TIME, "when it was written"),
    "log.effect_at": (_TIME, "when the decision takes effect"),
    "alignment.size": (_COUNT, "people in the set whose size would be disclosed"),
    "alignment.runs_today": (_COUNT, "alignments with the same partner in the last 24 hours, with this one"),
    "alignment.first_in_window": (_FLAG, "whether none with this partner lies within the window"),
    "alignment.set_change": (
        _COUNT,
        "people by which the set differs from the most similar one",
    ),
    "alignment.similar_age_days": (_COUNT, "days since the last alignment of a similar set"),
    "call.caller": (_TEXT, "who asks, as authenticated"),
    "call.purpose": (_TEXT, "use that the caller declares"),
    "call.subjects_today": (_COUNT, "people that the caller asks about in 24 hours, with this call"),
    "caller.daily_quota": (_COUNT, "what the agreement allows of that"),
    "caller.opt_out_available": (_FLAG, "whether whom the caller contacts can say no to it"),
    "caller.non_personalised_path": (_FLAG, "whether the caller serves people without a score as well"),
}

_LIFECYCLE: Final[_Table] = {
    "withdrawal.members": (_NAMES, "members that had to be told of the withdrawal"),
    "withdrawal.acknowledged": (_NAMES, "members whose signed acknowledgement is in the log"),
    "withdrawal.acknowledged_hours": (_COUNT, "hours from the withdrawal to the last acknowledgement"),
    "withdrawal.in_model": (_FLAG, "whether a model in use contains the person"),
    "withdrawal.in_model_days": (_COUNT, "days since the withdrawal for which such a model is in use"),
    "model.withdrawn_share": (_NUMBER, "share of the model's people who have withdrawn"),
    "artefact.age_days": (_COUNT, "age of a thing that is kept: rows, caches, checkpoints, a model"),
    "artefact.keep_days": (_COUNT, "for how long the agreement keeps it"),
    "artefact.deleted": (_FLAG, "whether it was deleted"),
    "artefact.deletion_logged": (_FLAG, "whether the log says so"),
    "contract.ended": (_FLAG, "whether an entrusted member's contract has ended"),
    "contract.settled": (_FLAG, "whether deletion or return is attested and in the log"),
    "records.access_log_days": (_COUNT, "days for which access logs are kept"),
    "records.processing_days": (_COUNT, "days for which records of processing are kept"),
    "records.assessment_days": (_COUNT, "days for which impact assessments are kept"),
    "audit.subjects": (_COUNT, "people whose data the organisation processes"),
    "audit.officer": (_TEXT, "who answers for the protection of personal data"),
    "audit.age_days": (_COUNT, "days since the last compliance audit"),
    "audit.minors": (_FLAG, "whether children are among the people"),
    "audit.incident_subjects": (_COUNT, "people of the largest incident since the last audit, 0 for none"),
    "audit.incident_sensitive_subjects": (_COUNT, "those of them whose sensitive data was concerned"),
    "audit.after_incident": (_FLAG, "whether an audit was made after that incident"),
    "edit.signers": (_COUNT, "different people who signed the change or the exception"),
    "edit.reason": (_TEXT, "why it is made"),
    "edit.effective_at": (_TIME, "when it takes effect"),
    "edit.expires_at": (_TIME, "when it ends by itself"),
    "edit.running_until": (_TIME, "end of the last round that began before it; the time of decision if none"),
}

_POLICY: Final[_Table] = {
    "policy.active_methods": (_NAMES, "methods that show that a person acted"),
    "policy.legal_bases": (_NAMES, "legal bases that count"),
    "policy.child_below_years": (_COUNT, "age below which a guardian must act"),
    "policy.minimum_cohort_subjects": (_COUNT, "smallest cohort.minimum_rows"),
    "policy.suppress_below": (_COUNT, "smallest cohort.suppress_below"),
    "policy.minimum_members": (_COUNT, "smallest number of members in an aggregate"),
    "policy.maximum_epsilon": (_NUMBER, "largest epsilon"),
    "policy.maximum_assessment_age_days": (_COUNT, "oldest impact assessment"),
    "policy.maximum_snapshot_age_s": (_COUNT, "oldest copy of the consent ledger"),
    "policy.maximum_propagation_age_hours": (_COUNT, "longest silence of a source of consent"),
    "policy.maximum_propagation_age_s": (_COUNT, "the same in seconds"),
    "policy.acknowledgement_hours": (_COUNT, "longest time to acknowledge a withdrawal"),
    "policy.retraining_days": (_COUNT, "longest time to train a model anew after a withdrawal"),
    "policy.retraining_withdrawn_share": (_NUMBER, "share of withdrawals from which on that is due at once"),
    "policy.alignments_per_day": (_COUNT, "alignments of two members in 24 hours"),
    "policy.alignment_window_days": (_COUNT, "days for which similar sets are not aligned again"),
    "policy.minimum_set_change": (_COUNT, "people by which sets must differ within that time"),
    "policy.scores_per_caller_per_day": (_COUNT, "people that a caller may ask about in 24 hours"),
    "policy.score_decimals": (_COUNT, "most decimals of a score"),
    "policy.unused_column_runs": (_COUNT, "trainings without contribution after which a column is dropped"),
    "policy.access_log_days": (_COUNT, "shortest time for which access logs are kept"),
    "policy.records_days": (_COUNT, "shortest time for which records and assessments are kept"),
    "policy.maximum_model_days": (_COUNT, "longest time for which a model is kept"),
}


# What nobody asks of a grant, and what nobody asks of a separate consent.
_UNREAD: Final = MappingProxyType({"grant": frozenset({"purposes"})})
_UNREAD_SEPARATE: Final = frozenset({"categories", "controller", "places"})


def _standing(prefix: str, what: str) -> _Table:
    unread = _UNREAD.get(prefix, _UNREAD_SEPARATE)
    return {
        f"{prefix}.{name}": (kind, f"{what}: {meaning}")
        for name, (kind, meaning) in _STANDING.items()
        if name not in unread
    }


FACTS: Final[Mapping[str, FactMeaning]] = MappingProxyType(
    {
        name: FactMeaning(Fact(name, kind), meaning)
        for table in (
            _JOB,
            *(_standing(prefix, what) for prefix, what in STANDINGS.items()),
            _COLUMN,
            _AGREEMENT,
            _RUN,
            _LIFECYCLE,
            _POLICY,
        )
        for name, (kind, meaning) in table.items()
    }
)
"""Every fact by its name."""


def fact(name: str) -> Fact:
    """The fact of a name.

    Raises:
        KeyError: There is none; the rules are not importable with a misspelt name.
    """
    return FACTS[name].fact
