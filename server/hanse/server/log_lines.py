"""The log of a process, as lines of JSON for a log collector.

A line has ``time``, ``level``, ``logger`` and ``message``, and about a call ``method``, ``code``, ``rule``,
``caller``, ``log_index``, ``request``, ``model``, ``rows`` and ``ms`` where they are known. ``log_index`` and
``request`` are those of the call's entry in the audit log: they join a line to the evidence.

Only our own messages are written out, which carry neither identifiers nor values. Of a message of a library
the line says where it was made, and of an exception its type and where it was raised: both may quote the
data that they are about.
"""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Final

from typing_extensions import override

from hanse.server.scoring.noted import Noted

OURS: Final = "hanse"
TEXT: Final = "%(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.name.partition(".")[0] == OURS:
            line["message"] = record.getMessage()
        else:
            line["at"] = f"{record.module}:{record.lineno}"
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [
                f"{frame.name} {frame.filename.rpartition('/')[2]}:{frame.lineno}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        call = getattr(record, "call", None)
        if isinstance(call, Noted):
            line |= facts(call)
        return json.dumps(line, ensure_ascii=False)


def facts(call: Noted) -> dict[str, Any]:
    """What a line says about a call."""
    known = {
        "method": call.method,
        "code": call.code,
        "rule": call.rule,
        "caller": call.caller,
        "log_index": call.log_index,
        "request": call.request,
        "model": call.model,
        "rows": call.rows or None,
        "ms": round(call.seconds * 1000, 3) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def log_to_stderr(level: str, *, as_json: bool) -> None:
    """Sets how this process logs. Libraries are heard from ``warning`` on, whatever the level.

    Args:
        level: Least level of our own messages, such as ``info``.
        as_json: As lines of JSON; else as text.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(OURS).setLevel(level.upper())
