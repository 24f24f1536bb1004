"""The log of every decision: append-only, signed, and checked byte by byte by whoever asks.

* :mod:`hanse.audit.event` and :mod:`hanse.audit.entry`: what is logged.
* :mod:`hanse.audit.tree` and :mod:`hanse.audit.hashes`: Merkle trees and proofs (RFC 6962).
* :mod:`hanse.audit.checkpoint`: what a log commits to (C2SP tlog-checkpoint).
* :mod:`hanse.audit.store`: the tables of a log.
* :mod:`hanse.audit.log`: append durably, then act; :mod:`hanse.audit.reader`: read meanwhile.
* :mod:`hanse.audit.verify`: what a reviewer runs.
* :mod:`hanse.audit.completeness`: what a verified log leaves out or contradicts.
* :mod:`hanse.audit.canaries`: whether anybody's data is in it.
* :mod:`hanse.audit.witness`: who signs that a log only grew, or refuses and says why.
"""

from hanse.audit.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from hanse.audit.entry import Actor, Entry
from hanse.audit.event import ConsentState, Counts, Event, EventType, PrivacySpend
from hanse.audit.hashes import Hashes, Node, TreeHashes, consistency_proof, inclusion_proof, root_at
from hanse.audit.log import AuditLog
from hanse.audit.reader import LogReader
from hanse.audit.store import LogStore
from hanse.audit.tree import (
    Frontier,
    check_consistency,
    check_hash_inclusion,
    check_inclusion,
    leaf_hash,
    node_hash,
    root_hash,
)
from hanse.audit.verify import VerifiedLog, verify_log
from hanse.audit.witness import Witness
from hanse.audit.witness_rules import Cosigned, RefusalKind, WitnessRefusal
from hanse.audit.witness_state import WitnessState

__all__ = [
    "Actor",
    "AuditLog",
    "Checkpoint",
    "ConsentState",
    "Cosigned",
    "Counts",
    "Entry",
    "Event",
    "EventType",
    "Frontier",
    "Hashes",
    "LogReader",
    "LogStore",
    "Node",
    "PrivacySpend",
    "RefusalKind",
    "TreeHashes",
    "VerifiedLog",
    "Witness",
    "WitnessRefusal",
    "WitnessState",
    "check_consistency",
    "check_hash_inclusion",
    "check_inclusion",
    "consistency_proof",
    "format_checkpoint",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "open_checkpoint",
    "parse_checkpoint",
    "root_at",
    "root_hash",
    "sign_checkpoint",
    "verify_log",
]
