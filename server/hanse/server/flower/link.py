"""Flower's SuperLink inside the coordinator's process, with two listeners.

* The *door*: what members reach. Fleet routes only (:mod:`hanse.server.flower.door`).
* The *back room*: all of Flower's routes, bound to loopback. The control routes ask for a token that
  only this process knows, the runtime's task routes for the SuperExec secret. Stock Flower asks for
  neither, so that anyone with the authority's certificate starts runs and takes the server's tasks.
"""

import hmac
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from flwr.supercore.auth.typing import AccountInfo
from flwr.superlink.auth_plugin import ControlAuthnPlugin
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app
from typing_extensions import override

from hanse.errors import TrainingError
from hanse.server.flower.door import Application, FleetDoor

# Flower's open-source federation manager knows this one account.
ACCOUNT_ID = "<id:none>"
TOKEN_METADATA = "flwr-oidc-access-token"  # noqa: S105 - the name of a header, not a token
START_TIMEOUT_S = 60.0
START_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What the link needs.

    Attributes:
        host: Address that members reach.
        port: Port that members reach.
        private_port: Loopback port of the back room.
        certificate: PEM file, server certificate.
        key: PEM file, its key.
        authority: PEM file, certificate of the authority that signed it.
        database: SQLite file; always a file, because with an in-memory state a restart forgets the nodes.
        control_token: Secret for the control routes.
        task_secret: Secret for the runtime's task routes.
    """

    host: str
    port: int
    private_port: int
    certificate: Path
    key: Path
    authority: Path
    database: Path
    control_token: str
    task_secret: bytes


class _TokenPlugin(ControlAuthnPlugin):  # type: ignore[misc, unused-ignore]
    """Lets in whoever presents the coordinator's own token, and nobody else."""

    def __init__(self, token: str) -> None:
        self._token = token

    @override
    def get_login_details(self) -> None:
        """There is no interactive login."""

    @override
    def validate_tokens_in_metadata(
        self, metadata: Sequence[tuple[str, str | bytes]]
    ) -> tuple[bool, AccountInfo | None]:
        """Compares in constant time."""
        given = str(dict(metadata).get(TOKEN_METADATA, ""))
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return False, None
        return True, AccountInfo(ACCOUNT_ID, "coordinator")

    @override
    def get_auth_tokens(self, device_code: str) -> None:
        """There is no interactive login."""

    @override
    def refresh_tokens(
        self,
        metadata: Sequence[tuple[str, str | bytes]],
    ) -> tuple[None, None]:
        """Tokens are not refreshed; they live as long as the process."""
        return None, None


class SuperLink:
    """The embedded SuperLink: :meth:`start`, register nodes, :meth:`open_door`, at last :meth:`stop`."""

    def __init__(self, settings: LinkSettings) -> None:
        app = create_app(_lifespan_config(settings), SuperLinkLifespan)
        self._states = app.state.linkstate_factory
        self.door = FleetDoor(app)
        self._servers = (
            _server(app, "127.0.0.1", settings.private_port, settings, lifespan="on"),
            _server(self.door, settings.host, settings.port, settings, lifespan="off"),
        )
        self._threads = [threading.Thread(target=server.run, daemon=True) for server in self._servers]

    def start(self) -> None:
        """Opens the back room; returns when it accepts connections.

        Raises:
            TrainingError: ``run.engine`` when one of them does not come up (a port in use, most often).
        """
        self._open(0)

    def open_door(self) -> None:
        """Lets members connect; returns when the door accepts connections.

        Raises:
            TrainingError: As :meth:`start`.
        """
        self._open(1)

    def _open(self, which: int) -> None:
        server, thread = self._servers[which], self._threads[which]
        deadline_s = time.monotonic() + START_TIMEOUT_S
        thread.start()
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline_s:
                raise TrainingError(
                    "run.engine",
                    f"listener on port {server.config.port} did not start; is the port in use?",
                )
            time.sleep(START_POLL_S)

    def stop(self) -> None:
        """Closes both listeners; held questions are dropped."""
        self.door.close()
        for server in self._servers:
            server.should_exit = True
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=10)

    def node_id(self, public_key: bytes) -> int | None:
        """Flower's node id of a registered key, or None."""
        found: int | None = self._states.state().get_node_id_by_public_key(public_key)
        return found


def _lifespan_config(settings: LinkSettings) -> SuperLinkLifespanConfig:
    return SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host="127.0.0.1",
        port=settings.private_port,
        insecure=False,
        certificates=(
            settings.authority.read_bytes(),
            settings.certificate.read_bytes(),
            settings.key.read_bytes(),
        ),
        superexec_auth_secret=settings.task_secret,
        authn_plugin=_TokenPlugin(settings.control_token),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type="grpc-rere",
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=str(settings.authority),
        ssl_certfile=str(settings.certificate),
        ssl_keyfile=str(settings.key),
        database=str(settings.database),
        isolation="process",
        runtime_dependency_install=False,
    )


def _server(app: Application, host: str, port: int, settings: LinkSettings, lifespan: str) -> uvicorn.Server:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type, unused-ignore]
        host=host,
        port=port,
        ssl_certfile=str(settings.certificate),
        ssl_keyfile=str(settings.key),
        lifespan="on" if lifespan == "on" else "off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)
