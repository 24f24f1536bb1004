"""What a call was, for whoever runs the scorer: noted once, read by figures, spans and lines of the log.

Nothing here names a subject or holds a value of one. The log entry of a call, by its index, is what joins
all of them to the evidence.
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

ANSWERED: Final = "ok"

Metadata: TypeAlias = Callable[[], Iterable[tuple[str, str | bytes]] | None]


@dataclass(slots=True)
class Noted:
    """One call.

    Attributes:
        method: Its method, ``/package.Service/Method``.
        began: When it came, seconds of a clock that only counts.
        seconds: How long it took until its answer was handed to gRPC, once it has.
        code: How it ended: ``ok``, or the code of an error.
        rule: The rule that refused the call, if one did.
        caller: Name of the caller, once it is known.
        rows: How many subjects it was about.
        denied: How many of them were denied, by rule.
        log_index: Index of its entry in the audit log.
        request: Digest of the request, as in that entry.
        model: The model version that answered, as ``propensity@3``.
    """

    method: str
    began: float
    seconds: float = 0.0
    code: str = ANSWERED
    rule: str | None = None
    caller: str | None = None
    rows: int = 0
    denied: Mapping[str, int] = field(default_factory=dict)
    log_index: int | None = None
    request: str | None = None
    model: str | None = None


class Watcher(Protocol):
    """Is told of calls. It must be quick: it runs in the event loop."""

    def begin(self, noted: Noted, metadata: Metadata) -> None:
        """A call has come.

        Args:
            noted: The call.
            metadata: Gives its metadata; reading them costs, so only who needs them asks.
        """
        ...

    def end(self, noted: Noted) -> None:
        """A call has ended.

        Args:
            noted: The call.
        """
        ...


_current: ContextVar[Noted | None] = ContextVar("hanse_noted_call", default=None)


def note(call: Noted) -> None:
    """Makes a call the one that is served here, in this task."""
    _current.set(call)


def noted() -> Noted | None:
    """The call that is served here, in this task; None outside of a server."""
    return _current.get()
