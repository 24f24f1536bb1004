"""Rule packs: which rules apply, with which thresholds, and who has adopted them.

* :mod:`~hanse.policies.packs.document`: the form of a pack; :mod:`~hanse.policies.packs.builtin`: those that
  come with the software.
* :mod:`~hanse.policies.packs.merging`: several at once, the most restrictive wins.
* :mod:`~hanse.policies.packs.adoption`: two people adopt a pack; an agreement names adopted ones.
"""

from hanse.policies.packs.adoption import (
    adopt_pack,
    adopted_packs,
    applicable,
    open_pack,
    read_pack,
    resolve,
    sign_pack,
)
from hanse.policies.packs.builtin import BUILTIN, DEFAULT_PACKS, builtin_pack
from hanse.policies.packs.document import HEADER, Bilingual, PackRule, RulePack, Thresholds, cite
from hanse.policies.packs.merging import (
    ALWAYS_ON,
    ALWAYS_PROHIBITED,
    BASELINE,
    HANSE,
    STRICTEST,
    Policy,
    Restriction,
    Selected,
    merge,
)

__all__ = [
    "ALWAYS_ON",
    "ALWAYS_PROHIBITED",
    "BASELINE",
    "BUILTIN",
    "DEFAULT_PACKS",
    "HANSE",
    "HEADER",
    "STRICTEST",
    "Bilingual",
    "PackRule",
    "Policy",
    "Restriction",
    "RulePack",
    "Selected",
    "Thresholds",
    "adopt_pack",
    "adopted_packs",
    "applicable",
    "builtin_pack",
    "cite",
    "merge",
    "open_pack",
    "read_pack",
    "resolve",
    "sign_pack",
]
