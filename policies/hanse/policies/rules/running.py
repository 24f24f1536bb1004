"""What must hold of an alignment, a run, a round and an aggregate when it happens."""

from typing import Final

from hanse.policies.predicates import AllOf, AnyOf, AtMost, Below, Equals, Exists, Is, OneOf, Predicate
from hanse.policies.rules.collaboration import MECHANISMS, MINIMUM_DISCLOSED_SIZE, NO_BUDGET_NEEDED
from hanse.policies.rules.vocabulary import fact

# Provisions on Promoting and Regulating Cross-border Data Flows (China, 22 March 2024), articles 5, 7 and 8.
EXEMPT_BELOW: Final = 100_000
ASSESSED_FROM: Final = 1_000_000
ASSESSED_FROM_SENSITIVE: Final = 10_000

FRESH: Final[Predicate] = AllOf(
    AtMost(fact("job.snapshot_age_s"), fact("policy.maximum_snapshot_age_s")),
    AtMost(fact("job.propagation_age_s"), fact("policy.maximum_propagation_age_s")),
    AtMost(fact("job.propagation_age_s"), fact("job.propagation_limit_s")),
    AtMost(fact("job.opening_head"), fact("job.snapshot_head")),
)
COHORT: Final[Predicate] = AllOf(
    AtMost(fact("cohort.minimum_rows"), fact("cohort.subjects")),
    AtMost(fact("policy.minimum_cohort_subjects"), fact("cohort.subjects")),
)
AGGREGATE: Final[Predicate] = AllOf(
    AtMost(fact("cohort.minimum_members"), fact("aggregate.members")),
    AtMost(fact("policy.minimum_members"), fact("aggregate.members")),
)
BUDGET: Final[Predicate] = AnyOf(
    NO_BUDGET_NEEDED,
    AllOf(
        Is(fact("privacy.stated"), value=True),
        Is(fact("budget.complete"), value=True),
        Below(0, fact("budget.planned_epsilon")),
        AtMost(fact("budget.planned_epsilon"), fact("budget.remaining_epsilon")),
        Below(0, fact("budget.planned_delta")),
        AtMost(fact("budget.planned_delta"), fact("budget.remaining_delta")),
    ),
)
EXPORT: Final[Predicate] = AnyOf(
    Is(fact("job.single_jurisdiction"), value=True),
    AllOf(
        Below(fact("export.subjects"), EXEMPT_BELOW),
        AtMost(fact("export.sensitive_subjects"), 0),
    ),
    AllOf(
        Below(fact("export.subjects"), ASSESSED_FROM),
        Below(fact("export.sensitive_subjects"), ASSESSED_FROM_SENSITIVE),
        OneOf(fact("border.mechanism"), MECHANISMS),
    ),
    AllOf(
        Exists(fact("export.subjects")),
        Exists(fact("export.sensitive_subjects")),
        Equals(fact("border.mechanism"), "security_assessment"),
    ),
)
LOGGED: Final[Predicate] = AllOf(
    Is(fact("log.durable"), value=True), AtMost(fact("log.recorded_at"), fact("log.effect_at"))
)
SAME_RECORDS: Final[Predicate] = AllOf(
    AtMost(1, fact("update.records")),
    AtMost(fact("update.records"), fact("admission.records")),
    AtMost(fact("admission.records"), fact("update.records")),
)

DISCLOSED_SIZE: Final[Predicate] = AllOf(
    AtMost(MINIMUM_DISCLOSED_SIZE, fact("alignment.size")),
    AtMost(fact("cohort.suppress_below"), fact("alignment.size")),
)
NO_DIFFERENCING: Final[Predicate] = AllOf(
    AtMost(fact("alignment.runs_today"), fact("policy.alignments_per_day")),
    AnyOf(
        Is(fact("alignment.first_in_window"), value=True),
        AtMost(fact("policy.minimum_set_change"), fact("alignment.set_change")),
        AtMost(fact("policy.alignment_window_days"), fact("alignment.similar_age_days")),
    ),
)
