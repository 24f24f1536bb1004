"""A running scorer, asked batch by batch: by subject over a stream, or with values over Open Inference."""

import math
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import grpc

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.api.v1 import scoring_pb2 as pb
from hanse.api.v1.scoring_pb2_grpc import ScoringStub
from hanse.client.scoring.state import Answered
from hanse.client.scoring.tables import Batch
from hanse.crypto import read_secret
from hanse.errors import CATALOGUE, ConfigurationError, HanseError, PolicyError, ProtocolError, ServingError

CALL_TIMEOUT_S: Final = 60.0
AHEAD: Final = 4
"""Batches that may be under way before their answers."""
NOT_A_NUMBER: Final = "scoring.bad-input"
"""In the place of a rule: the file has no number where the model needs one, so nobody was asked."""
SUBJECT_INPUT: Final = "subject_id"

_CODE_TRAILER: Final = "hanse-error-code"
_RULE_TRAILER: Final = "hanse-error-rule"
_LONGEST_MESSAGE_BYTES: Final = 64 << 20
_FLOAT: Final = struct.Struct("<f")
_FLOAT_DIGITS: Final = 9

Batches = Callable[[int], Iterator[Batch]]
"""The batches from a given one on."""


class Question(NamedTuple):
    """What is asked of all batches.

    Attributes:
        model: Name of the model.
        version: Its version; empty for the one that the scorer chooses.
        purpose: The use that is declared.
    """

    model: str
    version: str
    purpose: str


class Asking(Protocol):
    """A way to have batches answered."""

    def answers(self, batches: Batches, first: int, version: str) -> Iterator[Answered]:
        """Answers of the batches from ``first`` on, in order, all by one version of the model.

        Args:
            batches: The batches.
            first: Number of the first one that has no answer.
            version: Version that answered the ones before; empty at the beginning.

        Raises:
            HanseError: With the scorer's code, or ``scoring.unreachable``.
        """
        ...


