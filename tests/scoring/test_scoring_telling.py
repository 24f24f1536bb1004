"""What a scorer tells those who run it: lines of JSON, and spans of some calls."""

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.scoring.conftest import CALLER, PURPOSE

from hanse.errors import ConfigurationError
from hanse.server.log_lines import JsonLines
from hanse.server.scoring.noted import Noted
from hanse.server.scoring.telemetry import open_spans

CANARY = "customer-7 has 41 years"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def a_call() -> Noted:
    return Noted(
        "/inference.GRPCInferenceService/ModelInfer",
        0.0,
        seconds=0.0021,
        code="policy.denied",
        rule="P26",
        caller=CALLER,
        rows=3,
        denied={"P26": 3},
        log_index=17,
        request="ab" * 32,
        model="propensity@3",
    )


def line(logger: str, message: str, **more: Any) -> dict[str, Any]:
    record = logging.LogRecord(
        logger, logging.INFO, "limits.py", 7, message, None, more.pop("exc_info", None)
    )
    record.__dict__.update(more)
    said: dict[str, Any] = json.loads(JsonLines().format(record))
    return said


def test_a_line_joins_a_call_to_its_entry_in_the_log() -> None:
    said = line("hanse.server.scoring.limits", "refused", call=a_call())
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "info",
        "logger": "hanse.server.scoring.limits",
        "message": "refused",
        "method": "/inference.GRPCInferenceService/ModelInfer",
        "code": "policy.denied",
        "rule": "P26",
        "caller": CALLER,
        "log_index": 17,
        "request": "ab" * 32,
        "model": "propensity@3",
        "rows": 3,
        "ms": 2.1,
    }


def test_what_a_library_says_and_what_an_exception_quotes_is_left_out() -> None:
    with pytest.raises(ValueError, match=CANARY) as caught:
        int(CANARY)
    exc_info = (caught.type, caught.value, caught.tb)
    for logger in ("grpc._cython.cygrpc", "hansen"):
        said = line(logger, CANARY, exc_info=exc_info)
        assert CANARY not in json.dumps(said)
        assert (said["at"], said["exception"]) == ("limits:7", "ValueError")
        assert said["frames"][0].startswith("test_what_a_library_says")
    assert CANARY not in json.dumps(line("hanse.server", "failed", exc_info=exc_info))


def spans_of(calls: Sequence[tuple[str, str]], share: float, *, trust: bool) -> list[ReadableSpan]:
    """The spans of one call for each metadata."""
    exporter = InMemorySpanExporter()
    spans, close = open_spans(
        "http://127.0.0.1:1", share, trust_callers=trust, make_exporter=lambda _: exporter
    )
    for metadata in calls:
        call = a_call()
        spans.begin(call, lambda metadata=metadata: [metadata])  # type: ignore[misc]
        spans.end(call)
    kept: list[ReadableSpan] = []
    exporter.shutdown = lambda: kept.extend(exporter.get_finished_spans())  # type: ignore[method-assign]
    close()
    return kept


def test_a_span_says_how_a_call_ended_and_nothing_of_what_it_was_about() -> None:
    (span,) = spans_of([("x-hanse-purpose", PURPOSE)], 1.0, trust=False)
    assert span.name == "ModelInfer"
    assert dict(span.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.method": "/inference.GRPCInferenceService/ModelInfer",
        "hanse.code": "policy.denied",
        "hanse.rule": "P26",
        "hanse.caller": CALLER,
        "hanse.rows": 3,
        "hanse.denied_rows": 3,
        "hanse.log_index": 17,
        "hanse.model": "propensity@3",
    }


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"01-{TRACE}-{SPAN}-01", False),
        ("Erika Mustermann", False),
    ],
)
def test_a_callers_trace_goes_on_only_when_settings_say_so(value: str, taken: bool) -> None:
    assert spans_of([("traceparent", value)], 0.0, trust=False) == []
    spans = spans_of([("traceparent", value)], 0.0, trust=True)
    assert len(spans) == taken
    if taken:
        parent = spans[0].parent
        assert parent is not None
        assert (f"{parent.trace_id:032x}", f"{parent.span_id:016x}") == (TRACE, SPAN)


def test_the_share_of_calls_with_a_span_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = np.random.default_rng(7)
    monkeypatch.setattr(np.random, "default_rng", lambda: seeded)
    assert 60 < len(spans_of([("a", "b")] * 1000, 0.1, trust=False)) < 140


def test_without_the_extra_spans_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(ConfigurationError, match="telemetry"):
        open_spans("http://127.0.0.1:1", 0.01, trust_callers=False)
