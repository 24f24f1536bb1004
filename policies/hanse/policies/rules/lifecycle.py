"""What must hold after a run: of withdrawals, of what is kept, of records, audits and changes of policy."""

from typing import Final

from hanse.policies.predicates import AllOf, AnyOf, AtMost, Below, Exists, Is, Predicate, Within
from hanse.policies.rules.shapes import unless
from hanse.policies.rules.vocabulary import fact

SIGNERS_OF_AN_EDIT: Final = 2
"""Named people behind a change of policy or an exception."""

# Measures for Personal Information Protection Compliance Audits (China, in force since 1 May 2025): 4, 12, 5;
# the yearly audit for minors is article 37 of the Regulations on the Protection of Minors in Cyberspace.
AUDITED_ABOVE: Final = 10_000_000
AUDIT_DAYS: Final = 730
OFFICER_FROM: Final = 1_000_000
INCIDENT_FROM: Final = 1_000_000
INCIDENT_FROM_SENSITIVE: Final = 100_000
MINORS_AUDIT_DAYS: Final = 365

_NOW: Final = fact("job.now")

WITHDRAWN: Final[Predicate] = AllOf(
    Within(fact("withdrawal.members"), fact("withdrawal.acknowledged")),
    AtMost(fact("withdrawal.acknowledged_hours"), fact("policy.acknowledgement_hours")),
    unless(
        fact("withdrawal.in_model"),
        AtMost(fact("withdrawal.in_model_days"), fact("policy.retraining_days")),
        AtMost(0, fact("model.withdrawn_share")),
        AtMost(fact("model.withdrawn_share"), fact("policy.retraining_withdrawn_share")),
    ),
)
KEPT: Final[Predicate] = AnyOf(
    AtMost(fact("artefact.age_days"), fact("artefact.keep_days")),
    AllOf(
        Is(fact("artefact.deleted"), value=True),
        Is(fact("artefact.deletion_logged"), value=True),
    ),
)
ENDED: Final = unless(fact("contract.ended"), Is(fact("contract.settled"), value=True))
RECORDS: Final[Predicate] = AllOf(
    AtMost(fact("policy.access_log_days"), fact("records.access_log_days")),
    AtMost(fact("policy.records_days"), fact("records.processing_days")),
    AtMost(fact("policy.records_days"), fact("records.assessment_days")),
)
AUDITED: Final[Predicate] = AllOf(
    AnyOf(
        Below(fact("audit.subjects"), OFFICER_FROM),
        AllOf(Exists(fact("audit.subjects")), Exists(fact("audit.officer"))),
    ),
    AnyOf(
        AtMost(fact("audit.subjects"), AUDITED_ABOVE),
        AllOf(Exists(fact("audit.subjects")), AtMost(fact("audit.age_days"), AUDIT_DAYS)),
    ),
    unless(fact("audit.minors"), AtMost(fact("audit.age_days"), MINORS_AUDIT_DAYS)),
    AnyOf(
        AllOf(
            Below(fact("audit.incident_subjects"), INCIDENT_FROM),
            Below(fact("audit.incident_sensitive_subjects"), INCIDENT_FROM_SENSITIVE),
        ),
        Is(fact("audit.after_incident"), value=True),
    ),
)
EDIT: Final[Predicate] = AllOf(
    AtMost(SIGNERS_OF_AN_EDIT, fact("edit.signers")),
    Exists(fact("edit.reason")),
    AtMost(_NOW, fact("edit.effective_at")),
    AtMost(fact("edit.running_until"), fact("edit.effective_at")),
    Below(fact("edit.effective_at"), fact("edit.expires_at")),
)
