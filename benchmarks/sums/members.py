"""A process of members: a thread and a session of the exchange each.

Usage: ``python benchmarks/sums/members.py SETTING``
"""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hanse.aggregation import MemberEpoch, Query, SumHistory
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.client.exchange import open_exchange
from hanse.client.home import MemberHome
from hanse.crypto import SigningKey
from hanse.errors import HanseError
from sums.wire import PHASE, RUN, Kind, Setting, agreed, query, values

IDLE_S = 120.0


class Member:
    """Answers what the coordinator asks."""

    def __init__(self, name: str, setting: Setting) -> None:
        self._name = name
        self._length, self._size = setting.length, len(setting.roster)
        self._agreed = agreed(setting.roster)
        self._key = SigningKey.load(MemberHome(Path(setting.folder) / name).node_key)
        self._history = SumHistory()
        self._values = values(name, setting.length)
        self._epoch: MemberEpoch | None = None

    def contribute(self, query: Query) -> NDArray[np.float64]:
        """The member's half of the algorithm."""
        del query
        return self._values

    def answer(self, data: bytes) -> bytes:
        """The answer to a question."""
        kind, body = Kind(data[0]), data[1:]
        if kind is Kind.CPU:
            return str(time.process_time()).encode()
        if kind is Kind.CLEAR:
            return self._in_clear()
        if kind is Kind.OPEN:
            self._epoch = MemberEpoch(self._agreed, self._key, self._name, self._history, os.urandom)
        if self._epoch is None:
            raise SystemExit("no epoch is open")
        return self._step(kind, body, self._epoch)

    def _step(self, kind: Kind, body: bytes, epoch: MemberEpoch) -> bytes:
        if kind is Kind.SHARED:
            epoch.shared(body)
            return b"ready"
        if kind is Kind.INPUT:
            number, place = (int(part) for part in body.split())
            return epoch.answer(place, query(number, self._length, self._size), self)
        steps = {
            Kind.OPEN: epoch.open,
            Kind.ADVERTISED: epoch.advertised,
            Kind.SURVIVORS: epoch.survivors,
            Kind.REVEAL: epoch.reveal,
        }
        return steps[kind](body)

    def _in_clear(self) -> bytes:
        """The same vector, encoded alike, in the same message."""
        asked = query(0, self._length, self._size)
        encoded = asked.encoding.encode(self.contribute(asked))
        return pb.SumInput(vector=encoded.tobytes()).SerializeToString()


def converse(name: str, setting: Setting) -> None:
    """Connects a member and answers until the coordinator ends the session."""
    member = Member(name, setting)
    home = MemberHome(Path(setting.folder) / name)
    with open_exchange(home, setting.address, RUN, PHASE) as channel:
        try:
            while True:
                channel.send(member.answer(channel.receive(IDLE_S)))
        except HanseError as error:
            if error.code != "exchange.closed":
                raise


def main() -> None:
    """Runs the members of a setting."""
    setting = Setting.load(Path(sys.argv[1]))
    threads = [
        threading.Thread(target=converse, args=(name, setting), daemon=True) for name in setting.members
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
