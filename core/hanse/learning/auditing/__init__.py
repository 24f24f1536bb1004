"""Attacks on our own training: what it leaks at least, and what known attackers learn from a model.

* :mod:`hanse.learning.auditing.audit`: canaries through a private procedure, for a bound on its epsilon.
* :mod:`hanse.learning.auditing.membership`: who was in the training rows.
* :mod:`hanse.learning.auditing.report`: the findings, for the card of a model.
* :mod:`hanse.learning.auditing.canaries`, :mod:`hanse.learning.auditing.attacks`,
  :mod:`hanse.learning.auditing.bounds`: the parts of an audit.

The audited training is an argument everywhere.
"""

from hanse.learning.auditing.audit import (
    CANARIES,
    FITTED_CONFIDENCE,
    ONE_RUN_CONFIDENCE,
    Procedure,
    audit_privacy,
)
from hanse.learning.auditing.membership import Learner, Scorer, infer_membership, recognise_own
from hanse.learning.auditing.report import (
    AUDIT_MEANING,
    MEMBERSHIP_MEANING,
    AttackBound,
    AttackSuccess,
    MembershipInference,
    OwnMembership,
    PrivacyAudit,
)

__all__ = [
    "AUDIT_MEANING",
    "CANARIES",
    "FITTED_CONFIDENCE",
    "MEMBERSHIP_MEANING",
    "ONE_RUN_CONFIDENCE",
    "AttackBound",
    "AttackSuccess",
    "Learner",
    "MembershipInference",
    "OwnMembership",
    "PrivacyAudit",
    "Procedure",
    "Scorer",
    "audit_privacy",
    "infer_membership",
    "recognise_own",
]
