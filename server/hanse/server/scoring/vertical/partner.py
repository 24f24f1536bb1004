"""One feature holder, as its label holder's scorer asks it.

Whoever waits for it waits until a time, and no longer: what does not come by then is an error that names the
member and says which time was over. Calls that ask at about the same time share a question. Answers are kept
as :mod:`hanse.learning.vertical.serving.cache` says, while the feature holder's epochs are heard.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import grpc
import grpc.aio

from hanse.api.v1 import part_answers_pb2 as pb
from hanse.audit import Counts, Event, EventType
from hanse.errors import CATALOGUE, HanseError, ServingError
from hanse.learning.vertical.serving import (
    AnswerCache,
    Form,
    Gathering,
    Question,
    Reply,
    conversation,
    read_reply,
)
from hanse.learning.vertical.serving.gathering import Told
from hanse.learning.vertical.serving.link import LINK_NAME, PartLink
from hanse.learning.vertical.serving.messages import EPOCH_BYTES, MAX_PLACES, NONCE_BYTES
from hanse.server.completions import CallClient, CallEnd
from hanse.server.scoring.borders import CODE_TRAILER

SERVICE: Final = "/hanse.api.v1.PartAnswers/"
_ANSWER: Final = f"{SERVICE}Answer"
UNHEARD_S: Final = 2.5
"""A feature holder that tells its epoch every second is not heard any more after this."""

_AGAIN_S: Final = 0.2
_OPTIONS: Final = (
    ("grpc.ssl_target_name_override", LINK_NAME),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf a feature holder is asked.

    Attributes:
        caller: Name of the calling system in the agreement.
        purpose: That it declared.
        until: When it stops waiting, by the loop's clock.
    """

    caller: str
    purpose: str
    until: float


@dataclass(frozen=True, slots=True)
class PartnerModel:
    """What is asked for, and how it is logged.

    Attributes:
        agreement: Digest of the agreement.
        model: SHA-256 of the signed manifest of the model.
        part: SHA-256 of the feature holder's signed part.
        form: Of what it says.
        people: Pseudonyms of the common people, by place.
        keep_s: Longest time for which answers are kept, seconds, as agreed.
    """

    agreement: str
    model: str
    part: str
    form: Form
    people: Sequence[str]
    keep_s: int


Heard = bytes | None
"""What is said of a person, or None for who is refused."""


