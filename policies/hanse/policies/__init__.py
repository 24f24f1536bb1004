"""The consent-policy layer: what may be used, by whom, for what, until when; decided, and blocking.

Everything that is unknown, missing, stale or in error means no. This package reads documents and decides; it
imports no machine learning and no network engine, so that a compliance officer can read all of it.

* :mod:`hanse.policies.agreement`: the agreement; :mod:`~hanse.policies.signing`: its signatures;
  :mod:`~hanse.policies.identity`: who the parties are.
* :mod:`hanse.policies.rules`: the rules and their articles; :mod:`~hanse.policies.check`: the gaps of an
agreement.
* :mod:`hanse.policies.consent`: consent events and what stands after them; :mod:`~hanse.policies.ledger`:
  where they are kept; :mod:`~hanse.policies.ingest`: how they come in.
* :mod:`hanse.policies.admission`: who may be used in a round; :mod:`~hanse.policies.scoring`: who may be
scored.
"""

from hanse.policies.admission import (
    ROW_RULES,
    Admission,
    admit,
    check_columns,
    require_cohort,
    screen,
    suppress,
)
from hanse.policies.agreement import (
    HEADER,
    Agreement,
    Assessment,
    Border,
    Caller,
    Cohort,
    Column,
    ConsentTerms,
    Contract,
    Coordinator,
    Disclosure,
    Label,
    Member,
    Notice,
    Override,
    PackReference,
    Privacy,
    Retention,
    Scoring,
    Software,
    Training,
)
from hanse.policies.check import Gap, check_agreement, require_no_gap
from hanse.policies.consent import ConsentEvent, Standing, Terms, current_state
from hanse.policies.identity import Identity
from hanse.policies.ingest import IngestReport, Refusal
from hanse.policies.ledger import ConsentLedger
from hanse.policies.purposes import PURPOSES, covers
from hanse.policies.rules import POLICY_DIGEST, RULES, Rule
from hanse.policies.scoring import check_call, score_subjects
from hanse.policies.signing import (
    SignedAgreement,
    missing_signers,
    open_agreement,
    read_unverified,
    require_known,
    sign_agreement,
)
from hanse.policies.snapshot import ConsentSnapshot
from hanse.policies.subjects import Pseudonymiser, subject_tag

__all__ = [
    "HEADER",
    "POLICY_DIGEST",
    "PURPOSES",
    "ROW_RULES",
    "RULES",
    "Admission",
    "Agreement",
    "Assessment",
    "Border",
    "Caller",
    "Cohort",
    "Column",
    "ConsentEvent",
    "ConsentLedger",
    "ConsentSnapshot",
    "ConsentTerms",
    "Contract",
    "Coordinator",
    "Disclosure",
    "Gap",
    "Identity",
    "IngestReport",
    "Label",
    "Member",
    "Notice",
    "Override",
    "PackReference",
    "Privacy",
    "Pseudonymiser",
    "Refusal",
    "Retention",
    "Rule",
    "Scoring",
    "SignedAgreement",
    "Software",
    "Standing",
    "Terms",
    "Training",
    "admit",
    "check_agreement",
    "check_call",
    "check_columns",
    "covers",
    "current_state",
    "missing_signers",
    "open_agreement",
    "read_unverified",
    "require_cohort",
    "require_known",
    "require_no_gap",
    "score_subjects",
    "screen",
    "sign_agreement",
    "subject_tag",
    "suppress",
]
