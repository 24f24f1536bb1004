"""Which version of a model a member serves: who decided that, on what evidence, and until when it may be.

* :mod:`hanse.policies.serving.decisions`: one decision, signed by one person.
* :mod:`hanse.policies.serving.state`: what follows from all of them; who has to decide what.
* :mod:`hanse.policies.serving.book`: the decisions on disk.
* :mod:`hanse.policies.serving.gate`: what a version has to show before it is promoted.
* :mod:`hanse.policies.serving.routing`: which version answers whom.
"""

from hanse.policies.serving.book import Decided, ServingBook, format_decisions, parse_decisions
from hanse.policies.serving.decisions import Decision, SignedDecision, open_decision, sign_decision
from hanse.policies.serving.gate import Check, Figures, Gate, blocking, judge
from hanse.policies.serving.routing import gets_canary, routing_key
from hanse.policies.serving.state import ALONE_PERCENT, LAPSES_AFTER, Ref, Serving, follow, needs_two

__all__ = [
    "ALONE_PERCENT",
    "LAPSES_AFTER",
    "Check",
    "Decided",
    "Decision",
    "Figures",
    "Gate",
    "Ref",
    "Serving",
    "ServingBook",
    "SignedDecision",
    "blocking",
    "follow",
    "format_decisions",
    "gets_canary",
    "judge",
    "needs_two",
    "open_decision",
    "parse_decisions",
    "routing_key",
    "sign_decision",
]
