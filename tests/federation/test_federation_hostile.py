"""A stranger who holds only the authority's certificate, and a coordinator that sends code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.cli.build import build_fab_from_files
from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest, StartRunRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, RegisterNodeFleetRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

import hanse.server.flower.bundle as bundle_module
import hanse.server.flower.engine as engine_module
from hanse.demo.federation import COORDINATOR
from hanse.policies import Identity
from hanse.server.flower.engine import EngineSettings, FlowerEngine
from hanse.server.home import CoordinatorHome
from hanse.server.ports import free_port

pytestmark = [pytest.mark.federation, pytest.mark.timeout(240)]


def refused(call: Callable[[], Any]) -> int:
    """HTTP status that a call is refused with."""
    with pytest.raises(httpx.HTTPStatusError) as error:
        call()
    return error.value.response.status_code


def statuses(port: int, authority: bytes, public: bytes) -> list[int]:
    """What a stranger's attempts are refused with: register a node, list nodes, start a run, take a task."""
    options: dict[str, Any] = {
        "server_address": f"127.0.0.1:{port}",
        "insecure": False,
        "root_certificates": authority,
        "interceptors": [RuntimeVersionHttpInterceptor(component_name="stranger")],
    }
    control = ControlHttpClient.from_server_address(**options)
    runtime = RuntimeHttpClient.from_server_address(**options)
    run = StartRunRequest()
    run.fab.content = build_fab_from_files({"pyproject.toml": bundle_module.PYPROJECT})[0]
    task = AcquireTaskRequest(supported_task_types=["flwr-serverapp"])
    return [
        refused(lambda: control.RegisterNode(RegisterNodeRequest(public_key=public))),
        refused(lambda: control.ListNodes(ListNodesRequest())),
        refused(lambda: control.StartRun(run)),
        refused(lambda: runtime.AcquireTask(task)),
    ]


def test_a_stranger_registers_no_node_starts_no_run_takes_no_task(start: Callable[..., Any]) -> None:
    running = start(members=2, nodes=False)
    federation, private = running.federation, free_port()
    arguments = ["--fleet-port", str(federation.ports.fleet), "--port", str(federation.ports.people)]
    running.processes.start(
        COORDINATOR,
        ["server", "--home", str(federation.hub), *arguments],
        {"HANSE_SERVER_PRIVATE_PORT": str(private)},
    )
    running.processes.wait_until_ready(COORDINATOR)
    authority = CoordinatorHome(federation.hub).authority.read_bytes()
    key = ec.generate_private_key(ec.SECP384R1())
    public = public_key_to_bytes(key.public_key())

    assert set(statuses(federation.ports.fleet, authority, public)) == {404}
    assert set(statuses(private, authority, public)) <= {401, 403}

    fleet = FleetHttpClient.from_server_address(
        f"127.0.0.1:{federation.ports.fleet}",
        insecure=False,
        root_certificates=authority,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(key, key.public_key()),
        ],
    )
    assert refused(lambda: fleet.RegisterNode(RegisterNodeFleetRequest(public_key=public))) == 404
    assert refused(
        lambda: fleet.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30))
    ) in {401, 412}


@contextmanager
def hostile_engine(
    running: Any, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FlowerEngine]:
    """The coordinator's engine with its own keys, sending another bundle."""
    home = CoordinatorHome(running.federation.hub)
    settings = EngineSettings(
        host="127.0.0.1",
        port=running.federation.ports.fleet,
        private_port=free_port(),
        certificate=home.server_certificate,
        key=home.server_key,
        authority=home.authority,
        state_folder=home.flower_state,
    )
    monkeypatch.setattr(engine_module, "build_bundle", lambda: build_fab_from_files(files)[0])
    engine = FlowerEngine(settings)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def test_code_in_the_bundle_is_neither_run_nor_tolerated(
    start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(members=2, nodes=False)
    marker = tmp_path / "marker"
    attack = f"from pathlib import Path\nPath({str(marker)!r}).touch()\nclient_app = None\n".encode()
    files = {
        "pyproject.toml": bundle_module.PYPROJECT,
        "hanse/client/app.py": attack,
        "hanse/client/__init__.py": attack,
        "hanse/client/flower/app.py": attack,
        "sitecustomize.py": attack,
    }
    sites = running.federation.sites
    with hostile_engine(running, files, monkeypatch) as engine:
        for site in sites:
            engine.register(site.data.name, _flower_key(site))
        engine.open_door()
        for site in sites:
            running.federation.start_node(running.processes, site)
        for site in sites:
            running.processes.wait_until_ready(site.data.name)
        replies: list[Any] = []

        def work(transport: Any) -> None:
            names = frozenset(site.data.name for site in sites)
            assert transport.wait_for(names, 30) == names
            replies.append(transport.begin(dict.fromkeys(names, b"a command")).collect(30))

        engine.run(work, lambda: False)

    assert not replies[0].bodies
    assert set(replies[0].failures) == {site.data.name for site in sites}
    assert not marker.exists()
    for site in sites:
        entries = running.log(site.data.name)
        assert entries[-1].type.value == "bundle.refused"
        assert entries[-1].reasons == ("protocol.code-in-bundle",)


def _flower_key(site: Any) -> str:
    key = Identity.load(site.home.identity).flower_key
    assert key is not None
    return key
