"""As :mod:`hanse.pieces.process`, and parses and validates each entry of a piece."""

import sys

from hanse.audit.replay import are_entries
from hanse.pieces.process import serve

if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, are_entries)
