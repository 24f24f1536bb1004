"""Nodes whose process ends in the middle of a run, and is started again, within one process."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.conftest import LocalFederation, LocalPending, LocalTransport
from typing_extensions import override

from hanse.errors import TrainingError


class KilledError(BaseException):
    """Where a process ends."""


class Pending(LocalPending):
    """Members whose process has ended are told as restarted, as the door of the real coordinator does."""

    @override
    def _handle(self, member: str, body: bytes) -> None:
        before = len(self._errors)
        super()._handle(member, body)
        for error in self._errors[before:]:
            if isinstance(error, KilledError):
                self._errors.remove(error)
                self._silent[member] = "restarted"


class Transport(LocalTransport):
    """Hands commands to nodes whose processes may end."""

    @override
    def begin(self, commands: Mapping[str, bytes]) -> LocalPending:
        self.before(commands)
        self.sent.append(dict(commands))
        return Pending(self, commands)


def killer(local: LocalFederation, member: str) -> Callable[[], None]:
    """What ends a member's process, and starts it again: nothing is told, and nothing deleted."""
    vertical, dialled = local.nodes[member]._vertical, list[Any]()
    dial: Any = vertical._dial

    def watched(run: str, name: str) -> Any:
        dialled.append(dial(run, name))
        return dialled[-1]

    def kill() -> None:
        dialled[-1]._link.fail(TrainingError("exchange.lost", "the process has ended"))
        restart(local, member)
        raise KilledError(member)

    vertical._dial = watched
    vertical._parts.settle = lambda *_: None  # type: ignore[method-assign]
    return kill


def restart(local: LocalFederation, member: str) -> None:
    """Another process of a member's node takes the place of the one that was there."""
    [site] = [site for site in local.federation.sites if site.data.name == member]
    local.nodes[member] = local.node(site)


def kill_at_message(local: LocalFederation, member: str, phase: str, number: int) -> list[str]:
    """Ends a member's process when it is about to send another member its message of a number.

    Args:
        local: The federation.
        member: Whose process.
        phase: The exchange's name of the phase.
        number: Of the message, from 0: the hello, the proof, then what is sealed.

    Returns:
        The phase, once it was killed.
    """
    kill, killed = killer(local, member), list[str]()
    vertical = local.nodes[member]._vertical
    dial: Any = vertical._dial

    def watched(run: str, name: str) -> Any:
        channel = dial(run, name)
        if name == phase:
            send, left = channel.send, [number]

            def counted(body: bytes, peer: str = "", *given: Any) -> None:
                if killed:  # what would tidy up is dead too
                    raise KilledError(member)
                if peer:
                    left[0] -= 1
                    if left[0] < 0:
                        killed.append(phase)
                        kill()
                send(body, peer, *given)

            channel.send = counted
        return channel

    vertical._dial = watched
    return killed
