"""Rule packs: which rules apply, with which thresholds, and who has adopted them."""

from hanse.policies.packs.builtin import BUILTIN, builtin_pack
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
    "builtin_pack",
    "cite",
    "merge",
]
