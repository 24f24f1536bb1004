"""The coordinator of the secure sum benchmark: the exchange's hub, and the two ways of making a sum."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from hanse.aggregation import CoordinatorEpoch, SumTerms, ask_enough, question_digest
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.api.v1 import exchange_pb2 as exchange_pb
from hanse.api.v1 import exchange_pb2_grpc as pb_grpc
from hanse.client.home import MemberHome
from hanse.crypto import SigningKey, make_authority, make_client_certificate, make_server_certificate
from hanse.server.exchange import Exchange, Hub
from hanse.server.ports import free_port
from sums.wire import AGREEMENT, MINIMUM, PHASE, PURPOSE, RUN, Kind, agreed, query

WAIT_S = 60.0
DAYS = 2


def make_identities(folder: Path, members: Iterable[str]) -> dict[str, str]:
    """Writes everybody's keys and certificates; returns the roster."""
    now = datetime.now(UTC)
    authority_key, authority = make_authority("benchmark", now, DAYS)
    key, certificate = make_server_certificate(authority_key, authority, ["127.0.0.1"], now, DAYS)
    (folder / "server.key").write_bytes(key)
    (folder / "server.crt").write_bytes(certificate)
    roster = {}
    for member in members:
        home, identity = MemberHome(folder / member), SigningKey.generate(member)
        key, certificate = make_client_certificate(member, now, DAYS)
        for path, data in (
            (home.authority, authority),
            (home.tls_key, key),
            (home.tls_certificate, certificate),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        home.node_key.parent.mkdir(parents=True, exist_ok=True)
        identity.save(home.node_key)
        roster[member] = identity.verifier.encode()
    return roster


class Service(pb_grpc.ExchangeServicer):
    """The exchange without enrolment: a member is whoever its certificate names."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @override
    def Open(
        self, request_iterator: Iterator[exchange_pb.MemberFrame], context: grpc.ServicerContext
    ) -> Iterator[exchange_pb.CoordinatorFrame]:
        """See the protocol file."""
        member = bytes(next(iter(context.auth_context()["x509_common_name"]))).decode()
        yield from self._hub.connect(member, request_iterator, context.cancel, lambda _run: None)


@contextmanager
def serving(folder: Path, members: Collection[str]) -> Iterator[tuple[str, Exchange]]:
    """Opens the phase; yields the address."""
    address = f"127.0.0.1:{free_port()}"
    server = grpc.server(ThreadPoolExecutor(len(members) + 2))
    with Hub() as hub:
        pb_grpc.add_ExchangeServicer_to_server(Service(hub), server)
        clients = b"".join(MemberHome(folder / member).tls_certificate.read_bytes() for member in members)
        pair = ((folder / "server.key").read_bytes(), (folder / "server.crt").read_bytes())
        server.add_secure_port(
            address, grpc.ssl_server_credentials([pair], clients, require_client_auth=True)
        )
        server.start()
        with hub.open(RUN, PHASE, members) as exchange:
            yield address, exchange
        server.stop(1).wait()


class Sums:
    """Makes sums over an exchange, in clear and in secret."""

    def __init__(self, exchange: Exchange, roster: dict[str, str], length: int, sums: int) -> None:
        self.members = sorted(roster)
        self._exchange = exchange
        self._roster = agreed(roster).members
        self._length = length
        self._sums = sums
        self._opened = 0
        self._made = 0
        self._place = 0
        self._epoch: CoordinatorEpoch | None = None

    def ask(self, kind: Kind, messages: Mapping[str, bytes], take: Callable[[str, bytes], object]) -> None:
        """Asks some members, and takes their answers."""
        for member, message in messages.items():
            self._exchange.send(member, bytes([kind]) + message)
        for member in messages:
            take(member, self._exchange.receive(member, WAIT_S))

    def member_seconds(self) -> float:
        """Processor time of the members so far; one process each."""
        seconds: list[float] = []
        self.ask(Kind.CPU, dict.fromkeys(self.members, b""), lambda _, answer: seconds.append(float(answer)))
        return sum(seconds)

    def prepare(self) -> None:
        """Opens the next epoch."""
        self._opened += 1
        self._place = 0
        terms = SumTerms(AGREEMENT, RUN, self._opened, PURPOSE, self._roster, MINIMUM, self._sums)
        epoch = self._epoch = CoordinatorEpoch(terms)
        opening = dict.fromkeys(self.members, terms.opening())
        self.ask(Kind.OPEN, opening, epoch.take_advertisement)
        self.ask(Kind.ADVERTISED, epoch.close_advertisements(), epoch.take_shares)
        self.ask(Kind.SHARED, epoch.close_shares(), lambda _member, _answer: None)

    def in_clear(self, without: Collection[str] = ()) -> NDArray[np.float64]:
        """Adds what members send as it is."""
        encoding = query(0, self._length, len(self._roster)).encoding
        total = encoding.zeros(self._length)

        def take(member: str, answer: bytes) -> None:
            del member
            vector = pb.SumInput.FromString(answer).vector
            np.add(total, np.frombuffer(vector, total.dtype), out=total)

        self.ask(Kind.CLEAR, {member: b"" for member in self.members if member not in without}, take)
        return encoding.decode(total)

    def in_secret(
        self, no_input: Collection[str] = (), no_reveal: Collection[str] = ()
    ) -> NDArray[np.float64]:
        """Makes a secure sum; who vanishes is noticed at once, as a broken connection is."""
        if self._epoch is None or self._place == self._sums:
            self.prepare()
        place, self._place, self._made = self._place, self._place + 1, self._made + 1
        asked = query(self._made, self._length, len(self._roster))
        empty = asked.encoding.zeros(self._length)
        state = self._prepared().sum(place, question_digest(asked), empty)
        present = [member for member in self.members if member not in no_input]
        self.ask(Kind.INPUT, dict.fromkeys(present, b"%d %d" % (self._made, place)), state.take_input)

        def reveal(certificates: Mapping[str, bytes]) -> None:
            there = {member: made for member, made in certificates.items() if member not in no_reveal}
            self.ask(Kind.REVEAL, there, state.take_reveal)

        ask_enough(state, lambda lists: self.ask(Kind.SURVIVORS, lists, state.take_confirmation), reveal)
        total, survivors = state.total()
        if list(survivors) != present:
            raise SystemExit("not the sum of those who have sent an input")
        return asked.encoding.decode(total)

    def _prepared(self) -> CoordinatorEpoch:
        if self._epoch is None:
            raise SystemExit("no epoch is prepared")
        return self._epoch
