"""Consent at the size of a large member: import, withdrawal, reading, and the decision about everybody.

See README.md in this folder for what is measured and how.
"""

import sys
import time

import consent_ledger
import consent_mask
from common import finish, parse_options


def main() -> int:
    """Measures, and returns the exit code."""
    options = parse_options(__doc__ or "")
    measured = [*consent_ledger.figures(options), *consent_mask.measure(options.quick)]
    return finish("Consent ledger and row filter, one member", measured, options)


if __name__ == "__main__":
    started_s = time.monotonic()
    code = main()
    print(f"{time.monotonic() - started_s:.0f} s in all")
    sys.exit(code)
