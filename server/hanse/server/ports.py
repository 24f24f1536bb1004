"""Loopback ports for what only this machine uses."""

import errno
import secrets
import socket
from typing import Final

_FIRST: Final = 10_240
_COUNT: Final = 22_528
_ATTEMPTS: Final = 200


def free_port() -> int:
    """A loopback port that nothing listens on now.

    Who asks listens later. It is therefore none of the ports that a system gives to connections by itself,
    32,768 and above: on a busy machine one of those is soon somebody else's.

    Raises:
        OSError: If none is found.
    """
    for _ in range(_ATTEMPTS):
        port = _FIRST + secrets.randbelow(_COUNT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(errno.EADDRINUSE, "no loopback port is free")
