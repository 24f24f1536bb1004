"""The purposes that a subject can grant, one by one, as a small tree.

A grant covers its own purpose and what is below it, never what is above or beside it (rule P04). The three
*separate* purposes are those for which the law asks for a consent of its own (PIPL 23, 29, 39): they are
granted by an event that grants nothing else.
"""

from types import MappingProxyType
from typing import Final

from hanse.errors import PolicyError

JOINT_MODELLING: Final = "joint_modelling"
SCORING: Final = "scoring"
SHARING: Final = "sharing"
SENSITIVE: Final = "sensitive_data"
CROSS_BORDER: Final = "cross_border"

PURPOSES: Final = MappingProxyType(
    {
        "basic_service": "Provide the service that the subject asked for",
        "personalisation": "Adapt the service to the subject, inside the member that collected the data",
        "joint_modelling": "Train models together with named partners; no row leaves its owner",
        "joint_modelling.propensity": "Train models of what a customer is likely to do next",
        "scoring": "Compute a score about the subject with a trained model",
        "scoring.marketing": "Choose whom to contact with which offer",
        "scoring.retention": "Notice that a customer is about to leave",
        SHARING: "Provide data to a named recipient outside the group (separate consent)",
        SENSITIVE: "Use sensitive data for the granted purposes (separate consent)",
        CROSS_BORDER: "Use data across a border for the granted purposes (separate consent)",
    }
)
"""Every purpose with what it means, in the words of a consent form."""

SEPARATE_PURPOSES: Final = frozenset({SHARING, SENSITIVE, CROSS_BORDER})
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
