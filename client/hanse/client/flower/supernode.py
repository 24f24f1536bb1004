"""The member's SuperNode: Flower's connection, our receive loop, one process for everything.

Flower's own loop sleeps three seconds between questions and starts a process per message, which imports
torch each time. This loop asks again at once (the coordinator holds the question until there is an
answer) and calls the installed ClientApp in place. The app bundle of a run is fetched once, to be
checked; it is not stored, unpacked or imported.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Context, Error, Message, RecordDict
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
    push_object_contents_from_iterable,
)
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.fleet_http_connection import http_request_response
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from hanse.client.flower.app import client_app
from hanse.client.flower.bundle import check_bundle
from hanse.crypto import write_atomic
from hanse.errors import HanseError, IdentityError, ProtocolError, TrainingError

# Between questions that the coordinator answered at once with nothing (it does so only when it does
# not hold questions, an older version for example).
IDLE_S = 0.2
RETRY_S = 2.0
ERROR_CODE = 2
# A message, of which the coordinator has no part any more.
LOST = (ObjectPullError, ObjectPushError, ObjectUnavailableError)

log = logging.getLogger("hanse.node")


@dataclass(frozen=True, slots=True)
class NodeConnection:
    """How the node reaches the coordinator.

    Attributes:
        address: ``host:port`` of the coordinator's fleet routes.
        authority: PEM file, certificate of the authority that the coordinator's certificate chains to.
        key: File with the node's Flower key (ECDSA, OpenSSH).
        state: Folder for what the node remembers of the connection.
    """

    address: str
    authority: Path
    key: Path
    state: Path

    @property
    def node_id_file(self) -> Path:
        """The id that the coordinator's Flower knows this node by, from the last connection."""
        return self.state / "node-id"


