"""How the rules are enforced on many subjects at once, and what comes out of it: admitted records.

The rules of :mod:`hanse.policies` are the specification. This package makes arithmetic over columns, and SQL,
of the same formulas; tests hold all of them against each other, and every round holds a sample.

* :mod:`hanse.enforcement.specialise`: puts what is known of a job into a rule.
* :mod:`hanse.enforcement.columns`, :mod:`hanse.enforcement.profiles`: the consent ledger as columns.
* :mod:`hanse.enforcement.compile`, :mod:`hanse.enforcement.nodes`, :mod:`hanse.enforcement.rows`: rules as
  arithmetic; :mod:`hanse.enforcement.sql`, :mod:`hanse.enforcement.relations`: rules as SQL.
* :mod:`hanse.enforcement.rulings`: the decision about a round, and the check of a sample of it.
* :mod:`hanse.enforcement.records`: what was admitted; :mod:`hanse.enforcement.simulation`: what nobody is in.
"""

from hanse.enforcement.columns import ConsentColumns
from hanse.enforcement.compile import ADMITTED, Outcome, RowFilter
from hanse.enforcement.records import AdmittedExamples, AdmittedRecords, Columns, release
from hanse.enforcement.relations import ledger_query, mirror_query
from hanse.enforcement.rulings import SAMPLE_SUBJECTS, Decision, Rulings, decide, require_agreement
from hanse.enforcement.specialise import FALSE, TRUE, specialise
from hanse.enforcement.sql import first_failure_sql

__all__ = [
    "ADMITTED",
    "FALSE",
    "SAMPLE_SUBJECTS",
    "TRUE",
    "AdmittedExamples",
    "AdmittedRecords",
    "Columns",
    "ConsentColumns",
    "Decision",
    "Outcome",
    "RowFilter",
    "Rulings",
    "decide",
    "first_failure_sql",
    "ledger_query",
    "mirror_query",
    "release",
    "require_agreement",
    "specialise",
]
