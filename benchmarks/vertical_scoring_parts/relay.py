"""A relay that adds the time of a way to a partner: bytes go through as they are, each as much later.

Arguments: a file that says the port it leads to, and milliseconds that each direction takes. The file is read
for each connection: a partner that was started again has another port.
"""

import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeAlias

_READ_BYTES: Final = 1 << 16
_Piece: TypeAlias = tuple[float, bytes]


def relay(target: Path, way_s: float) -> None:
    """Takes connections for ever, and leads each to the target."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"ready 127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            near, _ = listening.accept()
            try:
                far = socket.create_connection(("127.0.0.1", int(target.read_text())))
            except OSError:
                near.close()  # as where nobody listens
                continue
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                way: SimpleQueue[_Piece] = SimpleQueue()
                threading.Thread(target=_take, args=(one, way, way_s), daemon=True).start()
                threading.Thread(target=_hand_over, args=(other, way), daemon=True).start()


def _take(come: socket.socket, way: "SimpleQueue[_Piece]", way_s: float) -> None:
    """Notes of each piece when it is due on the other side; an empty one is the end."""
    piece = b"first"
    while piece:
        try:
            piece = come.recv(_READ_BYTES)
        except OSError:
            piece = b""
        way.put((time.monotonic() + way_s, piece))


def _hand_over(go: socket.socket, way: "SimpleQueue[_Piece]") -> None:
    while True:
        due, piece = way.get()
        # Threads that sleep are punctual to a tenth of a millisecond; timers of event loops count whole ones.
        if (left_s := due - time.monotonic()) > 0:
            time.sleep(left_s)
        with suppress(OSError):
            if piece:
                go.sendall(piece)
                continue
            go.shutdown(socket.SHUT_RDWR)
        go.close()
        return


if __name__ == "__main__":
    relay(Path(sys.argv[1]), float(sys.argv[2]) / 1e3)
