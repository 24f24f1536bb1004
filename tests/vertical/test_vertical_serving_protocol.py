"""Question, reply, cache and gathering: what is said about people who are scored."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import SigningKey, canonical_json, sha256_hex
from hanse.errors import HanseError, IdentityError, ProtocolError, ServingError
from hanse.learning.vertical.serving import (
    AnswerCache,
    Gathering,
    Question,
    Reply,
    conversation,
    decode_people,
    encode_people,
    read_question,
    read_reply,
)
from hanse.learning.vertical.serving.forms import Sides
from hanse.learning.vertical.serving.gathering import Told
from hanse.learning.vertical.serving.link import PartLink, open_link, sign_link
from hanse.learning.vertical.serving.trees import by_cut, by_person

QUESTION = Question("ab" * 32, "cd" * 32, "scoring.marketing", "crm", bytes(16), (3, 0, 7))
CUTS = 11
SIDES = Sides(CUTS)


def reply(answered: list[bool], epoch: bytes = bytes(16)) -> Reply:
    bits = np.random.default_rng(1).integers(0, 2, (sum(answered), CUTS), dtype=np.uint8)
    return Reply(epoch, 30, answered, np.packbits(bits, axis=1, bitorder="little"))


def test_questions_and_replies_say_what_was_meant() -> None:
    asked = QUESTION.encode()
    assert read_question(asked) == QUESTION
    said = reply([True, False, True])
    heard = read_reply(said.encode(asked), asked, 3, SIDES)
    assert heard.answered == [True, False, True]
    assert heard.answers.tolist() == said.answers.tolist()


@given(st.binary(max_size=200))
def test_bytes_from_anywhere_are_read_or_refused(body: bytes) -> None:
    for read in (read_question, lambda data: read_reply(data, b"question", 2, SIDES), decode_people):
        try:
            read(body)
        except HanseError as error:
            assert error.code in {"protocol.malformed", "protocol.replayed", "model.invalid"}  # noqa: PT017


def test_a_reply_is_taken_for_one_question_only() -> None:
    asked = QUESTION.encode()
    body = reply([True, True, True]).encode(asked)
    other = Question("ab" * 32, "cd" * 32, "scoring.marketing", "crm", b"\1" * 16, (3, 0, 7)).encode()
    with pytest.raises(ProtocolError) as refused:  # the same people asked about again: given before
        read_reply(body, other, 3, SIDES)
    assert refused.value.code == "protocol.replayed"
    with pytest.raises(ProtocolError):  # an answer about other people
        read_reply(reply([True, True]).encode(asked), asked, 3, SIDES)
    with pytest.raises(ProtocolError):  # sides of another model
        read_reply(body, asked, 3, Sides(CUTS + 8))
    for answered in ([True, True, True], [False, True, False]):
        loose = reply(answered)
        loose.answers[0, -1] |= 0x80
        with pytest.raises(ProtocolError):  # bits where there is no cut
            read_reply(loose.encode(asked), asked, 3, SIDES)
    nobody = reply([False, False, False])
    assert len(read_reply(nobody.encode(asked), asked, 3, SIDES).answers) == 0


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_conversation_is_named_by_canonical_json(question: bytes, answer: bytes) -> None:
    said = {"question": sha256_hex(question), "reply": sha256_hex(answer)}
    assert conversation(question, answer) == sha256_hex(canonical_json(said))


@given(st.integers(0, 20), st.integers(1, 20))
def test_sides_by_person_and_by_cut_are_the_same_bits(cuts: int, rows: int) -> None:
    bits = np.random.default_rng(cuts * 31 + rows).integers(0, 2, (cuts, rows), dtype=np.uint8)
    packed = np.packbits(bits, axis=1, bitorder="little") if cuts else np.zeros((0, 0), np.uint8)
    assert by_cut(by_person(packed, rows), cuts).tolist() == packed.tolist()


def test_people_are_kept_in_their_order_and_once() -> None:
    refs = [f"{number:032x}" for number in (5, 1, 9)]
    assert decode_people(encode_people(refs)) == tuple(refs)
    with pytest.raises(ServingError):
        decode_people(encode_people([*refs, refs[0]]))


def test_answers_are_kept_for_their_time_and_epoch_alone() -> None:
    now = [0.0]
    cache = AnswerCache("ab" * 32, bytes(32), lambda: now[0], most=2)
    cache.put("ann", b"\1", b"one", 10)  # before an epoch is told
    assert cache.get("ann") is None
    cache.follow(b"one")
    cache.put("ann", b"\1", b"other", 10)  # given in an epoch that is over
    cache.put("bob", b"\2", b"one", 0)  # not to be kept
    assert (cache.get("ann"), cache.get("bob")) == (None, None)
    cache.put("ann", b"\1", b"one", 10)
    cache.put("bob", b"\2", b"one", 10)
    assert (cache.get("ann"), cache.get("bob")) == (b"\1", b"\2")
    cache.purge(["ann"])
    assert (cache.get("ann"), cache.get("bob")) == (None, b"\2")
    now[0] = 10.0
    assert cache.get("bob") is None
    for name in ("ann", "bob", "cid"):
        cache.put(name, b"\3", b"one", 10)
    assert len(cache) == 2
    cache.follow(b"two")
    assert len(cache) == 0
    cache.put("ann", b"\1", b"two", 10)
    cache.follow(None)  # it is not heard any more
    assert (len(cache), cache.epoch) == (0, None)


def test_calls_at_about_the_same_time_share_a_question() -> None:
    asked: list[tuple[int, ...]] = []

    def ask(places: tuple[int, ...], _until: float, told: Told[int]) -> None:
        asked.append(places)
        if 14 in places:
            raise ServingError("scoring.partner-invalid", "it cannot be asked")
        gone = ServingError("scoring.partner-unavailable", "it is gone")
        answer = gone if 13 in places else {place: place * 2 for place in places}
        asyncio.get_running_loop().call_later(0.02, told, answer)

    async def run() -> None:
        gathering = Gathering(ask, 4, window_s=0.01)
        until = asyncio.get_running_loop().time() + 5
        first = asyncio.ensure_future(gathering.answers([1], until))
        await asyncio.sleep(0.002)  # it is under way, alone
        late = [asyncio.ensure_future(gathering.answers([n], until)) for n in (2, 3, 2)]
        given_up = asyncio.ensure_future(gathering.answers([5], asyncio.get_running_loop().time() + 0.001))
        assert (await first)[1] == 2
        assert [(await one)[n] for one, n in zip(late, (2, 3, 2), strict=True)] == [4, 6, 4]
        with pytest.raises(TimeoutError):
            await given_up
        for nobody in (13, 14):
            with pytest.raises(ServingError):
                await gathering.answers([nobody], until)

    asyncio.run(run())
    assert asked == [(1,), (2, 3, 5), (13,), (14,)]


def test_a_link_is_its_members_own() -> None:
    insurer, other = SigningKey.generate("insurer"), SigningKey.generate("other")
    link = PartLink(member="insurer", address="insurer.example:9310", certificate="pem")
    note = sign_link(link, insurer)
    assert open_link(note, "insurer", [other.verifier, insurer.verifier]) == link
    for data, member, keys in (
        (note, "insurer", [other.verifier]),
        (note, "media", [insurer.verifier]),
        (note.replace(b"9310", b"9311"), "insurer", [insurer.verifier]),
        (b"anything", "insurer", [insurer.verifier]),
        (note, "insurer", []),
    ):
        with pytest.raises(IdentityError):
            open_link(data, member, keys)
