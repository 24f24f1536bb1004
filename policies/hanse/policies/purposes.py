"""The purposes that a subject can grant, one by one, as a small tree.

A grant covers its own purpose and what is below it, never what is above or beside it (rule P04). The three
*separate* purposes are those for which the law asks for a consent of its own (PIPL 23, 29, 39): they are
granted by an event that grants nothing else.

For exchange with other systems each purpose names its nearest term in two vocabularies: the data uses of
fideslang 3.1.4, and the Data Privacy Vocabulary of a W3C community group. Where those have no purpose of that
meaning (the separate consents), the DPV term is that of the processing or data concerned. The terms are
copied here; neither vocabulary decides anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hanse.errors import PolicyError

SHARING: Final = "sharing"
SENSITIVE: Final = "sensitive_data"
CROSS_BORDER: Final = "cross_border"

_DPV: Final = "https://w3id.org/dpv#"
_CONSENT: Final = frozenset({"consent"})


@dataclass(frozen=True, slots=True)
class Purpose:
    """One purpose.

    Attributes:
        key: Its dotted key; the purpose above it is everything before the last dot.
        en: What it means, in the words of a consent form.
        zh: The same in Chinese.
        dpv: IRI of the nearest term of the Data Privacy Vocabulary.
        fideslang: Nearest data use of fideslang 3.1.4; None if there is none.
        legal_bases: What the use may rest on. That only consent admits to joint modelling and scoring is a
            default of Hanse, and not law.
        separate: Whether a grant counts only if its event grants nothing else.
    """

    key: str
    en: str
    zh: str
    dpv: str
    fideslang: str | None
    legal_bases: frozenset[str] = _CONSENT
    separate: bool = False

    @property
    def parent(self) -> str | None:
        """Key of the purpose above; None at the top."""
        return self.key.rpartition(".")[0] or None


_ALL: Final = (
    Purpose(
        "basic_service",
        "Provide the service that the subject asked for",
        "提供个人所请求的服务",
        f"{_DPV}RequestedServiceProvision",
        "essential.service",
        frozenset({"consent", "contract", "legal_obligation"}),
    ),
    Purpose(
        "personalisation",
        "Adapt the service to the subject, inside the member that collected the data",
        "在收集数据的成员内部，为个人提供个性化服务",
        f"{_DPV}ServicePersonalisation",
        "personalize",
    ),
    Purpose(
        "joint_modelling",
        "Train models together with named partners; no row leaves its owner",
        "与列明的合作方共同训练模型；任何数据行都不离开其持有者",
        f"{_DPV}CommercialResearch",
        "train_ai_system",
    ),
    Purpose(
        "joint_modelling.propensity",
        "Train models of what a customer is likely to do next",
        "训练预测客户下一步行为的模型",
        f"{_DPV}CommercialResearch",
        "train_ai_system",
    ),
    Purpose(
        "scoring",
        "Compute a score about the subject with a trained model",
        "用训练好的模型计算关于个人的评分",
        f"{_DPV}Personalisation",
        "personalize.content.profiling",
    ),
    Purpose(
        "scoring.marketing",
        "Choose whom to contact with which offer",
        "选择向谁提供哪种优惠",
        f"{_DPV}DirectMarketing",
        "marketing.advertising.first_party.targeted",
    ),
    Purpose(
        "scoring.retention",
        "Notice that a customer is about to leave",
        "发现可能流失的客户",
        f"{_DPV}CustomerRelationshipManagement",
        "marketing.advertising.profiling",
    ),
    Purpose(
        SHARING,
        "Provide data to a named recipient outside the group (separate consent)",
        "向集团外列明的接收方提供数据（单独同意）",
        f"{_DPV}Share",
        "third_party_sharing",
        separate=True,
    ),
    Purpose(
        SENSITIVE,
        "Use sensitive data for the granted purposes (separate consent)",
        "为已同意的目的使用敏感个人信息（单独同意）",
        f"{_DPV}SensitivePersonalData",
        None,
        separate=True,
    ),
    Purpose(
        CROSS_BORDER,
        "Use data across a border for the granted purposes (separate consent)",
        "为已同意的目的跨境使用数据（单独同意）",
        f"{_DPV}CrossBorderTransfer",
        None,
        separate=True,
    ),
)

PURPOSES: Final[Mapping[str, Purpose]] = MappingProxyType({purpose.key: purpose for purpose in _ALL})
"""Every purpose by its key."""

SEPARATE_PURPOSES: Final = frozenset(purpose.key for purpose in _ALL if purpose.separate)
"""Purposes whose grant counts only if its event grants nothing else."""


def is_known(purpose: str) -> bool:
    """Whether the purpose is in the tree."""
    return purpose in PURPOSES


def require_purpose(purpose: str) -> None:
    """Refuses a purpose that is not in the tree.

    Args:
        purpose: A dotted key.

    Raises:
        PolicyError: ``policy.purpose`` (P04) if it is unknown.
    """
    if not is_known(purpose):
        known = ", ".join(PURPOSES)
        raise PolicyError("policy.purpose", f"unknown purpose; use one of {known}", rule="P04")


def covers(granted: str, asked: str) -> bool:
    """Whether a grant for one purpose admits use for another.

    Args:
        granted: The purpose that was granted.
        asked: The purpose of the use.

    Returns:
        True only if both are known and ``asked`` equals ``granted`` or is below it.
    """
    return is_known(granted) and is_known(asked) and (asked == granted or asked.startswith(f"{granted}."))


def covered_by(granted: str) -> tuple[str, ...]:
    """Every purpose that a grant for ``granted`` admits: itself and what is below it; empty if unknown."""
    return _COVERED.get(granted, ())


_COVERED: Final = {
    granted: tuple(asked for asked in PURPOSES if covers(granted, asked)) for granted in PURPOSES
}
