"""A member that talks to another: ``peers.py lead|follow HOME ADDRESS RUN PEER KEY``.

It opens the phase ``plain`` and beside it ``sealed``, with a sealed conversation to the other member, whose
verifier key is KEY. The one that follows answers every message as :func:`exchanging.member.answer` does. The
one that leads is told by the coordinator, in ``plain``, what to measure: ``plain|sealed COUNT KIND SIZE``,
with ``echo`` for a message of that size and back, ``take`` for one that is answered with a byte; it answers
with the seconds and the processor seconds that it took.
"""

import json
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from exchanging.member import WAIT_S, answer
from hanse.client.exchange import ExchangeChannel, open_exchange, open_peers
from hanse.client.home import MemberHome
from hanse.crypto import SigningKey, VerifierKey
from hanse.crypto.sealed import SealedTerms
from hanse.errors import HanseError
from hanse.exchange import PeerChannel

PHASES = ("plain", "sealed")


@dataclass(frozen=True)
class Unsealed:
    """What the exchange carries by itself."""

    relay: ExchangeChannel
    peer: str

    def send(self, body: bytes) -> None:
        """Sends."""
        self.relay.send(body, self.peer, WAIT_S)

    def receive(self) -> bytes:
        """Receives."""
        return self.relay.receive(WAIT_S, self.peer)


def follow(channel: PeerChannel) -> None:
    """Answers until the other side or the coordinator ends it."""
    with suppress(HanseError):
        while True:
            channel.send(answer(channel.receive()))


def lead(commands: ExchangeChannel, channels: dict[str, PeerChannel]) -> None:
    """Measures what it is told to, until the coordinator ends the phase."""
    with suppress(HanseError):
        while True:
            phase, count, kind, size = commands.receive(WAIT_S).decode().split()
            body = kind.encode() + bytes(int(size) - len(kind))
            begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
            for _ in range(int(count)):
                channels[phase].send(body)
                channels[phase].receive()
            taken = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
            commands.send(json.dumps(taken).encode())


def main() -> None:
    """Takes part until the coordinator ends the phases."""
    part, home_path, address, run, peer, peer_key = sys.argv[1:]
    home = MemberHome(Path(home_path))
    plain, sealed = (open_exchange(home, address, run, phase) for phase in PHASES)
    terms = SealedTerms("00" * 32, run, "sealed", "benchmark")
    with suppress(HanseError), plain, sealed:
        key, pinned = SigningKey.load(home.node_key), {peer: VerifierKey.decode(peer_key)}
        channels: dict[str, PeerChannel] = {
            "plain": Unsealed(plain, peer),
            "sealed": open_peers(sealed, key, terms, pinned, wait_s=WAIT_S)[peer],
        }
        if part == "lead":
            lead(plain, channels)
            return
        threads = [threading.Thread(target=follow, args=(channel,)) for channel in channels.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
