"""What a run costs the people in the data, fixed before it starts and written down before it is spent.

* :mod:`hanse.privacy.events`: the mechanisms whose cost can be counted.
* :mod:`hanse.privacy.accountant`: epsilon of a list of them, an upper bound.
* :mod:`hanse.privacy.plan`: the noise of a run for a budget.
* :mod:`hanse.privacy.shared_plan`: the same for runs in which members release sums together.
* :mod:`hanse.privacy.ledger`: what was reserved and spent, append-only on disk.
* :mod:`hanse.privacy.charging`: charges for releases, in blocks, before they leave.
* :mod:`hanse.privacy.person`: what a person with records at several members pays.
* :mod:`hanse.privacy.certificate`: all of it in one document.

Every figure but those of :mod:`hanse.privacy.person` is for the unit *record*, one record per row, and the
adjacency *add or remove one record*.
"""

from hanse.privacy.accountant import calibrate, epsilon
from hanse.privacy.certificate import make_certificate
from hanse.privacy.charging import ChargedReleases
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
from hanse.privacy.person import person_epsilon
from hanse.privacy.plan import Length, PrivacyPlan, Spent, make_plan, total_of
from hanse.privacy.shared_plan import SharedPlan, make_shared_plan

__all__ = [
    "Budget",
    "ChargedReleases",
    "GaussianRelease",
    "LedgerHead",
    "LedgerKey",
    "Length",
    "PrivacyEvent",
    "PrivacyLedger",
    "PrivacyPlan",
    "SampledGaussian",
    "SharedPlan",
    "Spent",
    "calibrate",
    "epsilon",
    "events_from_json",
    "events_to_json",
    "make_certificate",
    "make_plan",
    "make_shared_plan",
    "merge_events",
    "person_epsilon",
    "subtract_events",
    "total_of",
]
