"""Arm of the round-overhead benchmark: the coordinator's engine with a round that does almost nothing."""

import json
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np

from hanse.server.flower import prepare_environment
from hanse.server.transport import Transport
from tiny.gate import Gate
from tiny.model import FEATURES

TIMEOUT_S = 60.0


def main() -> None:
    """Serves until killed; the one argument is a JSON file with addresses, files and members."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(settings["folder"])
    prepare_environment(folder / "flower")
    # Imported now: Flower reads its environment when it is first imported.
    from hanse.server.flower.engine import EngineSettings, FlowerEngine  # noqa: PLC0415

    engine = FlowerEngine(
        EngineSettings(
            host="127.0.0.1",
            port=settings["port"],
            private_port=settings["private_port"],
            certificate=folder / "server.crt",
            key=folder / "server.key",
            authority=folder / "authority.crt",
            state_folder=folder / "flower",
        )
    )
    started_s = time.perf_counter()
    engine.start()
    try:
        for member, key in settings["members"].items():
            engine.register(member, key)
        engine.open_door()
        gate = Gate(folder / "gate")
        gate.report(0, time.perf_counter() - started_s)
        engine.run(lambda transport: conduct(transport, frozenset(settings["members"]), gate), lambda: False)
    finally:
        engine.stop()


def conduct(transport: Transport, members: frozenset[str], gate: Gate) -> None:
    """One exchange per round, as Hanse has it: it brings the update and the evaluation of what went in."""
    if transport.wait_for(members, TIMEOUT_S) != members:
        raise RuntimeError("not all nodes have connected")
    vector = np.zeros(FEATURES + 1, dtype="<f4")
    for number in count(1):
        gate.wait_until_open(number)
        started_s = time.perf_counter()
        replies = transport.begin(dict.fromkeys(members, vector.tobytes())).collect(TIMEOUT_S)
        if replies.failures:
            raise RuntimeError(str(replies.failures))
        answers = [np.frombuffer(body, dtype="<f4") for body in replies.bodies.values()]
        vector = np.mean(answers, axis=0, dtype="<f4")[:-1]
        gate.report(number, time.perf_counter() - started_s)


if __name__ == "__main__":
    main()
