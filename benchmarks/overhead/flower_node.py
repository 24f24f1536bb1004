"""Arm of the round-overhead benchmark: Flower's own node, its client app in the same, persistent process.

Flower's receive loop and all its waits are as they are in the stock node. The runner below takes the
place of the process that a stock node starts for every message.
"""

import secrets
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output
from flwr.supernode.start_client_internal import start_client_internal

from tiny.client_app import app

if TYPE_CHECKING:
    from flwr.app import Context
    from flwr.supercore.protobuf.client import ProtobufClientInterceptor

TASK_POLL_S = 1.0
"""Flower's own default for the process that waits for tasks (SuperExec)."""

ACQUIRE_PATH = "/flwr.proto.Runtime/AcquireTask"


def main() -> None:
    """Serves until killed; arguments: address, authority, key, member's number, port of its own API."""
    address, authority, key_file, member, port = sys.argv[1:]
    key = load_ssh_private_key(Path(key_file).read_bytes(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        sys.exit("not an ECDSA key")
    states = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    secret = secrets.token_bytes(32)
    own_address = f"127.0.0.1:{port}"
    _serve_runtime(states, secret, int(port))
    threading.Thread(target=run_tasks, args=(own_address, secret), daemon=True).start()
    start_client_internal(
        state_factory=states,
        server_address=address,
        node_config={"member": int(member)},
        root_certificates=Path(authority).read_bytes(),
        insecure=False,
        authentication_keys=(key, key.public_key()),
        isolation="process",
        runtime_api_address=own_address,
        superexec_auth_secret=secret,
    )


def _serve_runtime(states: NodeStateFactory, secret: bytes, port: int) -> None:
    node = create_app(state_factory=states, superexec_auth_secret=secret)
    server = uvicorn.Server(uvicorn.Config(node, host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)


def run_tasks(address: str, secret: bytes) -> None:
    """Calls the client app for every task, in this process."""
    auth = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=frozenset({ACQUIRE_PATH}))
    tasks = _client(address, auth)
    while True:
        answer = tasks.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-clientapp"]))
        if answer.HasField("task") and answer.token:
            run_task(_client(address, RuntimeTokenHttpInterceptor(answer.token)))
        else:
            time.sleep(TASK_POLL_S)


def run_task(runtime: RuntimeHttpClient) -> None:
    """Fetches a task's message, calls the client app, hands in the reply."""
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(runtime))
    heartbeat.start()
    context: Context | None = None
    try:
        message, context, _, _ = pull_task_input(runtime)
        push_message(runtime, app(message=message, context=context), context)
    finally:
        push_task_output(client=runtime, context=context, sub_status="completed", details="")
        heartbeat.stop()
        runtime.close()


def _client(address: str, interceptor: "ProtobufClientInterceptor") -> RuntimeHttpClient:
    return RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"), interceptor],
    )


if __name__ == "__main__":
    main()
