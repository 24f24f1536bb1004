"""All rules: which predicate each requires at which level, and in which order people are decided about."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from hanse.crypto import canonical_json, sha256_hex
from hanse.policies.packs import BUILTIN
from hanse.policies.predicates import AllOf, Predicate
from hanse.policies.rules import collaboration, grants, lifecycle, running, scoring
from hanse.policies.rules.model import Level, Phase, Rule
from hanse.policies.rules.wordings import WORDINGS

_Requires = Mapping[Level, Predicate]

_GRANT: Final[Mapping[str, tuple[str, _Requires]]] = {
    "P01": (
        "EATSL",
        {
            Level.SUBJECT: AllOf(grants.KNOWN, grants.LEGAL_BASIS),
            Level.AGREEMENT: collaboration.LEGAL_BASES,
        },
    ),
    "P02": ("EATS", {Level.SUBJECT: grants.AFFIRMATIVE}),
    "P03": ("EATS", {Level.SUBJECT: grants.FREE}),
    "P04": (
        "ATS",
        {Level.SUBJECT: grants.FOR_THE_PURPOSE, Level.AGREEMENT: collaboration.TRAINING_PURPOSE},
    ),
    "P05": ("TS", {Level.SUBJECT: grants.CLASSES_NAMED, Level.COLUMN: grants.UNHIDDEN}),
    "P06": ("AT", {Level.SUBJECT: grants.PARTIES_NAMED}),
    "P07": (
        "AT",
        {
            Level.SUBJECT: grants.SENSITIVE_IF_REQUIRED,
            Level.COLUMN: grants.SENSITIVE_COLUMN,
            Level.AGREED_COLUMN: collaboration.NECESSITY,
        },
    ),
    "P08": ("ATS", {Level.SUBJECT: grants.BY_WHO_MAY}),
    "P09": (
        "AT",
        {Level.SUBJECT: grants.PUBLIC_PLACE_IF_REQUIRED, Level.COLUMN: grants.PUBLIC_PLACE_COLUMN},
    ),
    "P10": (
        "ATS",
        {
            Level.SUBJECT: grants.IN_FORCE,
            Level.JOB: running.FRESH,
            Level.AGREEMENT: collaboration.PROPAGATION,
        },
    ),
}

_COLLABORATION: Final[Mapping[str, tuple[str, _Requires]]] = {
    "P11": ("L", {Level.LIFECYCLE: lifecycle.WITHDRAWN, Level.AGREEMENT: collaboration.WITHDRAWAL_TERMS}),
    "P12": ("L", {Level.LIFECYCLE: lifecycle.KEPT, Level.AGREEMENT: collaboration.RETENTION}),
    "P13": ("A", {Level.COLUMN: grants.LISTED, Level.AGREED_COLUMN: collaboration.DISCLOSURE}),
    "P14": ("A", {Level.AGREED_COLUMN: collaboration.CONTRIBUTION}),
    "P15": (
        "A",
        {
            Level.AGREEMENT: collaboration.COHORT,
            Level.JOB: running.COHORT,
            Level.ALIGNMENT: running.DISCLOSED_SIZE,
        },
    ),
    "P16": ("A", {Level.ALIGNMENT: running.NO_DIFFERENCING}),
    "P17": ("T", {Level.AGREEMENT: collaboration.AGGREGATE, Level.JOB: running.AGGREGATE}),
    "P18": ("T", {Level.AGREEMENT: collaboration.BUDGET, Level.JOB: running.BUDGET}),
    "P19": ("AT", {Level.AGREEMENT: collaboration.ASSESSMENT}),
    "P20": (
        "AT",
        {
            Level.AGREEMENT: collaboration.ROLES,
            Level.MEMBER: collaboration.CONTRACT,
            Level.JOB: collaboration.SIGNED,
            Level.LIFECYCLE: lifecycle.ENDED,
        },
    ),
    "P21": ("AT", {Level.SUBJECT: grants.WITHIN_BORDERS, Level.AGREEMENT: collaboration.BORDER}),
    "P22": ("A", {Level.JOB: running.EXPORT}),
}

_LATER: Final[Mapping[str, tuple[str, _Requires]]] = {
    "P23": ("S", {Level.AGREEMENT: scoring.DECLARED_PURPOSE, Level.CALL: scoring.PURPOSE_LOCK}),
    "P24": ("S", {Level.CALL: scoring.OPT_OUT}),
    "P25": ("S", {Level.AGREEMENT: scoring.REVIEW, Level.CALL: scoring.REVIEW}),
    "P26": (
        "S",
        {
            Level.SUBJECT: AllOf(
                grants.KNOWN,
                grants.FOR_THE_PURPOSE,
                grants.IN_FORCE,
                grants.LEGAL_BASIS,
                grants.AFFIRMATIVE,
                grants.FREE,
                grants.CLASSES_NAMED,
                grants.BY_WHO_MAY,
            )
        },
    ),
    "P27": ("S", {Level.AGREEMENT: scoring.ROUNDED, Level.CALL: scoring.QUOTA}),
    "P28": (
        "EATSL",
        {
            Level.AGREEMENT: collaboration.WITNESSED,
            Level.JOB: running.LOGGED,
            Level.CALL: running.LOGGED,
            Level.LIFECYCLE: running.LOGGED,
        },
    ),
    "P29": ("L", {Level.LIFECYCLE: lifecycle.RECORDS}),
    "P30": ("L", {Level.LIFECYCLE: lifecycle.AUDITED}),
    "P31": ("L", {Level.AGREEMENT: collaboration.PEOPLE, Level.LIFECYCLE: lifecycle.EDIT}),
    "P32": ("T", {Level.JOB: running.SAME_RECORDS}),
}


def _rule(rule_id: str, phases: str, requires: _Requires) -> Rule:
    articles = {pack.id: pack.articles(rule_id) for pack in BUILTIN.values()}
    return Rule(
        id=rule_id,
        phases=frozenset(map(Phase, phases)),
        articles=MappingProxyType({name: own for name, own in articles.items() if own}),
        message=WORDINGS[rule_id].message,
        remedy=WORDINGS[rule_id].remedy,
        requires=MappingProxyType(dict(requires)),
    )


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule_id: _rule(rule_id, phases, requires)
        for part in (_GRANT, _COLLABORATION, _LATER)
        for rule_id, (phases, requires) in part.items()
    }
)
"""Every rule by its identifier, ``P01`` … ``P32``."""


def _only(rule_id: str, predicate: Predicate) -> Rule:
    """One part of a rule about people, as a step of the decision."""
    return replace(RULES[rule_id], requires=MappingProxyType({Level.SUBJECT: predicate}))


GRANT_RULES: Final = (
    _only("P01", grants.KNOWN),
    RULES["P04"],
    RULES["P10"],
    _only("P01", grants.LEGAL_BASIS),
    RULES["P02"],
    RULES["P03"],
    RULES["P05"],
    RULES["P08"],
)
"""What a person must satisfy to be used at all, for training and for scoring, in the order of the decision.

P01 comes twice: whoever has no grant for this purpose, or has withdrawn it, is told so (P04, P10), and not
that there is no legal basis. Together the two steps are the whole rule.
"""

TRAINING_RULES: Final = (*GRANT_RULES, RULES["P06"], RULES["P07"], RULES["P09"], RULES["P21"])
"""What a person must satisfy to be used in training, in the order of the decision."""

SUBJECT_RULES: Final = TRAINING_RULES
"""Every step that is decided per person, in order; scoring asks for :data:`GRANT_RULES` alone (P26)."""

COLUMN_RULES: Final = (RULES["P13"], RULES["P05"], RULES["P07"], RULES["P09"])
"""What a column of a person must satisfy. One that does not is hidden for this person; if it is required, the
person is left out."""

POLICY_DIGEST: Final = sha256_hex(
    canonical_json(
        [
            [
                rule.id,
                sorted(rule.phases),
                list(rule.cited()),
                [rule.message.en, rule.message.zh, rule.remedy.en, rule.remedy.zh],
                [[level.value, predicate.words()] for level, predicate in rule.requires.items()],
            ]
            for rule in RULES.values()
        ]
    )
)
"""SHA-256 over rules, formulas and texts: names, in the log, the rules under which a decision was made."""
