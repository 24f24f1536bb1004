"""Scores: what a call costs with everything on, beside an empty handler, KServe and MLServer.

See README.md in this folder for what is measured and how.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import grpc
import numpy as np

from common import Figure, Options, children, finish, parse_options
from hanse.api.inference import open_inference_grpc_pb2 as oip
from scoring_parts.servers import METHOD, Server, site_request, start_all
from scoring_parts.site import CALLER

STREAMS = 16
MOST_OF_EMPTY = 1.3
OVER_KSERVE = 2.0
OVER_MLSERVER = 2.5
ROWS_PER_S = 0.8
ALONE_MS = 1.5
LARGE = 1024
GRANTED = 20_000


class Measured:
    """What the rounds gave, per server.

    Attributes:
        cpu_us: Processor time of the server per call of one row, 16 at a time.
        per_s: Such calls per second.
        large_cpu_us: Processor time per call of 1,024 rows, 4 at a time.
        alone_ms: Median time of calls of one row, one at a time.
        refused: Calls that were not answered.
    """

    def __init__(self) -> None:
        self.cpu_us: list[float] = []
        self.per_s: list[float] = []
        self.large_cpu_us: list[float] = []
        self.alone_ms: list[float] = []
        self.refused = 0


def measure(servers: Mapping[str, Server], options: Options) -> dict[str, Measured]:
    """Asks all servers in turn, round after round, so that all have the same neighbours."""
    measured = {name: Measured() for name in servers}
    rounds, calls = (3, 500) if options.quick else (8, 2_000)
    for server in servers.values():
        server.ask(1, STREAMS, calls // 2)
        server.ask(LARGE, 4, 20)
    for _ in range(rounds):
        for name, server in servers.items():
            own = measured[name]
            outcome, cpu_s = server.ask(1, STREAMS, calls)
            own.cpu_us.append(cpu_s / calls * 1e6)
            own.per_s.append(outcome.answered / outcome.elapsed_s)
            large, large_cpu_s = server.ask(LARGE, 4, calls // 20)
            own.large_cpu_us.append(large_cpu_s / (calls // 20) * 1e6)
            alone, _ = server.ask(1, 1, calls // 5)
            own.alone_ms.append(statistics.median(alone.latencies_s or [float("inf")]) * 1e3)
            own.refused += outcome.refused + large.refused + alone.refused
    return measured


def sync_ms(folder: Path, times: int) -> float:
    """How long the disk takes to keep a page, median, milliseconds."""
    taken_s = []
    with (folder / "page").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken_s.append(time.perf_counter() - began)
    return statistics.median(taken_s) * 1e3


def check_answers(server: Server, root: Path) -> None:
    """A real client: scores where there is a grant, none and a mark where there is none."""
    authority, key, certificate = (
        (root / "site" / name).read_bytes() for name in ("authority.crt", f"{CALLER}.key", f"{CALLER}.crt")
    )
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        infer: grpc.UnaryUnaryMultiCallable[bytes, oip.ModelInferResponse] = channel.unary_unary(
            METHOD, response_deserializer=oip.ModelInferResponse.FromString
        )
        granted = infer(site_request(LARGE))
        bands = np.frombuffer(granted.raw_output_contents[0], "<f4")
        if bands.shape != (LARGE,) or not set(bands.tolist()) <= set(range(1, 11)):
            sys.exit("the scores are not the agreed bands")
        unknown = oip.ModelInferRequest.FromString(site_request(2))
        unknown.raw_input_contents[0] = unknown.raw_input_contents[0][:-1] + b"X"
        mixed = infer(unknown.SerializeToString())
        decisions = mixed.raw_output_contents[1]
        if b"permit" not in decisions or b"deny:P26" not in decisions:
            sys.exit("who has not granted scoring was not denied")


def figures(measured: Mapping[str, Measured], disk_ms: float) -> list[Figure]:
    """The figures, with their bars."""
    ours, empty = measured["ours"], measured["empty"]
    found = [
        Figure("server CPU per call, one row, 16 at a time: empty handler", min(empty.cpu_us), "µs"),
        Figure("server CPU per call, one row, 16 at a time: ours", min(ours.cpu_us), "µs"),
        Figure("ours over the empty handler", min(ours.cpu_us) / min(empty.cpu_us), "times", MOST_OF_EMPTY),
        Figure("calls per second, 16 at a time: empty handler", max(empty.per_s), "1/s"),
        Figure("calls per second, 16 at a time: ours", max(ours.per_s), "1/s"),
    ]
    for name, floor in (("kserve", OVER_KSERVE), ("mlserver", OVER_MLSERVER)):
        peer = measured.get(name)
        ratio = None if peer is None else max(ours.per_s) / max(peer.per_s)
        if peer is not None:
            found += [
                Figure(f"calls per second, 16 at a time: {name}", max(peer.per_s), "1/s"),
                Figure(f"server CPU per call: {name}", min(peer.cpu_us), "µs"),
                Figure(f"rows per second of CPU, 1,024 a call: {name}", _rows_per_s(peer), "million/s"),
            ]
        found.append(Figure(f"ours over {name}, calls per second", ratio, "times", floor=floor))
    alone = min(ours.alone_ms)
    return [
        *found,
        Figure(
            "rows per second of CPU, 1,024 a call: ours", _rows_per_s(ours), "million/s", floor=ROWS_PER_S
        ),
        Figure("one call at a time: empty handler, median", min(empty.alone_ms), "ms"),
        Figure("one call at a time: ours, median", alone, "ms"),
        Figure("the disk's sync, median", disk_ms, "ms"),
        Figure("one call at a time: ours without the disk's sync", alone - disk_ms, "ms", ALONE_MS),
        Figure("calls that were not answered", sum(each.refused for each in measured.values()), "calls", 0),
    ]


def _rows_per_s(measured: Measured) -> float:
    return LARGE / min(measured.large_cpu_us)


def main() -> int:
    """Measures, checks, prints."""
    options = parse_options((__doc__ or "").partition("\n")[0])
    with (
        tempfile.TemporaryDirectory(prefix="hanse-scoring-") as folder,
        children(Path(folder) / "logs") as started,
    ):
        root = Path(folder)
        servers = start_all(started, root)
        check_answers(servers["ours"], root)
        measured = measure(servers, options)
        check_answers(servers["ours"], root)
        disk_ms = sync_ms(root, 50 if options.quick else 300)
    return finish("Scoring", figures(measured, disk_ms), options)


if __name__ == "__main__":
    sys.exit(main())
