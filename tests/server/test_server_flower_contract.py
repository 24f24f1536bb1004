"""What the two adapters touch of Flower: it fails here first when a minor release moves something."""

import inspect
from dataclasses import fields
from importlib.metadata import version

from flwr.app import ConfigRecord, RecordDict
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app
from flwr.superlink.routers.fleet.router import router
from flwr.supernode.fleet_http_connection import http_request_response

from hanse.client.flower import app
from hanse.client.flower import bundle as client_bundle
from hanse.server.flower import bundle, door, grid


def test_the_version_is_one_that_was_read() -> None:
    assert version("flwr").split(".")[:2] in (["1", "41"], ["1", "42"])


def test_the_link_takes_the_configuration_that_we_give() -> None:
    expected = {
        "authn_plugin",
        "superexec_auth_secret",
        "enable_supernode_auth",
        "database",
        "isolation",
        "runtime_dependency_install",
    }
    assert expected <= {field.name for field in fields(SuperLinkLifespanConfig)}
    assert list(inspect.signature(create_app).parameters) == ["config", "superlink_lifespan_class"]


def test_every_fleet_route_is_let_through_or_left_out_on_purpose() -> None:
    left_out = {"/v1/fleet/register-node", "/v1/fleet/unregister-node"}
    assert {route.path for route in router.routes} == door.ALLOWED | left_out  # type: ignore[attr-defined]
    assert door.KEY_HEADER.decode() == FLEET_HTTP_PUBLIC_KEY_HEADER


def test_the_node_connection_has_the_calls_that_the_loop_makes() -> None:
    parameters = inspect.signature(http_request_response).parameters
    assert {"server_address", "insecure", "root_certificates", "authentication_keys"} <= set(parameters)


def test_both_sides_put_the_command_into_the_same_place() -> None:
    assert (app.RECORD, app.FIELD) == (grid.RECORD, grid.FIELD)
    category, action = grid.MESSAGE_TYPE.split(".")
    assert f"{category}.{action}" in app.client_app._registered_funcs
    content = RecordDict({grid.RECORD: ConfigRecord({grid.FIELD: b"body"})})
    assert content.config_records[app.RECORD][app.FIELD] == b"body"


def test_our_own_bundle_passes_the_members_check() -> None:
    client_bundle.check_bundle(bundle.build_bundle())
