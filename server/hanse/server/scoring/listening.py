"""How a process of a member takes a port, and says so."""

import gc
import sys

import grpc

from hanse.errors import ConfigurationError
from hanse.server.completions import CallServer


def listen(server: CallServer, address: str, credentials: grpc.ServerCredentials | None) -> str:
    """Opens a port.

    Args:
        server: Not started yet.
        address: ``host:port``; port 0 takes a free one.
        credentials: Mutual TLS; None for plaintext.

    Returns:
        The address with the port that was taken.

    Raises:
        ConfigurationError: ``config.invalid`` if the port cannot be taken.
    """
    try:
        port = server.listen(address, credentials)
    except RuntimeError as error:
        raise ConfigurationError("config.invalid", f"cannot listen on {address}") from error
    return f"{address.rpartition(':')[0]}:{port}"


def announce(address: str) -> None:
    """Prints that calls are taken, for whoever started the process, which serves from now on.

    What was loaded stays as long as the process. Out of the garbage collector's sight, it no longer makes
    each full collection look at a hundred thousand objects, which all calls wait for.
    """
    gc.collect()
    gc.freeze()
    sys.stdout.write(f"ready {address}\n")
    sys.stdout.flush()
