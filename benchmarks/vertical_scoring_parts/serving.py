"""The processes of a call: a label holder's scorer, the way to its partner, the partner; and who asks."""

import os
import signal
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from common import Children
from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.server.parts.service import TELL_AGAIN_S
from scoring_parts.load import Load, run
from vertical_scoring_parts.serve_empty import METHOD as EMPTY_METHOD
from vertical_scoring_parts.site import Members

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
JOINT: Final = "joint"
OWN_COLUMNS: Final = "own_columns"
READY_S: Final = 120.0
CALL_S: Final = 5.0
_HERE: Final = Path(__file__).parent
_AT_ONCE: Final = 16
_EMPTY: Final = "empty.port"
_PARTNER: Final = "partner.port"


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one call.

    Attributes:
        seconds: How long it took.
        basis: On which columns the score rests; empty without one.
        code: Of gRPC, where there is no answer.
    """

    seconds: float
    basis: str
    code: str = ""


class Processes:
    """Starts and ends what answers.

    Args:
        children: Starts them.
        members: Whose they are.
        way_s: How long bytes take to the partner, and back from it, each.
    """

    def __init__(self, children: Children, members: Members, way_s: float) -> None:
        self._children = children
        self._members = members
        self._way_ms = way_s * 1e3
        self._started = 0
        self._partner = ""
        self.tls = members.tls()

    def start(self) -> tuple[int, int]:
        """Everything but the partner.

        Returns:
            Ports: of the scorer, and of the way to a partner that says nothing.
        """
        self._leads_to(_EMPTY, self._start(str(_HERE / "serve_empty.py"), str(self._members.folder)))
        self._members.link(f"127.0.0.1:{self._relay(_PARTNER)}")
        home = self._members.label_holder.root
        serve = ("-m", "hanse.cli", "serve", self._members.model, "--home", str(home))
        port = self._start(*serve, "--address", "127.0.0.1:0")
        return port, self._relay(_EMPTY)

    def start_partner(self, *, keep_s: int) -> None:
        """``hanse serve-part``; answers may be kept for as long."""
        home = self._members.partner.root
        serve = ("-m", "hanse.cli", "serve-part", self._members.model, "--home", str(home))
        # The link that it writes would name its own port; the label holder has the one of the relay.
        port = self._start(*serve, "--address", "127.0.0.1:0", HANSE_SERVE_PART_KEEP_S=str(keep_s))
        self._partner = f"{self._started}"
        self._leads_to(_PARTNER, port)

    def signal_partner(self, number: int) -> None:
        """Sends the partner a signal."""
        os.kill(self._children.pid(self._partner), number)

    def end_partner(self, number: int = signal.SIGTERM) -> None:
        """Ends the partner by a signal, and waits until it is gone."""
        self._children.end(self._partner, number)

    def _relay(self, target: str) -> int:
        return self._start(str(_HERE / "relay.py"), str(self._children.logs / target), str(self._way_ms))

    def _leads_to(self, target: str, port: int) -> None:
        (self._children.logs / target).write_text(str(port))

    def _start(self, *arguments: str, **environment: str) -> int:
        self._started += 1
        name = f"{self._started}"
        path = os.pathsep.join((str(_HERE.parent), *filter(None, sys.path)))
        own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment}
        self._children.start(name, [sys.executable, *arguments], own)
        return self._announced(name)

    def _announced(self, name: str) -> int:
        """The port that a process says it has."""
        until_s = time.monotonic() + READY_S
        while time.monotonic() < until_s:
            self._children.check()
            for line in (self._children.logs / f"{name}.txt").read_text().splitlines():
                if line.startswith("ready "):
                    return int(line.rpartition(":")[2])
            time.sleep(0.05)
        sys.exit(f"a process did not start within {READY_S} s")


def latencies_s(port: int, tls: ssl.SSLContext, requests: Sequence[bytes], calls: int) -> list[float]:
    """Times of calls to a scorer, one after the other; a call without an answer has none."""
    first, *others = requests
    return run(Load("127.0.0.1", port, METHOD, first, 1, calls, tuple(others)), tls).latencies_s


def empty_s(port: int, tls: ssl.SSLContext, calls: int) -> list[float]:
    """Times of calls to the partner that says nothing."""
    return run(Load("127.0.0.1", port, EMPTY_METHOD, b"\1" * 400, 1, calls), tls).latencies_s


class Client:
    """A calling system with gRPC's own client: it sets a time by which it wants to be answered.

    Args:
        channel: To the scorer.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._infer: Any = channel.unary_unary(
            METHOD, response_deserializer=oip.ModelInferResponse.FromString
        )

    def ask(self, request: bytes, timeout_s: float = CALL_S) -> Answered:
        """Makes one call."""
        began = time.perf_counter()
        try:
            basis = self._infer(request, timeout=timeout_s).parameters["basis"].string_param
        except grpc.RpcError as error:
            return Answered(time.perf_counter() - began, "", error.code().name)
        return Answered(time.perf_counter() - began, basis)

    def joint(self, requests: Sequence[bytes], wanted: int) -> list[bytes]:
        """Calls that are answered by both members, the first of them; others have no consent at one."""
        found: list[bytes] = []
        for at in range(0, len(requests), _AT_ONCE):
            some = requests[at : at + _AT_ONCE]
            calls = [self._infer.future(request, timeout=CALL_S) for request in some]
            for request, call in zip(some, calls, strict=True):
                if call.exception() is None and call.result().parameters["basis"].string_param == JOINT:
                    found.append(request)
            if len(found) >= wanted:
                return found[:wanted]
        sys.exit(f"only {len(found)} people are scored by both members")

    def until_kept(self, requests: Sequence[bytes]) -> None:
        """Asks for everybody once, when the partner is reached again: its answers are kept then."""
        self.until(requests[0], JOINT)
        time.sleep(2 * TELL_AGAIN_S)  # by then its epoch was told, without which nothing is kept
        for request in requests:
            self.ask(request)

    def until(self, request: bytes, basis: str) -> float:
        """Asks until an answer rests on these columns.

        Returns:
            How long that took, seconds.
        """
        began_s = time.monotonic()
        until_s = began_s + READY_S
        while self.ask(request).basis != basis:
            if time.monotonic() > until_s:
                sys.exit(f"no answer rests on {basis} within {READY_S} s")
            time.sleep(0.02)
        return time.monotonic() - began_s


@contextmanager
def calling(port: int, members: Members) -> Iterator[Client]:
    """A calling system's connection to the scorer."""
    pair = ((members.caller / name).read_bytes() for name in ("tls.key", "tls.crt"))
    credentials = grpc.ssl_channel_credentials(members.label_holder.serving_authority.read_bytes(), *pair)
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        yield Client(channel)
