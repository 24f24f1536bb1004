"""Notes what the scorer knows of a call, for figures, spans and lines of the log."""

from collections import Counter

from hanse.server.scoring.asked import Facts
from hanse.server.scoring.noted import Noted, noted


def tell(facts: Facts, log_index: int) -> None:
    """Notes a call whose entry is in the log.

    Args:
        facts: What is known about it.
        log_index: Index of its entry.
    """
    facts.log_index = log_index
    call = noted()
    if call is not None:
        tell_of(facts, call)


def tell_of(facts: Facts, call: Noted) -> None:
    """As :func:`tell`, of a call that is not served in a task of its own.

    Args:
        facts: What is known about it, with the index of its entry.
        call: Gets it.
    """
    call.caller = facts.caller
    call.rows = facts.rows
    call.log_index = facts.log_index
    call.request = facts.request_digest
    if facts.served is not None:
        call.model = f"{facts.served.name}@{facts.served.version}"
    if facts.rules.count(None) != len(facts.rules):
        call.denied = Counter(rule for rule in facts.rules if rule is not None)
