"""Answers the scrapes of Prometheus."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server

from hanse.errors import ConfigurationError

MAXIMUM_PORT: Final = 65_535


@contextmanager
def serving_metrics(address: str | None, registry: CollectorRegistry) -> Iterator[None]:
    """Answers scrapes over plain HTTP during the block.

    Args:
        address: ``host:port``; None for nowhere.
        registry: What to answer with.

    Raises:
        ConfigurationError: ``config.invalid`` when the address is none or cannot be bound.
    """
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= MAXIMUM_PORT:
        raise ConfigurationError("config.invalid", "metrics_address is host:port, as 127.0.0.1:9401")
    try:
        server, thread = start_http_server(int(port), addr=host, registry=registry)
    except OSError as error:
        raise ConfigurationError("config.invalid", f"cannot listen on {address}: {error.strerror}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
