"""Starts Flower runs and hands each one's transport to the rounds.

One run at a time: Flower keeps the identity of the running task in a process-wide variable.
"""

import contextlib
import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.app import Context
from flwr.common.constant import Status
from flwr.common.serde import context_from_proto, context_to_proto, fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import ListRunsRequest, RegisterNodeRequest, StartRunRequest, StopRunRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest, PushTaskOutputRequest
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from hanse.errors import IdentityError, TrainingError
from hanse.server.flower.bundle import build_bundle
from hanse.server.flower.grid import FlowerTransport, Node
from hanse.server.flower.link import LinkSettings, SuperLink
from hanse.server.transport import Transport

ACQUIRE_PATH = "/flwr.proto.Runtime/AcquireTask"
SERVER_TASK = "flwr-serverapp"

server_app = ServerApp()


@server_app.main()
def _main(grid: Grid, context: Context) -> None:
    """Flower's entry point; the work of a run is handed in by :meth:`FlowerEngine.run`."""
    del context
    _current_work[0](grid)


_current_work: list[Callable[[Grid], None]] = []


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where the embedded Flower listens and keeps its state; see :class:`LinkSettings`."""

    host: str
    port: int
    private_port: int
    certificate: Path
    key: Path
    authority: Path
    state_folder: Path


class FlowerEngine:
    """The coordinator's federated engine."""

    def __init__(self, settings: EngineSettings) -> None:
        logging.getLogger("flwr").setLevel(logging.ERROR)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # Secrets of this process; a restart makes new ones, and nothing outside ever holds them.
        self._token = secrets.token_urlsafe(32)
        self._task_secret = secrets.token_bytes(32)
        self._address = f"127.0.0.1:{settings.private_port}"
        self._authority = settings.authority.read_bytes()
        settings.state_folder.mkdir(parents=True, exist_ok=True)
        self._link = SuperLink(
            LinkSettings(
                host=settings.host,
                port=settings.port,
                private_port=settings.private_port,
                certificate=settings.certificate,
                key=settings.key,
                authority=settings.authority,
                database=settings.state_folder / "superlink.db",
                control_token=self._token,
                task_secret=self._task_secret,
            )
        )
        self._nodes: dict[str, Node] = {}
        self._busy = threading.Lock()

    def start(self) -> None:
        """Starts Flower; nodes can be registered, and cannot connect yet. See :meth:`SuperLink.start`."""
        self._link.start()
        self._end_left_runs()

    def open_door(self) -> None:
        """Lets registered nodes connect. One that asked before it is registered would be turned away."""
        self._link.open_door()

    def stop(self) -> None:
        """Closes the listeners."""
        self._link.stop()

    def register(self, member: str, flower_key: str) -> None:
        """Admits a member's node: from now on its key may connect. Idempotent.

        Args:
            member: Member name.
            flower_key: The node's public key, OpenSSH format, on a NIST curve.

        Raises:
            IdentityError: ``identity.bad-key`` when it is not such a key.
        """
        try:
            key = public_key_to_bytes(load_ssh_public_key(flower_key.encode()))  # type: ignore[arg-type, unused-ignore]
        except (ValueError, TypeError, AttributeError) as error:
            raise IdentityError("identity.bad-key", f"flower key of member {member}: {error}") from error
        node_id = self._link.node_id(key)
        if node_id is None:
            with self._control() as control:
                node_id = control.RegisterNode(RegisterNodeRequest(public_key=key, name=member)).node_id
        self._nodes[member] = Node(int(node_id), key)
        self._link.door.enrol(frozenset(node.public_key for node in self._nodes.values()))

    def run(self, work: Callable[[Transport], None], cancelled: Callable[[], bool]) -> None:
        """Runs ``work`` as a Flower ServerApp, in the calling thread.

        Args:
            work: The rounds; gets the transport to the registered members.
            cancelled: Returns True when the run is to end.

        Raises:
            TrainingError: ``run.busy`` when another run is active, ``run.engine`` when Flower fails.
            HanseError: Whatever ``work`` raises.
        """
        if not self._busy.acquire(blocking=False):
            raise TrainingError("run.busy", "one run at a time")
        try:
            run_id = self._start_flower_run()
            token = self._take_task(run_id)
            grid = HttpGrid(self._address, False, self._authority, token=token)  # noqa: FBT003 - Flower's interface
            try:
                self._serve(grid, lambda g: work(FlowerTransport(g, self._link.door, self._nodes, cancelled)))  # type: ignore[arg-type]
            finally:
                grid.close()
        finally:
            self._busy.release()

    def _end_left_runs(self) -> None:
        """Ends what a process before this one began.

        Flower would notice after a minute without heartbeats. Until then, a node that had a command in hand
        would wait for the objects of the dead run, and not ask for a command of the next.
        """
        with self._control() as control:
            for run_id, run in control.ListRuns(ListRunsRequest()).run_dict.items():
                if run.status.status != Status.FINISHED:
                    control.StopRun(StopRunRequest(run_id=run_id))

    def _start_flower_run(self) -> int:
        bundle = build_bundle()
        with self._control() as control:
            fab = fab_to_proto(Fab(hashlib.sha256(bundle).hexdigest(), bundle, {}))
            run_id: int = control.StartRun(StartRunRequest(fab=fab)).run_id
        if not run_id:
            raise TrainingError("run.engine", "Flower did not accept the run")
        return run_id

    def _take_task(self, run_id: int) -> str:
        """Takes this run's server task, the only one there is."""
        with self._runtime(self._task_secret) as runtime:
            answer = runtime.AcquireTask(AcquireTaskRequest(supported_task_types=[SERVER_TASK]))
        if not answer.token or answer.task.run_id != run_id:
            raise TrainingError("run.engine", "Flower has no task for the run")
        return str(answer.token)

    def _serve(self, grid: HttpGrid, work: Callable[[Grid], None]) -> None:
        runtime = grid._runtime_client  # noqa: SLF001 - Flower offers no public client for a task token
        heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(runtime))
        heartbeat.start()
        status, context = "failed", None
        try:
            task = runtime.PullTaskInput(PullTaskInputRequest())
            TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
            TaskIdentity.node_id = task.context.node_id
            grid.set_run(run_from_proto(task.run))
            context = context_from_proto(task.context)
            _current_work[:] = [work]
            server_app(grid, context)
            status = "completed"
        finally:
            _current_work.clear()
            proto = None if context is None else context_to_proto(context)
            # A failure to tell Flower how the run ended must not hide how it ended.
            with contextlib.suppress(Exception):
                runtime.PushTaskOutput(PushTaskOutputRequest(context=proto, sub_status=status, details=""))
            heartbeat.stop()

    @contextlib.contextmanager
    def _control(self) -> Iterator[ControlHttpClient]:
        client = ControlHttpClient.from_server_address(
            server_address=self._address,
            insecure=False,
            root_certificates=self._authority,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="hanse"), _Bearer(self._token)],
        )
        with contextlib.closing(client):
            yield client

    @contextlib.contextmanager
    def _runtime(self, secret: bytes) -> Iterator[RuntimeHttpClient]:
        client = RuntimeHttpClient.from_server_address(
            server_address=self._address,
            insecure=False,
            root_certificates=self._authority,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="hanse"),
                SuperExecAuthHttpInterceptor(
                    master_secret=secret, protected_methods=frozenset({ACQUIRE_PATH})
                ),
            ],
        )
        with contextlib.closing(client):
            yield client


class _Bearer:
    """Adds the control token to a request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept(self, context: Any, call_next: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - Flower's types
        """Flower's interceptor method."""
        context.request.headers["authorization"] = f"Bearer {self._token}"
        return call_next(context)
