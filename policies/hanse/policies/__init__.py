"""The consent-policy layer: what may be used, by whom, for what, until when; decided, and blocking.

Everything that is unknown, missing, stale or in error means no. This package reads documents and decides; it
imports no machine learning and no network engine, so that a compliance officer can read all of it.

* :mod:`hanse.policies.agreement`: the agreement; :mod:`~hanse.policies.signing`: its signatures;
  :mod:`~hanse.policies.identity`: who the parties are.
* :mod:`hanse.policies.rules`: the rules; :mod:`~hanse.policies.packs`: which of them apply, with which
  thresholds; :mod:`~hanse.policies.check`: the gaps of an agreement.
* :mod:`hanse.policies.consent`: consent events and what stands after them; :mod:`~hanse.policies.ledger`:
  where they are kept, and how they come in.
* :mod:`hanse.policies.admission`: who may be used in a round; :mod:`~hanse.policies.scoring`: who may be
scored.
"""

from hanse.policies.admission import (
    Admission,
    Screening,
    admit,
    check_columns,
    prepare_training,
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
from hanse.policies.check import Gap, check_agreement, explain, require_no_gap
from hanse.policies.consent import ConsentEvent, Folding, Standing, Terms, current_state
from hanse.policies.facts import Job
from hanse.policies.identity import Identity
from hanse.policies.ledger import ConsentLedger, IngestReport, Refusal, StandingRow, StandingRows
from hanse.policies.packs import (
    ALWAYS_PROHIBITED,
    BUILTIN,
    DEFAULT_PACKS,
    Policy,
    Restriction,
    RulePack,
    adopt_pack,
    adopted_packs,
    applicable,
    builtin_pack,
    merge,
    open_pack,
    read_pack,
    resolve,
    sign_pack,
)
from hanse.policies.purposes import PURPOSES, covers
from hanse.policies.rules import (
    COLUMN_RULES,
    FACTS,
    GRANT_RULES,
    POLICY_DIGEST,
    RULES,
    SUBJECT_RULES,
    TRAINING_RULES,
    Level,
    Phase,
    Rule,
    Verdict,
    Wording,
    decide,
)
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
from hanse.policies.subjects import Pseudonymiser

__all__ = [
    "ALWAYS_PROHIBITED",
    "BUILTIN",
    "COLUMN_RULES",
    "DEFAULT_PACKS",
    "FACTS",
    "GRANT_RULES",
    "HEADER",
    "POLICY_DIGEST",
    "PURPOSES",
    "RULES",
    "SUBJECT_RULES",
    "TRAINING_RULES",
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
    "Folding",
    "Gap",
    "Identity",
    "IngestReport",
    "Job",
    "Label",
    "Level",
    "Member",
    "Notice",
    "Override",
    "PackReference",
    "Phase",
    "Policy",
    "Privacy",
    "Pseudonymiser",
    "Refusal",
    "Restriction",
    "Retention",
    "Rule",
    "RulePack",
    "Scoring",
    "Screening",
    "SignedAgreement",
    "Software",
    "Standing",
    "StandingRow",
    "StandingRows",
    "Terms",
    "Training",
    "Verdict",
    "Wording",
    "admit",
    "adopt_pack",
    "adopted_packs",
    "applicable",
    "builtin_pack",
    "check_agreement",
    "check_call",
    "check_columns",
    "covers",
    "current_state",
    "decide",
    "explain",
    "merge",
    "missing_signers",
    "open_agreement",
    "open_pack",
    "prepare_training",
    "read_pack",
    "read_unverified",
    "require_cohort",
    "require_known",
    "require_no_gap",
    "resolve",
    "score_subjects",
    "screen",
    "sign_agreement",
    "sign_pack",
    "suppress",
]
