"""Loopback ports that are asked for now and listened on later."""

import socket

import pytest

from hanse.server.ports import free_port


def test_a_free_port_is_none_that_connections_get_by_themselves() -> None:
    ports = {free_port() for _ in range(50)}
    assert len(ports) > 40
    assert max(ports) < 32_768


def test_a_port_that_somebody_listens_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        drawn = iter([taken.getsockname()[1] - 10_240, 5])
        monkeypatch.setattr("secrets.randbelow", lambda _: next(drawn))
        assert free_port() != taken.getsockname()[1]
