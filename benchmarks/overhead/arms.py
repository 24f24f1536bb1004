"""The arms of the round-overhead benchmark: each sets up its processes, then runs a round when told to."""

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.cli.build import build_fab_from_files
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest, StartRunRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from typing_extensions import override

from common import Children
from hanse.crypto import make_authority, make_flower_key, make_server_certificate
from hanse.server.ports import free_port
from tiny.gate import Gate

MEMBERS = (1, 2)
START_TIMEOUT_S = 240.0
POLL_S = 0.2
SCRIPTS = Path(__file__).parent
APP = SCRIPTS.parent / "flower_app"
BIN = Path(sys.executable).parent


class Arm:
    """What the arms share: a folder with keys and certificates, and a gate.

    Args:
        name: Name of the arm.
        folder: Folder to make.
        processes: Where to start the arm's processes.
    """

    def __init__(self, name: str, folder: Path, processes: Children) -> None:
        self.name = name
        self.folder = folder
        self.processes = processes
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        (folder / "gate").mkdir(parents=True)
        self.gate = Gate(folder / "gate")
        self.public_keys = self._make_keys()

    def _make_keys(self) -> dict[int, bytes]:
        now = datetime.now(UTC)
        authority_key, authority = make_authority(self.name, now, 1)
        key, certificate = make_server_certificate(authority_key, authority, ["127.0.0.1"], now, 1)
        files = {"authority.crt": authority, "server.key": key, "server.crt": certificate}
        public_keys = {}
        for member in MEMBERS:
            files[f"node-{member}.key"], public_keys[member] = make_flower_key()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        return public_keys

    def start(self) -> None:
        """Starts the processes; the first round waits until they are ready."""
        raise NotImplementedError

    def round(self, number: int) -> float:
        """Runs round ``number`` and returns the seconds that it took."""
        self.gate.open(number)
        return self.gate.wait_for_report(number, self.processes.check)

    def _python(self, name: str, script: str, *arguments: object) -> None:
        self._run(name, [sys.executable, SCRIPTS / script, *arguments], {"PYTHONPATH": str(APP)})

    def _run(self, name: str, command: Sequence[object], environment: dict[str, str] | None = None) -> None:
        """Starts a process with a Flower home of its own."""
        home = {"FLWR_HOME": str(self.folder / f"home-{name}")}
        self.processes.start(
            f"{self.name}-{name}", [str(part) for part in command], {**home, **(environment or {})}
        )


class HanseArm(Arm):
    """The coordinator's engine and the members' nodes, as ``hanse server`` and ``hanse client`` have them."""

    @override
    def start(self) -> None:
        """See :meth:`Arm.start`."""
        settings = {
            "folder": str(self.folder),
            "port": self.port,
            "private_port": free_port(),
            "members": {str(member): key.decode() for member, key in self.public_keys.items()},
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        self._python("coordinator", "hanse_coordinator.py", self.folder / "settings.json")
        self.gate.wait_for_report(0, self.processes.check)
        for member in MEMBERS:
            key = self.folder / f"node-{member}.key"
            home = self.folder / f"home-{member}"
            arguments = (self.address, self.folder / "authority.crt", key, member, home)
            self._python(f"node-{member}", "hanse_node.py", *arguments)


class FlowerArm(Arm):
    """Flower as its commands set it up, with TLS and node authentication.

    Args:
        name: Name of the arm.
        folder: Folder to make.
        processes: Where to start the arm's processes.
        rounds: Rounds that the run will have.
        persistent: Whether the client app lives in the node's process. Stock Flower starts a process for
            every message.
    """

    def __init__(
        self, name: str, folder: Path, processes: Children, *, rounds: int, persistent: bool
    ) -> None:
        super().__init__(name, folder, processes)
        self._rounds = rounds
        self._persistent = persistent

    @override
    def start(self) -> None:
        """See :meth:`Arm.start`."""
        self._start_superlink()
        with self._control() as control:
            self._wait_until_up(control)
            for member, key in self.public_keys.items():
                public = public_key_to_bytes(load_ssh_public_key(key))  # type: ignore[arg-type, unused-ignore]
                control.RegisterNode(RegisterNodeRequest(public_key=public, name=str(member)))
            self._submit(control)
        for member in MEMBERS:
            self._start_node(member)

    def _start_superlink(self) -> None:
        isolation = ["--isolation", "process"] if self._persistent else []
        files = {"ca-certfile": "authority.crt", "certfile": "server.crt", "keyfile": "server.key"}
        tls = [part for flag, name in files.items() for part in (f"--ssl-{flag}", self.folder / name)]
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        quiet = ["--enable-supernode-auth", "--disable-runtime-dependency-installation"]
        self._run("superlink", [BIN / "flower-superlink", *where, *tls, *quiet, *isolation], self._path())
        if self._persistent:
            trust = ["--root-certificates", self.folder / "authority.crt"]
            command = [BIN / "flower-superexec", "--runtime-api-address", self.address, *trust]
            self._run("superexec", command, self._path())

    def _start_node(self, member: int) -> None:
        authority, key = self.folder / "authority.crt", self.folder / f"node-{member}.key"
        if self._persistent:
            arguments = (self.address, authority, key, member, free_port())
            self._python(f"node-{member}", "flower_node.py", *arguments)
            return
        trust = ["--superlink", self.address, "--root-certificates", authority]
        own = ["--auth-supernode-private-key", key, "--host", "127.0.0.1", "--port", str(free_port())]
        command = [BIN / "flower-supernode", *trust, *own, "--node-config", f"member={member}"]
        self._run(f"node-{member}", command, self._path())

    @staticmethod
    def _path() -> dict[str, str]:
        """Flower starts its own commands by name."""
        return {"PATH": f"{BIN}:{os.environ.get('PATH', '')}"}

    def _submit(self, control: ControlHttpClient) -> None:
        files = {str(path.relative_to(APP)): path.read_bytes() for path in APP.rglob("*.py")}
        bundle, _ = build_fab_from_files({**files, "pyproject.toml": (APP / "pyproject.toml").read_bytes()})
        config = user_config_to_proto({"gate": str(self.folder / "gate"), "rounds": self._rounds})
        fab = fab_to_proto(Fab(sha256(bundle).hexdigest(), bundle, {}))
        if not control.StartRun(StartRunRequest(fab=fab, override_config=config)).run_id:
            sys.exit(f"{self.name}: Flower did not accept the run")

    def _control(self) -> ControlHttpClient:
        return ControlHttpClient.from_server_address(
            server_address=self.address,
            insecure=False,
            root_certificates=(self.folder / "authority.crt").read_bytes(),
            interceptors=[RuntimeVersionHttpInterceptor(component_name="benchmark")],
        )

    def _wait_until_up(self, control: ControlHttpClient) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            self.processes.check()
            try:
                control.ListNodes(ListNodesRequest())
            except httpx.TransportError:
                time.sleep(POLL_S)
            else:
                return
        sys.exit(f"{self.name}: the superlink was not up within {START_TIMEOUT_S:.0f} s")
