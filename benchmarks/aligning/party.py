"""One member of an alignment as a process of its own, over a socket on loopback; prints figures as JSON."""

import argparse
import json
import os
import resource
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hanse.alignment.identifiers import Column, prepare
from hanse.alignment.taking_part import take_part
from hanse.alignment.terms import Terms
from hanse.errors import ProtocolError
from hanse.policies.agreement.alignment import AlignmentRules, IdentifierRule

LOOK_EVERY_S = 0.2
LENGTH = struct.Struct(">I")
MEMBERS = ("brand", "insurer")
RULES = AlignmentRules(
    identifiers=(IdentifierRule(kind="email", normalisation="email"),),
    duplicates="refuse",
    malformed="refuse",
    minimum=1000,
    smallest_set=1000,
    runs=10,
)


@dataclass(slots=True)
class SocketChannel:
    """A channel over a connection; what it sends is counted, with the lengths."""

    peer: str
    connection: socket.socket
    sent_bytes: int = 0

    def send(self, body: bytes) -> None:
        """Sends a message."""
        self.connection.sendall(LENGTH.pack(len(body)) + body)
        self.sent_bytes += LENGTH.size + len(body)

    def receive(self) -> bytes:
        """Receives a message."""
        return self._read(LENGTH.unpack(self._read(LENGTH.size))[0])

    def _read(self, length: int) -> bytes:
        data = bytearray(length)
        view, at = memoryview(data), 0
        while at < length:
            got = self.connection.recv_into(view[at:])
            if not got:
                raise ProtocolError("exchange.closed", f"{self.peer} is gone")
            at += got
        return bytes(data)


def emails(member: str, size: int) -> list[str]:
    """Addresses of 24 characters; half of the other member's are among them."""
    start = size // 2 if member == MEMBERS[1] else 0
    return [f"person{number:07d}@shop.test" for number in range(start, start + size)]


def spent_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class Memory:
    """The most memory of this process and, as if they shared nothing, of those that compute for it.

    Not from ``RUSAGE_CHILDREN``: what it tells of a child begins with what its parent had at its start.
    """

    def __init__(self) -> None:
        self._children: dict[str, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def most_mb(self) -> float:
        """The most so far."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return (own + sum(self._children.values())) / 1e6

    def _watch(self) -> None:
        while True:
            for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                # It may end while it is looked at.
                with suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{child}/status").read_text().splitlines()
                    most = next(line for line in lines if line.startswith("VmHWM:"))
                    self._children[child] = 1024 * float(most.split()[1])
            time.sleep(LOOK_EVERY_S)


def tell(stage: str, done: int, of: int, reported: dict[str, int]) -> None:
    """Progress in tenths, on standard error."""
    tenth = 10 * done // of
    if tenth != reported.get(stage):
        reported[stage] = tenth
        print(f"{stage} {10 * tenth} %", file=sys.stderr, flush=True)


def main() -> None:
    """Aligns once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("member", choices=MEMBERS)
    parser.add_argument("--descriptor", type=int, required=True, help="of the connection to the other member")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    given = parser.parse_args()
    other = MEMBERS[1 - MEMBERS.index(given.member)]
    channel = SocketChannel(other, socket.socket(fileno=given.descriptor))
    memory = Memory()
    values = emails(given.member, given.size)
    terms = Terms("00" * 32, "benchmark", "joint_modelling.propensity", MEMBERS[0], MEMBERS, RULES)
    began, before = time.monotonic(), spent_s()
    prepared = prepare({"email": Column("email", values)}, RULES, given.member, os.urandom)
    done = take_part(
        given.member,
        prepared,
        {other: channel},
        terms,
        progress=partial(tell, reported={}),
        processes=given.processes,
    )
    figures = {
        "cpu_s": spent_s() - before,
        "wall_s": time.monotonic() - began,
        "sent_bytes": channel.sent_bytes,
        "found": len(done.rows),
        "root": done.root.hex(),
        "memory_mb": memory.most_mb(),
        "exact": {values[row] for row in done.rows.tolist()}
        == set(emails(MEMBERS[0], given.size)) & set(emails(MEMBERS[1], given.size)),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
