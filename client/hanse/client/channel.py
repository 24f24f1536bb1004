"""A connection to the coordinator's gRPC port: mutual TLS, and its errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from hanse.client.home import MemberHome
from hanse.errors import CATALOGUE, ConfigurationError, HanseError

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
CALL_TIMEOUT_S = 30.0
KEEPALIVE_MS = 20_000


def open_channel(home: MemberHome, address: str) -> grpc.Channel:
    """Connects when it is first used.

    Args:
        home: The site's folder: its TLS key and certificate, and the coordinator's authority.
        address: ``host:port`` of the coordinator's gRPC services.

    Raises:
        ConfigurationError: ``config.missing-file`` if no coordinator is enrolled.
    """
    if not home.authority.is_file():
        raise ConfigurationError(
            "config.missing-file", "the coordinator is not known here; `hanse enrol` its identity first"
        )
    credentials = grpc.ssl_channel_credentials(
        home.authority.read_bytes(), home.tls_key.read_bytes(), home.tls_certificate.read_bytes()
    )
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # Who only listens would never hear that the other side is gone.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        # A coordinator that was restarted is found again before its next command is answered.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    return grpc.secure_channel(address, credentials, options=options)


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turns gRPC errors of the block into ours: the coordinator's code where it sent one.

    Args:
        address: Whom the block asks, for the message.

    Raises:
        HanseError: With the coordinator's code, or ``run.engine`` if it did not answer.
    """
    try:
        yield
    except grpc.RpcError as error:
        metadata = error.trailing_metadata() or ()
        code = next((item.value for item in metadata if item.key == "hanse-error-code"), "")
        if code in CATALOGUE:
            raise HanseError(str(code), f"the coordinator answered: {error.details()}") from error
        raise HanseError(
            "run.engine", f"the coordinator at {address} did not answer ({error.code().name}); is it running?"
        ) from error