@contextmanager
def connected(address: str, caller: Path) -> Iterator[grpc.Channel]:
    """A connection to a scorer; made when it is first used.

    Args:
        address: ``host:port``.
        caller: Folder with ``tls.key`` and ``tls.crt`` of the calling system, and
            ``serving-authority.crt``, what the scorer's certificate chains to.

    Raises:
        ConfigurationError: ``config.missing-file``, ``config.insecure-file``.
    """
    key = read_secret(caller / "tls.key")
    authority, certificate = (_read(caller / name) for name in ("serving-authority.crt", "tls.crt"))
    options = [
        ("grpc.max_receive_message_length", _LONGEST_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    with grpc.secure_channel(address, credentials, options=options) as channel:
        yield channel


class BySubject:
    """Names subjects; the scorer looks their values up.

    Args:
        channel: The scorer.
        question: What is asked.
    """

    def __init__(self, channel: grpc.Channel, question: Question) -> None:
        self._stub = ScoringStub(channel)
        self._question = question

    def answers(self, batches: Batches, first: int, version: str) -> Iterator[Answered]:
        """See :class:`Asking`."""
        window = threading.Semaphore(AHEAD)
        over = threading.Event()
        opening = pb.StreamOpening(
            model=self._question.model,
            version=version or self._question.version,
            purpose=self._question.purpose,
            first_sequence=first,
        )
        failed: list[HanseError] = []

        def messages() -> Iterator[pb.ScoreStreamRequest]:
            yield pb.ScoreStreamRequest(opening=opening)
            try:
                for batch in batches(first):
                    while not window.acquire(timeout=0.1):
                        if over.is_set():
                            return
                    chunk = pb.StreamChunk(sequence=batch.sequence, subject_ids=batch.subject_ids)
                    yield pb.ScoreStreamRequest(chunk=chunk)
            except HanseError as error:  # of our own file; gRPC would only say that the call was cancelled
                failed.append(error)

        try:
            with translated():
                for due, response in enumerate(self._stub.ScoreStream(messages()), first):
                    if response.sequence != due:
                        raise ProtocolError("protocol.unexpected-step", "the scorer answered another batch")
                    yield _answered(response)
                    window.release()
        finally:
            over.set()
        if failed:
            raise failed[0]


class ByColumns:
    """Sends the file's values with the subjects, over the Open Inference Protocol.

    Args:
        channel: The scorer.
        question: What is asked.
    """

    def __init__(self, channel: grpc.Channel, question: Question) -> None:
        self._stub = GRPCInferenceServiceStub(channel)
        self._question = question
        self._kinds: dict[str, str] = {}

    def columns(self) -> Sequence[str]:
        """The columns that the model is to be sent.

        Raises:
            HanseError: As :meth:`Asking.answers`.
        """
        request = oip.ModelMetadataRequest(name=self._question.model, version=self._question.version)
        with translated():
            told = self._stub.ModelMetadata(request, timeout=CALL_TIMEOUT_S)
        self._kinds = {own.name: own.datatype for own in told.inputs if own.name != SUBJECT_INPUT}
        return tuple(self._kinds)

    def answers(self, batches: Batches, first: int, version: str) -> Iterator[Answered]:
        """See :class:`Asking`."""
        for batch in batches(first):
            answered = self._answer(batch, version or self._question.version)
            version = answered.version or version
            yield answered

    def _answer(self, batch: Batch, version: str) -> Answered:
        """The answer to one batch.

        Rows without a number that is needed are refused here: one of them would have the scorer refuse all.
        """
        numbers, bad = _numbers(batch, [name for name, kind in self._kinds.items() if kind != "BYTES"])
        good = [place for place in range(len(batch.subject_ids)) if place not in bad]
        if not good:
            return _spread(batch, good, bad, None, {})
        try:
            with translated():
                response = self._stub.ModelInfer(
                    self._request(batch, version, good, numbers), timeout=CALL_TIMEOUT_S
                )
        except PolicyError as error:
            if error.rule is None:
                raise
            return _spread(batch, good, bad, None, {error.rule: good})
        return _spread(batch, good, bad, response, {})

    def _request(
        self, batch: Batch, version: str, good: Sequence[int], numbers: Mapping[str, Sequence[float]]
    ) -> oip.ModelInferRequest:
        request = oip.ModelInferRequest(model_name=self._question.model, model_version=version)
        request.parameters["purpose"].string_param = self._question.purpose
        subjects = request.inputs.add(name=SUBJECT_INPUT, datatype="BYTES", shape=[len(good)])
        subjects.contents.bytes_contents.extend(batch.subject_ids[place].encode() for place in good)
        for name, kind in self._kinds.items():
            tensor = request.inputs.add(name=name, datatype="BYTES" if kind == "BYTES" else "FP64")
            tensor.shape.append(len(good))
            if kind == "BYTES":
                tensor.contents.bytes_contents.extend((batch.columns[name][p] or "").encode() for p in good)
            else:
                tensor.contents.fp64_contents.extend(numbers[name][place] for place in good)
        return request


@contextmanager
def translated() -> Iterator[None]:
    """Turns gRPC errors of the block into ours.

    Raises:
        HanseError: With the scorer's code and, where it named one, the rule; ``scoring.unreachable`` if it
            did not answer.
    """
    try:
        yield
    except grpc.RpcError as error:
        trailers = {item.key: str(item.value) for item in error.trailing_metadata() or ()}
        code, rule = trailers.get(_CODE_TRAILER, ""), trailers.get(_RULE_TRAILER)
        if code in CATALOGUE:
            kind = PolicyError if code.startswith("policy.") else ServingError
            raise kind(code, f"the scorer answered: {error.details()}", **_ruled(kind, rule)) from None
        raise ServingError(
            "scoring.unreachable", f"the scorer did not answer ({error.code().name}); is it running?"
        ) from None


def patient(
    asking: Asking,
    batches: Batches,
    first: int,
    version: str,
    patience_s: float,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Answered]:
    """Answers of all batches, over as many connections as it takes.

    Args:
        asking: The scorer.
        batches: The batches.
        first: Number of the first one that has no answer.
        version: Version that answered the ones before; empty at the beginning.
        patience_s: How long to go on trying without any answer, seconds.
        wait: Waits so many seconds.

    Raises:
        HanseError: What cannot be helped by waiting; or, after all patience, what could not.
    """
    waited_s, pause_s = 0.0, 0.2
    while True:
        try:
            for answered in asking.answers(batches, first, version):
                first, version = answered.sequence + 1, answered.version or version
                waited_s, pause_s = 0.0, 0.2
                yield answered
        except HanseError as error:
            if not error.spec.retryable or waited_s >= patience_s:
                raise
        else:
            return
        wait(pause_s)
        waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, 5.0)


def shown(score: float) -> float | None:
    """A score as it was rounded: float32 has more digits than the scorer meant; None for NaN."""
    if math.isnan(score):
        return None
    for digits in range(1, _FLOAT_DIGITS):
        short = float(f"{score:.{digits}g}")
        if _FLOAT.pack(short) == _FLOAT.pack(score):
            return short
    return float(f"{score:.{_FLOAT_DIGITS}g}")


def _answered(response: pb.ScoreStreamResponse) -> Answered:
    said, results = response.answer, response.results
    if len(results.rules) != len(results.scores):
        raise ProtocolError("protocol.malformed", "the scorer answered with more scores than rules")
    return Answered(
        sequence=response.sequence,
        scores=tuple(map(shown, results.scores)),
        rules=_by_rule(enumerate(results.rules)),
        numbers={own.name: tuple(map(shown, own.numbers)) for own in results.outputs if own.numbers},
        texts={own.name: tuple(own.texts) for own in results.outputs if own.texts},
        version=said.version,
        model_digest=said.model_digest,
        agreement_digest=said.agreement_digest,
        log_index=said.log_index,
        opt_out_available=said.opt_out_available,
        human_review_required=said.human_review_required,
    )


def _spread(
    batch: Batch,
    good: Sequence[int],
    bad: set[int],
    response: oip.ModelInferResponse | None,
    denied: Mapping[str, Sequence[int]],
) -> Answered:
    """What was answered about some rows of a batch, as an answer about all of them."""
    scores: list[float | None] = [None] * len(batch.subject_ids)
    rules = {rule: tuple(places) for rule, places in denied.items()}
    if bad:
        rules[NOT_A_NUMBER] = tuple(sorted(bad))
    if response is None:
        return Answered(sequence=batch.sequence, scores=tuple(scores), rules=rules)
    outputs = {output.name: output.contents for output in response.outputs}
    decisions = [text.decode() for text in outputs["decision"].bytes_contents]
    if len(decisions) != len(good) or len(outputs["score"].fp32_contents) != len(good):
        raise ProtocolError("protocol.malformed", "the scorer answered about another number of rows")
    for place, score in zip(good, outputs["score"].fp32_contents, strict=True):
        scores[place] = shown(score)
    named = (decision.partition("deny:")[2] for decision in decisions)
    rules |= _by_rule(zip(good, named, strict=True))
    return Answered(
        sequence=batch.sequence,
        scores=tuple(scores),
        rules=rules,
        version=response.model_version,
        model_digest=response.parameters["model_digest"].string_param,
        agreement_digest=response.parameters["agreement"].string_param,
        log_index=response.parameters["log_index"].int64_param,
    )


def _by_rule(rules: "Iterator[tuple[int, str]] | enumerate[str]") -> dict[str, tuple[int, ...]]:
    places: dict[str, list[int]] = {}
    for place, rule in rules:
        if rule:
            places.setdefault(rule, []).append(place)
    return {rule: tuple(found) for rule, found in places.items()}


def _numbers(batch: Batch, names: Sequence[str]) -> tuple[dict[str, list[float]], set[int]]:
    """Values of numeric columns, and the places of the rows that have none in one of them."""
    numbers = {name: [_number(text) for text in batch.columns[name]] for name in names}
    bad = {place for own in numbers.values() for place, value in enumerate(own) if not math.isfinite(value)}
    return numbers, bad


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _ruled(kind: type[HanseError], rule: str | None) -> dict[str, Any]:
    return {"rule": rule} if kind is PolicyError and rule else {}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error
