"""The servers that are compared, each a process of its own, with what asks them."""

import json
import os
import ssl
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import numpy as np

from common import Children
from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.server.ports import free_port
from scoring_parts.load import Load, Outcome, run
from scoring_parts.site import CALLER, COLUMNS, PURPOSE, make_site, model_layers, subject

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
SUBJECTS: Final = 20_000
READY_S: Final = 120
HERE: Final = Path(__file__).parent
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Attributes:
        port: Its port on loopback.
        pid: Its process.
        tls: For connections to it; None for plaintext.
        features: How many features a row has where the model is asked directly; 0 where a site is asked.
    """

    port: int
    pid: int
    tls: ssl.SSLContext | None
    features: int

    def request(self, rows: int) -> bytes:
        """A request about some rows, serialised."""
        return _features(rows, self.features) if self.features else site_request(rows)

    def ask(self, rows: int, streams: int, calls: int) -> tuple[Outcome, float]:
        """Asks, and says how many seconds of processor time the server took."""
        load = Load("127.0.0.1", self.port, METHOD, self.request(rows), streams, calls)
        before = self.cpu_s()
        outcome = run(load, self.tls)
        return outcome, self.cpu_s() - before

    def cpu_s(self) -> float:
        """Processor time of the process so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def site_request(rows: int, first: int = 0) -> bytes:
    """A request to a site: subjects who have granted scoring, and a tensor per column."""
    request = oip.ModelInferRequest(model_name="propensity")
    request.parameters["purpose"].string_param = PURPOSE
    names = [subject((first + number) % SUBJECTS).encode() for number in range(rows)]
    request.inputs.add(name="subject_id", datatype="BYTES", shape=[rows])
    request.raw_input_contents.append(b"".join(struct.pack("<I", len(name)) + name for name in names))
    rng = np.random.default_rng(1)
    for column in COLUMNS:
        request.inputs.add(name=column, datatype="FP32", shape=[rows])
        request.raw_input_contents.append(rng.normal(size=rows).astype("<f4").tobytes())
    return request.SerializeToString()


def _features(rows: int, features: int) -> bytes:
    request = oip.ModelInferRequest(model_name="propensity")
    request.inputs.add(name="features", datatype="FP32", shape=[rows, features])
    values = np.random.default_rng(1).normal(size=(rows, features)).astype("<f4")
    request.raw_input_contents.append(values.tobytes())
    return request.SerializeToString()


def start_all(started: Children, root: Path) -> dict[str, Server]:
    """Starts ours, the empty handler, and whichever of the peers a Python is named for."""
    site = root / "site"
    site.mkdir()
    settings = make_site(site, SUBJECTS)
    (site / "settings.json").write_text(settings.model_dump_json())
    tls = ssl.create_default_context(cafile=site / "authority.crt")
    tls.load_cert_chain(site / f"{CALLER}.crt", site / f"{CALLER}.key")
    tls.set_alpn_protocols(["h2"])
    path = os.pathsep.join((str(HERE.parent), *filter(None, sys.path)))
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    started.start("ours", [sys.executable, str(HERE / "serve_ours.py"), str(site / "settings.json")], own)
    started.start("empty", [sys.executable, str(HERE / "serve_empty.py"), str(site)], own)
    servers = {
        name: Server(_announced(started, name), started.pid(name), tls, 0) for name in ("ours", "empty")
    }
    layers = model_layers(settings)
    arrays = {
        f"{kind}{place}": part
        for place, pair in enumerate(layers)
        for kind, part in zip("wb", pair, strict=True)
    }
    np.savez(root / "weights.npz", allow_pickle=False, **arrays)
    peers = {"kserve": _start_kserve, "mlserver": _start_mlserver}
    for name, start in peers.items():
        python = os.environ.get(f"HANSE_{name.upper()}_PYTHON")
        if python:
            port = start(started, python, root)
            servers[name] = Server(port, started.pid(name), None, layers[0][0].shape[1])
            _wait_for(started, servers[name])
    return servers


def _announced(started: Children, name: str) -> int:
    """The port that a server says it has."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        started.check()
        for line in (started.logs / f"{name}.txt").read_text().splitlines():
            if line.startswith("ready "):
                return int(line.rpartition(":")[2])
        time.sleep(0.05)
    sys.exit(f"{name} did not start within {READY_S} s")


def _wait_for(started: Children, server: Server) -> None:
    deadline_s = time.monotonic() + READY_S
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        infer: Callable[..., object] = channel.unary_unary(METHOD)
        while True:
            try:
                infer(server.request(1), timeout=5)
            except grpc.RpcError as error:
                started.check()
                if time.monotonic() > deadline_s:
                    sys.exit(f"a peer did not start: {error.details()}")
                time.sleep(0.2)
            else:
                return


def _start_kserve(started: Children, python: str, root: Path) -> int:
    port = free_port()
    command = [python, str(HERE / "serve_kserve.py"), str(root / "weights.npz"), str(free_port()), str(port)]
    started.start("kserve", command, _peer_environment())
    return port


def _start_mlserver(started: Children, python: str, root: Path) -> int:
    folder = root / "mlserver"
    folder.mkdir()
    ports = {"http_port": free_port(), "grpc_port": free_port(), "metrics_port": free_port()}
    # Without a process of workers: faster, and with them a new uvloop does not start.
    (folder / "settings.json").write_text(json.dumps({"parallel_workers": 0, "host": "127.0.0.1", **ports}))
    model = {"name": "propensity", "implementation": "mlserver_runtime.Propensity"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    environment = {**_peer_environment(), "WEIGHTS": str(root / "weights.npz"), "PYTHONPATH": str(HERE)}
    started.start("mlserver", [str(Path(python).with_name("mlserver")), "start", str(folder)], environment)
    return ports["grpc_port"]


def _peer_environment() -> Mapping[str, str]:
    return {"PYTHONPATH": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
