"""The agreement and its parts."""

from hanse.policies.agreement.alignment import AlignmentRules, IdentifierRule
from hanse.policies.agreement.columns import Column, Disclosure, Label, Special
from hanse.policies.agreement.document import HEADER, Agreement
from hanse.policies.agreement.parties import (
    Auditor,
    Contract,
    Coordinator,
    Evidence,
    LegalBasis,
    Member,
    Notice,
    NoticeVersion,
    Override,
    PackReference,
    Software,
)
from hanse.policies.agreement.terms import (
    Aggregation,
    Assessment,
    Border,
    Caller,
    Cohort,
    ConsentTerms,
    Privacy,
    Retention,
    Robustness,
    Scoring,
)
from hanse.policies.agreement.training import Model, PointScale, Target, Training, Trees, Trials
from hanse.policies.agreement.vertical import Holding, Trust, Vertical

__all__ = [
    "HEADER",
    "Aggregation",
    "Agreement",
    "AlignmentRules",
    "Assessment",
    "Auditor",
    "Border",
    "Caller",
    "Cohort",
    "Column",
    "ConsentTerms",
    "Contract",
    "Coordinator",
    "Disclosure",
    "Evidence",
    "Holding",
    "IdentifierRule",
    "Label",
    "LegalBasis",
    "Member",
    "Model",
    "Notice",
    "NoticeVersion",
    "Override",
    "PackReference",
    "PointScale",
    "Privacy",
    "Retention",
    "Robustness",
    "Scoring",
    "Software",
    "Special",
    "Target",
    "Training",
    "Trees",
    "Trials",
    "Trust",
    "Vertical",
]
