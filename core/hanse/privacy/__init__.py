"""What a run costs the people in the data, fixed before it starts and written down before it is spent.

* :mod:`hanse.privacy.events`: the mechanisms whose cost can be counted.
* :mod:`hanse.privacy.accountant`: epsilon of a list of them, an upper bound.
* :mod:`hanse.privacy.plan`: the noise of a run for a budget.
* :mod:`hanse.privacy.ledger`: what was reserved and spent, append-only on disk.

Every figure is for the unit *record*, one record per row, and the adjacency *add or remove one record*. A
person with rows at several members pays at each of them.
"""

from hanse.privacy.accountant import calibrate, epsilon
from hanse.privacy.events import (
    GaussianRelease,
    PrivacyEvent,
    SampledGaussian,
    events_from_json,
    events_to_json,
    merge_events,
    subtract_events,
)
from hanse.privacy.ledger import Budget, LedgerHead, LedgerKey, PrivacyLedger
from hanse.privacy.plan import PrivacyPlan, Spent, make_plan

__all__ = [
    "Budget",
    "GaussianRelease",
    "LedgerHead",
    "LedgerKey",
    "PrivacyEvent",
    "PrivacyLedger",
    "PrivacyPlan",
    "SampledGaussian",
    "Spent",
    "calibrate",
    "epsilon",
    "events_from_json",
    "events_to_json",
    "make_plan",
    "merge_events",
    "subtract_events",
]
