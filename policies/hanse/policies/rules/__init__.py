"""The rules P01 … P32: negation-free formulas over named facts, with articles and texts in two languages.

Identifiers are stable: they appear in decisions, log entries and messages. What a rule's text says here is
what this version checks, not what an article says in full; see the legal note in the documentation.

* :mod:`~hanse.policies.rules.model`: what a rule is, and :func:`decide`.
* :mod:`~hanse.policies.rules.vocabulary`: every fact that a rule can read.
* :mod:`~hanse.policies.rules.grants`, :mod:`~hanse.policies.rules.collaboration`,
  :mod:`~hanse.policies.rules.running`, :mod:`~hanse.policies.rules.scoring`,
  :mod:`~hanse.policies.rules.lifecycle`: the formulas.
* :mod:`~hanse.policies.rules.wordings`: the texts; :mod:`~hanse.policies.rules.catalogue`: all together.
"""

from hanse.policies.rules.catalogue import (
    COLUMN_RULES,
    GRANT_RULES,
    POLICY_DIGEST,
    RULES,
    SUBJECT_RULES,
    TRAINING_RULES,
)
from hanse.policies.rules.model import Level, Phase, Rule, Verdict, Wording, decide
from hanse.policies.rules.scoring import permitted_uses
from hanse.policies.rules.selection import RowRules, rules_at
from hanse.policies.rules.vocabulary import FACTS, STANDINGS, FactMeaning, fact

__all__ = [
    "COLUMN_RULES",
    "FACTS",
    "GRANT_RULES",
    "POLICY_DIGEST",
    "RULES",
    "STANDINGS",
    "SUBJECT_RULES",
    "TRAINING_RULES",
    "FactMeaning",
    "Level",
    "Phase",
    "RowRules",
    "Rule",
    "Verdict",
    "Wording",
    "decide",
    "fact",
    "permitted_uses",
    "rules_at",
]
