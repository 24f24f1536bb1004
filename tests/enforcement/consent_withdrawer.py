"""A process that withdraws: for each line ``subject purpose time`` it tells the number of the event."""

import sys
from datetime import datetime
from pathlib import Path

from hanse.policies import ConsentLedger


def main() -> None:
    """Reads lines until there are no more."""
    with ConsentLedger(Path(sys.argv[1])) as ledger:
        for line in sys.stdin:
            subject, purpose, moment = line.split()
            ledger.withdraw(subject, purpose, datetime.fromisoformat(moment))
            decided = ledger.decision(subject, purpose)
            sys.stdout.write(f"{decided[0] if decided else 0}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