class Partner:
    """See the module docstring. Lives on one event loop from its first use to :meth:`close`.

    Args:
        link: Where it answers, and by which certificate it is known.
        model: What is asked for.
        key_pem: Key of the certificate by which this site is known to it.
        certificate_pem: That certificate.
        note: Hands an entry to the log; what is appended after it is on disk after it.
    """

    def __init__(
        self,
        link: PartLink,
        model: PartnerModel,
        key_pem: bytes,
        certificate_pem: bytes,
        note: Callable[[Event], None],
    ) -> None:
        self.name: Final = link.member
        self.model: Final = model
        self._link = link
        self._note = note
        self._credentials = grpc.ssl_channel_credentials(link.certificate.encode(), key_pem, certificate_pem)
        self._gatherings: dict[tuple[str, str], Gathering[Heard]] = {}
        self._following: asyncio.Task[None] | None = None
        self._channel: grpc.aio.Channel | None = None
        self.cache: Final = AnswerCache(model.part, os.urandom(32), time.monotonic)

    def start(self) -> None:
        """Connects, and follows its epochs; nothing happens the second time."""
        if self._channel is not None:
            return
        self._channel = grpc.aio.secure_channel(self._link.address, self._credentials, options=_OPTIONS)
        self._client = CallClient(self._link.address, self._credentials, _OPTIONS)
        self._follow: Any = self._channel.unary_stream(f"{SERVICE}Follow")
        self._following = asyncio.create_task(self._keep_following())

    async def close(self) -> None:
        """Ends the connection."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        if self._channel is not None:
            await self._channel.close()
            await self._client.close()

    async def answers(self, places: Sequence[int], asking: Asking) -> list[Heard]:
        """What it says of people.

        Args:
            places: Whom, by their places among the common people.
            asking: On whose behalf.

        Returns:
            For each of them what is said, or None if the feature holder refuses.

        Raises:
            ServingError: ``scoring.partner-unavailable``, ``scoring.partner-timeout``,
                ``scoring.partner-refused``, ``scoring.partner-quota`` or ``scoring.partner-invalid``.
        """
        self.start()
        people = self.model.people
        kept = {place: found for place in places if (found := self.cache.get(people[place])) is not None}
        if kept:
            self._note(self._event(EventType.PART_REUSED, asking.purpose, len(kept), len(kept)))
        wanted = dict.fromkeys(place for place in places if place not in kept)
        heard: Mapping[int, Heard] = await self._ask_for(tuple(wanted), asking) if wanted else {}
        return [kept[place] if place in kept else heard[place] for place in places]

    async def _ask_for(self, places: tuple[int, ...], asking: Asking) -> Mapping[int, Heard]:
        gathering = self._gathering(asking)
        heard: dict[int, Heard] = {}
        try:
            if len(places) <= MAX_PLACES:  # which needs no task
                return await gathering.answers(places, asking.until)
            parts = (places[at : at + MAX_PLACES] for at in range(0, len(places), MAX_PLACES))
            for answers in await asyncio.gather(*(gathering.answers(part, asking.until) for part in parts)):
                heard.update(answers)
        except TimeoutError:
            raise self._missed(
                "scoring.partner-timeout",
                "the time of the call was over before it answered",
                asking,
                len(places),
            ) from None
        except HanseError as error:
            raise self._missed(error.code, error.detail, asking, len(places)) from error
        return heard

    def _gathering(self, asking: Asking) -> Gathering[Heard]:
        """Questions for one caller and use are gathered: each names the caller and the use."""
        key = (asking.caller, asking.purpose)
        if key not in self._gatherings:

            def ask(places: tuple[int, ...], until: float, told: Told[Heard]) -> None:
                self._ask(places, Asking(*key, until), told)

            self._gatherings[key] = Gathering(ask, MAX_PLACES)
        return self._gatherings[key]

    def _ask(self, places: tuple[int, ...], asking: Asking, told: Told[Heard]) -> None:
        model = self.model
        question = Question(
            model.model, model.part, asking.purpose, asking.caller, os.urandom(NONCE_BYTES), places
        ).encode()
        left_s = asking.until - asyncio.get_running_loop().time()

        def ended(end: CallEnd) -> None:
            try:
                told(self._heard(question, places, asking, end))
            except Exception as error:  # noqa: BLE001 - raised where the callers wait
                told(error)

        self._client.ask(_ANSWER, question, max(left_s, 0.001), ended)

    def _heard(
        self, question: bytes, places: Sequence[int], asking: Asking, end: CallEnd
    ) -> Mapping[int, Heard]:
        """What was answered to a question, noted; or why nothing was."""
        if end.body is None:
            raise self._failure(end.code, end.trailers)
        try:
            reply = read_reply(end.body, question, len(places), self.model.form)
        except HanseError as error:
            raise ServingError("scoring.partner-invalid", f"{self.name}: {error.detail}") from error
        answered = sum(reply.answered)
        event = self._event(EventType.PART_HEARD, asking.purpose, len(places), answered)
        self._note(event.model_copy(update={"conversation": conversation(question, end.body)}))
        return self._taken(places, reply, min(reply.keep_s, self.model.keep_s))

    def _taken(self, places: Sequence[int], reply: Reply, keep_s: int) -> Mapping[int, Heard]:
        said, width, at = reply.answers.tobytes(), reply.answers.shape[1], 0
        heard: dict[int, Heard] = {}
        for place, is_answered in zip(places, reply.answered, strict=True):
            found = said[at : at + width] if is_answered else None
            at += width * is_answered
            heard[place] = found
            if found is not None:
                self.cache.put(self.model.people[place], found, reply.epoch, keep_s)
        return heard

    def _failure(self, status: grpc.StatusCode, trailers: Sequence[tuple[str, str | bytes]]) -> ServingError:
        """What a failed call means; its text is the other site's, and goes no further."""
        code = next((str(value) for key, value in trailers if key == CODE_TRAILER), "")
        if code == "scoring.partner-quota":
            return ServingError(code, f"{self.name} was asked about as many people today as is agreed")
        if code in CATALOGUE:
            return ServingError("scoring.partner-refused", f"{self.name} refused: {code}")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ServingError(
                "scoring.partner-timeout", f"{self.name} did not answer within the call's time"
            )
        return ServingError("scoring.partner-unavailable", f"{self.name} cannot be reached ({status.name})")

    def _missed(self, code: str, detail: str, asking: Asking, people: int) -> ServingError:
        event = self._event(EventType.PART_MISSED, asking.purpose, people, 0)
        self._note(event.model_copy(update={"reasons": (code,)}))
        named = detail if detail.startswith(self.name) else f"{self.name}: {detail}"
        return ServingError(code, named)

    def _event(self, kind: EventType, purpose: str, asked: int, answered: int) -> Event:
        return _event(kind, self.name, purpose, asked, answered, self.model.agreement, self.model.model)

    async def _keep_following(self) -> None:
        request = pb.FollowRequest(part=bytes.fromhex(self.model.part)).SerializeToString()
        while True:
            call = self._follow(request)
            try:
                await self._hear_epochs(call)
            except (grpc.aio.AioRpcError, TimeoutError, ValueError):
                pass  # it is asked again; meanwhile nothing is kept
            finally:
                self.cache.follow(None)
                call.cancel()
            await asyncio.sleep(_AGAIN_S)

    async def _hear_epochs(self, call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> None:
        while True:
            async with asyncio.timeout(UNHEARD_S):
                body = await call.read()
            if not isinstance(body, bytes):
                return  # the stream has ended
            try:
                epoch = pb.FollowResponse.FromString(body).epoch
            except Exception as error:  # protobuf's own, in one of several types
                raise ValueError("not an epoch") from error
            if len(epoch) != EPOCH_BYTES:
                raise ValueError("not an epoch")
            self.cache.follow(epoch)


@lru_cache(maxsize=1024)
def _event(
    kind: EventType, peer: str, purpose: str, asked: int, answered: int, agreement: str, model: str
) -> Event:
    """An entry; most of them say the same, and are checked once."""
    return Event(
        type=kind,
        agreement=agreement,
        purpose=purpose,
        peer=peer,
        counts=Counts(rows_in=asked, rows_out=answered),
        model_in=model,
    )
