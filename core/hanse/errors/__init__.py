"""Every deliberate error, its stable code, and what an outsider may learn.

A code is ``area.reason``. It appears in logs, audit entries and gRPC trailers and is never reused.
``str(error)`` is internal: it may name files, rows, rules and parties of the own site. Only
:attr:`HanseError.public_message` may leave the process, because a detail may carry what the other
side must not learn. The tree is drawn by *who must act*::

    HanseError
    ├ ConfigurationError   the operator of this site
    ├ ProtocolError        the peer sent bytes that do not parse or a step that is not due
    ├ IdentityError        a key, signature or certificate is wrong
    ├ PolicyError          the agreement or the consent rules say no (a refusal is an outcome, not a fault)
    ├ PrivacyError         the privacy budget says no
    ├ AuditError           the log cannot be written, or does not verify
    ├ TrainingError        a run cannot go on
    └ ServingError         a model or a scoring call is not acceptable
"""

from hanse.errors.base import (
    AuditError,
    ConfigurationError,
    HanseError,
    IdentityError,
    PolicyError,
    PrivacyError,
    ProtocolError,
    ServingError,
    TrainingError,
)
from hanse.errors.catalogue import CATALOGUE, ErrorSpec, Status

__all__ = [
    "CATALOGUE",
    "AuditError",
    "ConfigurationError",
    "ErrorSpec",
    "HanseError",
    "IdentityError",
    "PolicyError",
    "PrivacyError",
    "ProtocolError",
    "ServingError",
    "Status",
    "TrainingError",
]
