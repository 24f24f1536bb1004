"""What an agreement must say, column by column and member by member, before anybody signs it or runs it."""

from typing import Final

from hanse.policies.predicates import (
    AllOf,
    AnyOf,
    AtMost,
    Below,
    Equals,
    Exists,
    Is,
    OneOf,
    Predicate,
    Within,
)
from hanse.policies.purposes import covered_by
from hanse.policies.rules.shapes import unless
from hanse.policies.rules.vocabulary import fact

MINIMUM_PEOPLE: Final = 4
"""A proposer, an auditor and the approvers of two members."""

TRAINING_PURPOSES: Final = frozenset(covered_by("joint_modelling"))
MECHANISMS: Final = frozenset({"security_assessment", "certification", "standard_contract"})

_NOW: Final = fact("job.now")
_IN_FORCE: Final = AllOf(
    AtMost(fact("agreement.valid_from"), _NOW),
    Below(_NOW, fact("agreement.valid_until")),
)

LEGAL_BASES: Final[Predicate] = Within(fact("job.legal_bases"), fact("policy.legal_bases"))
TRAINING_PURPOSE: Final[Predicate] = OneOf(fact("agreement.purpose"), TRAINING_PURPOSES)
PROPAGATION: Final[Predicate] = AtMost(
    fact("agreement.propagation_hours"), fact("policy.maximum_propagation_age_hours")
)
WITHDRAWAL_TERMS: Final[Predicate] = AllOf(
    AtMost(fact("agreement.acknowledge_hours"), fact("policy.acknowledgement_hours")),
    AtMost(fact("agreement.retrain_days"), fact("policy.retraining_days")),
)
RETENTION: Final[Predicate] = AllOf(
    AtMost(fact("training.longest_run_days"), fact("retention.rows_days")),
    AtMost(fact("training.longest_run_days"), fact("retention.intermediates_days")),
    AtMost(fact("training.longest_run_days"), fact("retention.model_days")),
    AtMost(fact("retention.model_days"), fact("policy.maximum_model_days")),
)
MINIMUM_DISCLOSED_SIZE: Final = 100
"""People in a set whose size may be told to a partner. A default of ours, not of the law."""

COHORT: Final[Predicate] = AllOf(
    unless(
        fact("vertical.stated"),
        AtMost(MINIMUM_DISCLOSED_SIZE, fact("vertical.minimum_intersection")),
        AtMost(fact("policy.suppress_below"), fact("vertical.minimum_bin_rows")),
    ),
    AtMost(fact("policy.minimum_cohort_subjects"), fact("cohort.minimum_rows")),
    AtMost(fact("policy.suppress_below"), fact("cohort.suppress_below")),
)
AGGREGATE: Final[Predicate] = AllOf(
    AtMost(fact("policy.minimum_members"), fact("cohort.minimum_members")),
    AtMost(fact("cohort.minimum_members"), fact("agreement.members")),
)
NO_BUDGET_NEEDED: Final = AllOf(
    Is(fact("privacy.stated"), value=False), Is(fact("agreement.sensitive"), value=False)
)
BUDGET: Final[Predicate] = AnyOf(
    NO_BUDGET_NEEDED,
    AllOf(
        Is(fact("privacy.stated"), value=True),
        Below(0, fact("privacy.epsilon")),
        AtMost(fact("privacy.epsilon"), fact("policy.maximum_epsilon")),
        Below(0, fact("privacy.delta")),
        Below(fact("privacy.delta"), fact("privacy.delta_limit")),
    ),
)
ASSESSMENT: Final[Predicate] = AllOf(
    Exists(fact("assessment.approver")),
    AtMost(fact("assessment.approved_at"), _NOW),
    Below(_NOW, fact("assessment.expires_at")),
    AtMost(fact("assessment.age_days"), fact("policy.maximum_assessment_age_days")),
    OneOf(fact("agreement.purpose"), fact("assessment.purposes")),
    OneOf(fact("scoring.purpose"), fact("assessment.purposes")),
    Within(fact("agreement.member_names"), fact("assessment.members")),
    Within(fact("agreement.classifications"), fact("assessment.classifications")),
)
ROLES: Final[Predicate] = AllOf(_IN_FORCE, Is(fact("agreement.has_controller"), value=True))
SIGNED: Final[Predicate] = AllOf(_IN_FORCE, Within(fact("agreement.member_names"), fact("agreement.signers")))
CONTRACT: Final[Predicate] = AnyOf(
    OneOf(fact("member.role"), frozenset({"joint", "provider"})),
    AllOf(
        Equals(fact("member.role"), "entrusted"),
        Exists(fact("contract.reference")),
        OneOf(fact("agreement.purpose"), fact("contract.purposes")),
        Below(_NOW, fact("contract.until")),
        Is(fact("contract.sub_processors"), value=False),
        OneOf(fact("contract.at_end"), frozenset({"delete", "return"})),
    ),
)
BORDER: Final[Predicate] = AnyOf(
    AllOf(
        Is(fact("job.single_jurisdiction"), value=True),
        Equals(fact("border.mechanism"), "none"),
    ),
    AllOf(
        OneOf(fact("border.mechanism"), MECHANISMS),
        Exists(fact("border.reference")),
    ),
)
WITNESSED: Final[Predicate] = AllOf(
    AtMost(1, fact("evidence.quorum")),
    AtMost(fact("evidence.quorum"), fact("evidence.witnesses")),
)
PEOPLE: Final[Predicate] = AllOf(
    AtMost(MINIMUM_PEOPLE, fact("people.named")),
    AtMost(fact("people.named"), fact("people.different")),
)

NECESSITY: Final = unless(
    fact("column.sensitive"),
    Is(fact("column.necessity"), value=True),
    Is(fact("column.special_named"), value=True),
)
DISCLOSURE: Final = unless(fact("column.required"), Is(fact("column.disclosed"), value=True))
CONTRIBUTION: Final[Predicate] = AnyOf(
    Below(fact("column.unused_runs"), fact("policy.unused_column_runs")),
    AllOf(Exists(fact("column.unused_runs")), Is(fact("column.kept_by_decision"), value=True)),
)
