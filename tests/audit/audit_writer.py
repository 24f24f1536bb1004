"""A process that appends to a log, to be killed, starved of disk, or run beside others.

Usage: audit_writer.py LOG KEY_FILE MODE [NUMBER]. Tells the indices of each commit once it is acknowledged.
"""

import os
import resource
import sys
import time
from pathlib import Path

from hanse.audit import Actor, AuditLog, Event, EventType, FileOperations
from hanse.crypto import SigningKey
from hanse.errors import AuditError

EVENT = Event(type=EventType.BUDGET_SPENT, run="r1")


def creeping(descriptor: int, data: memoryview) -> int:
    """Writes a few bytes and takes its time, so that a kill comes in the middle of a commit."""
    time.sleep(0.002)
    return os.write(descriptor, data[:97])


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    path, key_file, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    number = int(sys.argv[4]) if len(sys.argv) > 4 else 1 << 30
    operations = FileOperations(write=creeping) if mode == "creep" else FileOperations()
    key = SigningKey.load(key_file)
    actor = Actor(organisation="Brand", key_id=key.verifier.key_id, role="member")
    log = AuditLog.open(path, key, actor, operations=operations)
    if mode == "starve":
        room_bytes = path.stat().st_size + number
        resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, room_bytes))
        number = 1 << 30
    tell("ready")
    if mode == "beside":
        sys.stdin.readline()
    for count in range(number):
        try:
            indices = log.append(*[EVENT] * (1 + count % 4))
        except AuditError as error:
            tell(error.code)
            return
        tell(indices.start, indices.stop)


if __name__ == "__main__":
    main()
