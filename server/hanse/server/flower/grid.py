"""Flower's grid, without its three-second sleeps, as a :class:`~hanse.server.transport.Transport`."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.superlink.grid import HttpGrid

from hanse.server.flower.door import FleetDoor
from hanse.server.transport import Replies

RECORD = "hanse"
FIELD = "signed"
MESSAGE_TYPE = "train.step"
# A waiting round looks again after this time even when no node has handed anything in, because an
# error reply (a node that went offline) is made up by Flower itself.
RECHECK_S = 2.0
PRESENCE_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Node:
    """A registered node: Flower's id for it, and the key that it authenticates with."""

    node_id: int
    public_key: bytes


class FlowerTransport:
    """Carries commands to the nodes of one Flower run.

    Args:
        grid: Flower's grid of that run.
        door: The fleet routes' front, which knows when there is something to fetch.
        nodes: Flower's node id and public key per member.
        cancelled: Returns True when the run is to end; asked between waits.
    """

    def __init__(
        self,
        grid: HttpGrid,
        door: FleetDoor,
        nodes: Mapping[str, Node],
        cancelled: Callable[[], bool],
    ) -> None:
        self._grid = grid
        self._door = door
        self._nodes = nodes
        self._cancelled = cancelled

    def wait_for(self, members: frozenset[str], timeout_s: float) -> frozenset[str]:
        """See :meth:`hanse.server.transport.Transport.wait_for`."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            online = set(self._grid.get_node_ids())
            present = frozenset(
                member
                for member in members
                if member in self._nodes and self._nodes[member].node_id in online
            )
            if present == members or self._cancelled() or time.monotonic() > deadline_s:
                return present
            time.sleep(PRESENCE_POLL_S)

    def begin(self, commands: Mapping[str, bytes]) -> "FlowerPending":
        """See :meth:`hanse.server.transport.Transport.begin`."""
        seen = {member: self._door.asked(self._key(member)) for member in commands}
        known = {member: self._door.activated(self._key(member)) for member in commands}
        waiting = self._push(commands)
        refused = {member: "not-delivered" for member in commands if member not in waiting}
        return FlowerPending(
            self._grid, self._door, _Collected(self._nodes, refused), waiting, seen, known, self._cancelled
        )

    def _key(self, member: str) -> bytes:
        return self._nodes[member].public_key

    def _push(self, commands: Mapping[str, bytes]) -> dict[str, str]:
        """Pushes the commands; returns the message id per member that Flower accepted one for."""
        messages = [self._message(member, body) for member, body in commands.items()]
        pushed = zip(commands, self._grid.push_messages(messages), strict=True)
        self._door.announce()
        return {member: message_id for member, message_id in pushed if message_id}

    def _message(self, member: str, body: bytes) -> Message:
        content = RecordDict({RECORD: ConfigRecord({FIELD: body})})
        return Message(content, dst_node_id=self._nodes[member].node_id, message_type=MESSAGE_TYPE)


class FlowerPending:
    """Commands whose answers the nodes hand in; see :class:`hanse.server.transport.Pending`.

    Args:
        grid: Flower's grid of the run.
        door: The fleet routes' front.
        collected: Where replies are filed.
        waiting: Message id per member whose answer has not come.
        seen: How many questions each member had asked when its command was sent: it asks after it answers.
        known: How often each member's node had signed on then.
        cancelled: Returns True when the run is to end.
    """

    def __init__(
        self,
        grid: HttpGrid,
        door: FleetDoor,
        collected: "_Collected",
        waiting: dict[str, str],
        seen: Mapping[str, int],
        known: Mapping[str, int],
        cancelled: Callable[[], bool],
    ) -> None:
        self._grid = grid
        self._door = door
        self._collected = collected
        self._waiting = waiting
        self._seen = dict(seen)
        self._known = known
        self._cancelled = cancelled
        self._recheck_s = time.monotonic() + RECHECK_S

    def collect(self, timeout_s: float) -> Replies:
        """See :meth:`hanse.server.transport.Pending.collect`."""
        deadline_s = time.monotonic() + timeout_s
        self._pull(0.0)
        while self._waiting and not self._cancelled() and (now_s := time.monotonic()) < deadline_s:
            self._pull(min(deadline_s - now_s, RECHECK_S))
        return Replies(dict(self._collected.bodies), dict(self._collected.failures))

    def _pull(self, wait_s: float) -> None:
        """Fetches what there is of those who have asked again; now and then of all."""
        keys = {member: self._collected.nodes[member].public_key for member in self._waiting}
        self._door.wait_for_question({keys[member]: self._seen[member] for member in keys}, wait_s)
        asked = {member: self._door.asked(key) for member, key in keys.items()}
        # First, so that what a process handed in before it ended is pulled before it is given up.
        restarted = {m for m, key in keys.items() if self._door.activated(key) > self._known[m]}
        everything = bool(restarted) or time.monotonic() > self._recheck_s
        ready = [member for member, count in asked.items() if everything or count > self._seen[member]]
        self._seen |= asked
        if everything:
            self._recheck_s = time.monotonic() + RECHECK_S
        if ready:
            replies = self._grid.pull_messages([self._waiting[member] for member in ready])
            for member in self._collected.file(replies, self._waiting):
                del self._waiting[member]
        for member in restarted & set(self._waiting):
            self._collected.failures[member] = "restarted"
            del self._waiting[member]


class _Collected:
    """Replies filed under the member that each one answers for."""

    def __init__(self, nodes: Mapping[str, Node], failures: dict[str, str]) -> None:
        self.nodes = nodes
        self.bodies: dict[str, bytes] = {}
        self.failures = failures

    def file(self, replies: Iterable[Message], waiting: Mapping[str, str]) -> list[str]:
        """Files the replies; returns the members that need no more waiting for."""
        members = {message_id: member for member, message_id in waiting.items()}
        answered = []
        for reply in replies:
            member = members[reply.metadata.reply_to_message_id]
            answered.append(member)
            if reply.has_error():
                self.failures[member] = f"engine-error-{reply.error.code}"
            elif reply.metadata.src_node_id != self.nodes[member].node_id:
                self.failures[member] = "wrong-sender"
            elif (body := _body(reply.content.config_records)) is None:
                self.failures[member] = "malformed"
            else:
                self.bodies[member] = body
        return answered


def _body(records: Mapping[str, ConfigRecord]) -> bytes | None:
    record = records.get(RECORD)
    body = None if record is None else record.get(FIELD)
    return body if isinstance(body, bytes) else None