class SuperNode:
    """Receives commands until told to stop.

    Args:
        connection: Where the coordinator is.
        refused: Called when a run's bundle is refused, with the error; it must write the log entry.
        connected: Called once the coordinator has accepted the node.
        stopping: Set to end the loop after the command in hand.
    """

    def __init__(
        self,
        connection: NodeConnection,
        refused: Callable[[ProtocolError], None],
        connected: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        self._connection = connection
        self._refused = refused
        self._connected = connected
        self._stopping = stopping
        self._bundles: dict[int, ProtocolError | None] = {}
        self._failure: BaseException | None = None

    def serve(self) -> None:
        """Connects and answers commands; returns when ``stopping`` is set.

        Raises:
            IdentityError: ``identity.unauthenticated`` when the coordinator does not know this node.
            TrainingError: ``run.engine`` when the connection ends for another reason.
        """
        key = load_ssh_private_key(self._connection.key.read_bytes(), password=None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise IdentityError("identity.bad-key", f"{self._connection.key} is not an ECDSA key")
        self._end_last_connection(key)
        try:
            with http_request_response(
                self._connection.address,
                insecure=False,
                root_certificates=self._connection.authority.read_bytes(),
                authentication_keys=(key, key.public_key()),
                max_wait_time=None,
            ) as link:
                self._guarded_loop(link)
        except SystemExit as error:  # Flower ends the process when it is refused; we say why instead.
            raise IdentityError(
                "identity.unauthenticated", f"the coordinator at {self._connection.address} refused this node"
            ) from error
        if self._failure is not None:
            raise TrainingError("run.engine", f"the connection failed: {self._failure!r}") from self._failure

    def _end_last_connection(self, key: EllipticCurvePrivateKey) -> None:
        """Signs off for a predecessor that was killed.

        Flower takes a node that did not sign off for connected until its heartbeats have been missing for a
        minute, and refuses it until then.
        """
        text = self._connection.node_id_file.read_text() if self._connection.node_id_file.exists() else ""
        if not text.isdecimal():
            return
        client = FleetHttpClient.from_server_address(
            self._connection.address,
            insecure=False,
            root_certificates=self._connection.authority.read_bytes(),
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        )
        with contextlib.closing(client), contextlib.suppress(httpx.HTTPError):
            client.DeactivateNode(DeactivateNodeRequest(node_id=int(text)))

    def _guarded_loop(self, link: tuple[Any, ...]) -> None:
        """Runs the loop; Flower swallows what its connection's body raises, so the error is kept here."""
        try:
            TaskIdentity.node_id, TaskIdentity.task_id = link[0], 0
            write_atomic(self._connection.node_id_file, str(link[0]).encode())
            self._connected()
            while not self._stopping.is_set():
                self._stopping.wait(self._pause_s(link))
        except Exception as error:  # noqa: BLE001 - re-raised by serve()
            self._failure = error

    def _pause_s(self, link: tuple[Any, ...]) -> float:
        """Answers a command if there is one; returns how long to wait before asking again.

        A coordinator that restarts, or a network that fails, is waited for; one that no longer knows this
        node is not.
        """
        try:
            return 0.0 if self._once(link) else IDLE_S
        except httpx.HTTPStatusError as error:
            if error.response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                raise
            log.warning("the coordinator answered %s; asking again", error.response.status_code)
        except httpx.TransportError as error:
            log.warning("the coordinator is not reachable (%s); asking again", type(error).__name__)
        return RETRY_S

    def _once(self, link: tuple[Any, ...]) -> bool:
        """Answers one command; False when there was none."""
        _, receive, send, get_run, get_fab, pull_object, push_object, confirm = link
        received = receive()
        if received is None:
            return False
        header, tree = received
        run_id = header.metadata.run_id
        TaskIdentity.run_id = run_id
        try:
            problem = self._bundle_problem(run_id, get_run, get_fab)
            ids = [node.object_id for node in iterate_object_tree(tree)]
            contents = pull_objects(ids, pull_object_fn=lambda object_id: pull_object(run_id, object_id))
            confirm(run_id, header.metadata.message_id)
            message = cast("Message", inflate_object_from_contents(header.metadata.message_id, contents))
            message.metadata.__dict__["_message_id"] = header.metadata.message_id
            started_s = time.monotonic()
            reply = self._reply(message, problem, link[0])
            _hand_in(reply, send, push_object, time.monotonic() - started_s)
        except (RunNotRunningException, *LOST) as error:
            # Of a coordinator that was restarted, too: it asks again for what it still wants.
            log.warning("the run ended while a command was in hand (%s)", type(error).__name__)
        return True

    def _bundle_problem(
        self, run_id: int, get_run: Callable[[int], Any], get_fab: Callable[[str, int], Any]
    ) -> ProtocolError | None:
        """Checks the bundle of a run when its first command arrives; a refusal is reported once and kept."""
        if run_id not in self._bundles:
            try:
                check_bundle(get_fab(get_run(run_id).fab_hash, run_id).content)
                self._bundles[run_id] = None
            except ProtocolError as error:
                self._bundles[run_id] = error
                self._refused(error)
        return self._bundles[run_id]

    def _reply(self, message: Message, problem: ProtocolError | None, node_id: int) -> Message:
        """Calls the installed app; whatever goes wrong becomes an error reply with a public message."""
        if problem is not None:
            return Message(Error(code=ERROR_CODE, reason=problem.public_message), reply_to=message)
        try:
            context = Context(message.metadata.run_id, node_id, {}, RecordDict(), {})
            return client_app(message=message, context=context)
        except HanseError as error:
            log.warning("%s", error)
            return Message(Error(code=ERROR_CODE, reason=error.public_message), reply_to=message)
        except Exception:
            log.exception("the command failed")
            return Message(Error(code=ERROR_CODE, reason="internal.error"), reply_to=message)


def _hand_in(
    reply: Message, send: Callable[..., Any], push_object: Callable[..., None], took_s: float
) -> None:
    with no_object_id_recompute():
        reply.metadata.__dict__["_message_id"] = reply.object_id
        run_id = reply.metadata.run_id
        wanted, session = send(reply, get_object_tree(reply), took_s)
        contents = (
            (key, value.deflate()) for key, value in get_all_nested_objects(reply).items() if key in wanted
        )
        push_object_contents_from_iterable(
            contents,
            push_object_fn=lambda object_id, content: push_object(run_id, session, object_id, content),
        )
