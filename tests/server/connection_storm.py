"""Opens and closes connections to a listener as fast as this machine can, and prints how many.

``SECONDS``: meanwhile the listener takes up other certificates again and again. A process of its own: what
this looks for ends the process.
"""

import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.server.test_server_listener import Site

AT_ONCE = 20
THREADS = 4


def storm(port: int, until_s: float) -> int:
    count = 0
    while time.monotonic() < until_s:
        with ExitStack() as stack:
            for _ in range(AT_ONCE):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                count += 1
    return count


def main(seconds: float) -> None:
    with TemporaryDirectory() as folder, Site(Path(folder)) as site, ThreadPoolExecutor(THREADS) as pool:
        until_s = time.monotonic() + seconds
        ways = [pool.submit(storm, site.port, until_s) for _ in range(THREADS)]
        ended = threading.Event()
        number = 0
        while not ended.wait(0.25) and time.monotonic() < until_s:
            number += 1
            site.enrol(f"member-{number}")
            site.listener.renew()
        made = sum(way.result() for way in ways)
        assert site.says("member-1") == b"member-1"
        sys.stdout.write(f"{made} connections, {number} members\n")


if __name__ == "__main__":
    main(float(sys.argv[1]))
