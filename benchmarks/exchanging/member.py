"""A member of the exchange's benchmark: ``member.py exchange|bare HOME ADDRESS RUN PHASE``.

It answers every message until the coordinator ends the session or the stream: ``echo`` with the message
itself, ``take`` with one byte, ``give N`` with N bytes.
"""

import sys
from pathlib import Path

from exchanging.bare import answer_bare
from hanse.client.exchange import open_exchange
from hanse.client.home import MemberHome
from hanse.errors import HanseError

WAIT_S = 120.0


def answer(message: bytes) -> bytes:
    """The answer to a message."""
    if message.startswith(b"give "):
        return bytes(int(message[5:]))
    return b"." if message.startswith(b"take") else message


def answer_session(home: MemberHome, address: str, run: str, phase: str) -> None:
    """Answers until the session is over."""
    with open_exchange(home, address, run, phase) as channel:
        try:
            while True:
                channel.send(answer(channel.receive(WAIT_S)), timeout_s=WAIT_S)
        except HanseError as error:
            if error.code != "exchange.closed":
                raise


def main() -> None:
    """Answers in the way that it is told."""
    kind, home, address, run, phase = sys.argv[1:]
    if kind == "bare":
        answer_bare(MemberHome(Path(home)), address, answer)
    else:
        answer_session(MemberHome(Path(home)), address, run, phase)


if __name__ == "__main__":
    main()
