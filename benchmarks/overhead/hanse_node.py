"""Arm of the round-overhead benchmark: a member's node with a handler that does almost nothing."""

import signal
import sys
import threading
from pathlib import Path

import numpy as np

from hanse.client.flower import prepare_environment
from tiny import model


def main() -> None:
    """Serves until told to stop; arguments: address, authority, key, member's number, folder."""
    address, authority, key, number, folder = sys.argv[1:]
    state = Path(folder)
    state.mkdir()
    prepare_environment(state)
    # Imported now: Flower reads its environment when it is first imported.
    from hanse.client.flower import app  # noqa: PLC0415
    from hanse.client.flower.supernode import NodeConnection, SuperNode  # noqa: PLC0415

    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    app.install(lambda body: handle(body, int(number)))
    connection = NodeConnection(address, Path(authority), Path(key), state)
    SuperNode(connection, lambda _: None, lambda: None, stopping).serve()


def handle(body: bytes, member: int) -> bytes:
    """Evaluates the weights that came in, trains on them, and answers with both in one vector."""
    vector = np.frombuffer(body, dtype="<f4")
    loss = model.evaluate(vector[:-1], vector[-1:], member)
    weights, bias = model.train(vector[:-1], vector[-1:], member)
    return np.concatenate([weights, bias, [loss]]).astype("<f4").tobytes()


if __name__ == "__main__":
    main()
