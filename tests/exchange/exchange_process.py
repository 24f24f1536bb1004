"""A coordinator or a member in a process of its own, to be killed.

``coordinator FOLDER ADDRESS MEMBER…`` opens the phase ``sum`` of a run, prints the run, and answers every
message with the same message. ``member FOLDER ADDRESS RUN NAME`` sends one message, prints the
answer, and waits.
"""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.exchange.exchange_tools import QUICK, SMALL, WAIT_S, Sites

from hanse.client.exchange import open_exchange
from hanse.errors import HanseError
from hanse.server.exchange import Exchange, Hub


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(exchange: Exchange, member: str) -> None:
    try:
        while True:
            exchange.send(member, exchange.receive(member, WAIT_S))
    except HanseError as error:
        say(error.code)


def coordinate(folder: str, address: str, members: Sequence[str]) -> None:
    hub = Hub(SMALL, QUICK)
    with Sites(Path(folder)).serving(hub, address, frozenset(members)) as run:
        exchange = hub.open(run, "sum", members)
        say(run)
        threads = [threading.Thread(target=answer, args=(exchange, name)) for name in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def take_part(folder: str, address: str, run: str, name: str) -> None:
    with open_exchange(Sites(Path(folder)).site(name), address, run, "sum", SMALL, QUICK) as channel:
        channel.send(b"here")
        say(channel.receive(WAIT_S).decode())
        channel.receive(10 * WAIT_S)


if __name__ == "__main__":
    if sys.argv[1] == "coordinator":
        coordinate(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        take_part(*sys.argv[2:])
