"""How the rules are enforced on many subjects at once: a row filter that is compiled from the rules.

The rules of :mod:`hanse.policies` are the specification. This package makes arithmetic over columns, and SQL,
of the same formulas; tests hold all of them against each other.

* :mod:`hanse.enforcement.specialise`: puts what is known of a job into a rule.
* :mod:`hanse.enforcement.columns`, :mod:`hanse.enforcement.profiles`: the consent ledger as columns in memory.
* :mod:`hanse.enforcement.compile`, :mod:`hanse.enforcement.nodes`, :mod:`hanse.enforcement.rows`: rules as
  arithmetic; :mod:`hanse.enforcement.sql`: rules as SQL.
"""

from hanse.enforcement.columns import ConsentColumns
from hanse.enforcement.compile import ADMITTED, Outcome, RowFilter
from hanse.enforcement.specialise import FALSE, TRUE, specialise
from hanse.enforcement.sql import first_failure_sql, mirror_query

__all__ = [
    "ADMITTED",
    "FALSE",
    "TRUE",
    "ConsentColumns",
    "Outcome",
    "RowFilter",
    "first_failure_sql",
    "mirror_query",
    "specialise",
]
