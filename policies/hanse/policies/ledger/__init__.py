"""The consent ledger: events come in, what stands comes out; append-only, hashed, durable.

* :mod:`~hanse.policies.ledger.ledger`: the ledger itself; :mod:`~hanse.policies.snapshot`: what it says.
* :mod:`~hanse.policies.ledger.csv_rows`, :mod:`~hanse.policies.ledger.sql_rows`: where rows come from;
  :mod:`~hanse.policies.ledger.intake`: how they become events.
* :mod:`~hanse.policies.ledger.tables`, :mod:`~hanse.policies.ledger.history`,
  :mod:`~hanse.policies.ledger.projection`, :mod:`~hanse.policies.ledger.reading`,
  :mod:`~hanse.policies.ledger.batch`, :mod:`~hanse.policies.ledger.bulk`: how they are kept.
"""

from hanse.policies.ledger.ledger import ConsentLedger
from hanse.policies.ledger.report import IngestReport, Refusal
from hanse.policies.snapshot import ConsentSnapshot, StandingRow, StandingRows

__all__ = ["ConsentLedger", "ConsentSnapshot", "IngestReport", "Refusal", "StandingRow", "StandingRows"]
