"""The log of every decision: append-only, signed, and checked byte by byte by whoever asks.

* :mod:`hanse.audit.event` and :mod:`hanse.audit.entry`: what is logged.
* :mod:`hanse.audit.tree`: Merkle trees and proofs (RFC 6962).
* :mod:`hanse.audit.checkpoint`: what a log commits to (C2SP tlog-checkpoint).
* :mod:`hanse.audit.replay`: the form of the log file.
* :mod:`hanse.audit.log`: append durably, then act.
* :mod:`hanse.audit.verify`: what a reviewer runs.
"""

from hanse.audit.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from hanse.audit.entry import Actor, Entry
from hanse.audit.event import ConsentState, Counts, Cut, Event, EventType, PrivacySpend
from hanse.audit.log import AuditLog
from hanse.audit.storage import FileOperations
from hanse.audit.tree import (
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
    root_hash,
)
from hanse.audit.verify import VerifiedLog, verify_log

__all__ = [
    "Actor",
    "AuditLog",
    "Checkpoint",
    "ConsentState",
    "Counts",
    "Cut",
    "Entry",
    "Event",
    "EventType",
    "FileOperations",
    "Frontier",
    "PrivacySpend",
    "VerifiedLog",
    "check_consistency",
    "check_inclusion",
    "format_checkpoint",
    "leaf_hash",
    "node_hash",
    "open_checkpoint",
    "parse_checkpoint",
    "prove_consistency",
    "prove_inclusion",
    "root_hash",
    "sign_checkpoint",
    "verify_log",
]
