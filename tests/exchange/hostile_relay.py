"""A coordinator that reads, alters, repeats, reorders and leaves out what members say to each other.

``HostileRelay(hub, fault)`` takes over the relaying of the phases that the hub opens from then on. Messages
are counted from 0 in each direction; with sealed sessions, 0 is the hello, 1 the proof, 2 the first message.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from hanse.server.exchange import Exchange, Hub

Action: TypeAlias = Literal[
    "drop", "duplicate", "swap", "truncate", "alter", "extend", "empty", "replace", "reflect"
]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class Fault:
    """What happens to one message.

    ``drop`` it; hand it on twice (``duplicate``); after the next one (``swap``); without its last byte
    (``truncate``); with one bit changed in its middle (``alter``); with one byte more (``extend``);
    ``empty``; random bytes of its length (``replace``); the newest one of the other direction (``reflect``).
    """

    source: str
    target: str
    number: int
    action: Action


@dataclass
class HostileRelay:
    """See the module docstring.

    Attributes:
        hub: The coordinator's sessions.
        fault: What it does; None to listen only.
        phase: Part of the names of the phases that it takes over; empty for all.
        heard: All that it was given to hand on, by direction.
        done: Whether the fault has happened.
    """

    hub: Hub
    fault: Fault | None = None
    phase: str = ""
    heard: dict[tuple[str, str], list[bytes]] = field(default_factory=lambda: defaultdict(list))
    done: bool = False
    _held: bytes | None = None

    def __post_init__(self) -> None:
        opened: Any = self.hub.open

        def open_hostile(*args: Any, **more: Any) -> Exchange:
            exchange: Exchange = opened(*args, **more)
            if self.phase in exchange.phase:
                self.take_over(exchange)
            return exchange

        self.hub.open = open_hostile  # type: ignore[method-assign]

    def take_over(self, exchange: Exchange) -> None:
        hand_on: Any = exchange._hand_on

        def hostile(body: bytes, source: str, target: str) -> bool:
            number = len(self.heard[source, target])
            for index, part in enumerate(self._instead(body, source, target, number)):
                if not hand_on(part, source, target):
                    assert index == 0, "no room to be hostile: say less in between"
                    return False  # as an honest one: the hub asks again
            self.heard[source, target].append(body)
            return True

        exchange._hand_on = hostile  # type: ignore[method-assign]

    def _instead(self, body: bytes, source: str, target: str, number: int) -> Iterator[bytes]:
        fault = self.fault
        if fault is None or (source, target) != (fault.source, fault.target) or number < fault.number:
            yield body
        elif number == fault.number:
            self.done = True
            if fault.action == "swap":
                self._held = body
            elif fault.action == "reflect":
                yield from self.heard[target, source][-1:]
            else:
                yield from _changed(body, fault.action)
        else:
            yield body
            if self._held is not None:
                yield self._held
                self._held = None


def _changed(body: bytes, action: Action) -> list[bytes]:
    middle = len(body) // 2
    changes: dict[str, list[bytes]] = {
        "drop": [],
        "duplicate": [body, body],
        "truncate": [body[:-1]],
        "alter": [body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]],
        "extend": [body + b"\0"],
        "empty": [b""],
        "replace": [os.urandom(len(body))],
    }
    return changes[action]


def deviation(data: bytes) -> float:
    """How far bytes are from uniform ones, in standard deviations of the statistic that says so most.

    Pearson's chi-square over the 256 values of single bytes (255 degrees of freedom), and over the 65,536 of
    pairs where there are 5 or more expected of each; both are normal enough for so many degrees. Uniform
    bytes exceed 6 once in 10^7 at most; English text reaches thousands.
    """
    statistics = [_chi_square(Counter(data), len(data), 256)]
    if len(data) // 2 >= 5 * 65_536:
        pairs = Counter(zip(data[::2], data[1::2], strict=False))
        statistics.append(_chi_square(pairs, len(data) // 2, 65_536))
    return max(statistics)


def _chi_square(counts: Counter[Any], total: int, cells: int) -> float:
    expected = total / cells
    value = sum((count - expected) ** 2 / expected for count in counts.values())
    value += (cells - len(counts)) * expected
    freedom = cells - 1
    return float((value - freedom) / (2 * freedom) ** 0.5)
