"""The transparency log: durable appends beside the disk's own flush, proofs, full replay, and how they grow.

See README.md in this folder for what is measured and how.
"""

import sys
import tempfile
import time
from pathlib import Path

import audit_growth
import audit_log
from common import finish, parse_options


def main() -> int:
    """Measures, and returns the exit code."""
    options = parse_options(__doc__ or "")
    with tempfile.TemporaryDirectory(prefix="hanse-audit-") as name:
        measured = [*audit_log.figures(Path(name), options), *audit_growth.figures(Path(name), options)]
    return finish("Transparency log", measured, options)


if __name__ == "__main__":
    started_s = time.monotonic()
    code = main()
    print(f"{time.monotonic() - started_s:.0f} s in all")
    sys.exit(code)
