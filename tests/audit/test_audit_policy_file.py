"""Policies of the specification are read, have one written form, and count as they say."""

import contextlib
import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import Checkpoint, sign_checkpoint
from hanse.audit.policy_file import (
    PolicyGroup,
    PolicyLog,
    PolicyWitness,
    TrustPolicy,
    format_policy,
    parse_policy,
    quorum_of,
)
from hanse.crypto import CosignerKey, SigningKey, add_lines, sign_note
from hanse.errors import AuditError, HanseError, IdentityError, ProtocolError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = SigningKey("example.com/log", bytes(range(32)))
NOTE = sign_checkpoint(Checkpoint(LOG.name, 7, bytes(32)), LOG)
TEXT = NOTE.decode().rpartition("\n\n")[0] + "\n"
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
KEYS = {
    name: CosignerKey(f"{name}.example", "ml-dsa-44" if name == "Y3" else "ed25519", bytes([number]) * 32)
    for number, name in enumerate(NAMES)
}
LINES = {name: key.cosign(TEXT, NOW) for name, key in KEYS.items()}
VKEYS = {name: key.verifier.encode() for name, key in KEYS.items()}

# https://c2sp.org/tlog-policy, the example, with keys in the place of <vkey>.
EXAMPLE = f"""log {LOG.verifier.encode()}

witness X1 {VKEYS["X1"]}
witness X2 {VKEYS["X2"]}
witness X3 {VKEYS["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {VKEYS["Y1"]}
witness Y2 {VKEYS["Y2"]}
witness Y3 {VKEYS["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""

# github.com/transparency-dev/formats, witness/witness_policy_test.go, "whitespace and comments": its keys (of
# type 0x01, which is a log's) and its blanks; a comment after other words is Go's alone.
GO_KEYS = (
    "sigsum.org+e4ade967+AZuUY6B08pW3QVHu8uvsrxWPcAv9nykap2Nb4oxCee+r",
    "example.com+3753d3de+AebBhMcghIUoavZpjuDofa4sW6fYHyVn7gvwDBfvkvuM",
)
GO_WITNESS = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
BLANKS = f"""

# comment
log   {GO_KEYS[0]}     https://sigsum.org/log/
  log \t {GO_KEYS[1]}
 witness w4 {GO_WITNESS}  https://example.com/remora\t


\t\t     #comment
group      g1    all     w4

\t quorum      g1
"""


def note_of(*names: str) -> bytes:
    return add_lines(NOTE, *(LINES[name] for name in names))


def test_the_example_of_the_specification() -> None:
    policy = parse_policy(EXAMPLE.encode())
    assert [log.verifier for log in policy.logs] == [LOG.verifier]
    assert [witness.name for witness in policy.witnesses] == list(NAMES)
    assert policy.groups == (
        PolicyGroup("X-witnesses", 2, ("X1", "X2", "X3")),
        PolicyGroup("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        PolicyGroup("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )
    assert policy.quorum == "X-and-Y"


@pytest.mark.parametrize("count", range(len(NAMES) + 1))
def test_the_example_counts_every_subset(count: int) -> None:
    """At least two of the X, and at least one of the Y."""
    policy = parse_policy(EXAMPLE.encode())
    for names in itertools.combinations(NAMES, count):
        enough = sum(name[0] == "X" for name in names) >= 2 and any(name[0] == "Y" for name in names)
        assert policy.is_met(note_of(*names)) == enough
        if enough:
            assert policy.check(note_of(*names)) == Checkpoint(LOG.name, 7, bytes(32))
            continue
        with pytest.raises(AuditError, match=r"audit\.quorum") as caught:
            policy.check(note_of(*names))
        missing = caught.value.detail.partition("not cosigned by: ")[2].split(", ")
        assert missing == [name for name in NAMES if name not in names]


def test_blanks_comments_and_addresses() -> None:
    policy = parse_policy(BLANKS.encode())
    assert [log.verifier.encode() for log in policy.logs] == list(GO_KEYS)
    assert [log.url for log in policy.logs] == ["https://sigsum.org/log/", ""]
    [witness] = policy.witnesses
    assert (witness.name, witness.verifier.encode(), witness.url) == (
        "w4", GO_WITNESS, "https://example.com/remora",
    )  # fmt: skip
    assert policy.groups == (PolicyGroup("g1", 1, ("w4",)),)


def test_nobody_must_cosign() -> None:
    policy = parse_policy(f"quorum none\nlog {LOG.verifier.encode()}\n".encode())
    assert policy.check(NOTE).size == 7
    assert parse_policy(b"quorum none\n") == TrustPolicy(())
    with pytest.raises(IdentityError, match=r"identity\.unknown-signer"):
        parse_policy(b"quorum none\n").check(NOTE)


def test_a_single_witness() -> None:
    policy = TrustPolicy((PolicyLog(LOG.verifier),), (PolicyWitness("w", KEYS["X1"].verifier),), (), "w")
    assert policy.is_met(note_of("X1"))
    with pytest.raises(AuditError, match=r"not cosigned by: w$"):
        policy.check(note_of("X2"))


def test_a_number_of_alike_witnesses() -> None:
    verifiers = [KEYS[name].verifier for name in NAMES]
    policy = quorum_of(LOG.verifier, verifiers, 5)
    assert policy.is_met(note_of(*NAMES[1:]))
    with pytest.raises(AuditError, match=r"not cosigned by: Y2\.example, Y3\.example"):
        policy.check(note_of("X1", "X2", "X3", "Y1"))
    assert parse_policy(format_policy(policy)) == policy
    assert quorum_of(LOG.verifier, verifiers, 0).is_met(NOTE)
    assert quorum_of(LOG.verifier, [], 0).is_met(NOTE)
    for bad in (-1, 7):
        with pytest.raises(ProtocolError):
            quorum_of(LOG.verifier, verifiers, bad)
    with pytest.raises(ProtocolError, match="same key"):
        quorum_of(LOG.verifier, [verifiers[0], verifiers[0]], 1)


def test_only_the_log_of_the_origin_speaks_for_it() -> None:
    """Another log of the policy signs a checkpoint with this log's origin."""
    other = SigningKey("example.com/other", bytes(32))
    policy = TrustPolicy((PolicyLog(LOG.verifier), PolicyLog(other.verifier)))
    assert policy.check(sign_checkpoint(Checkpoint(other.name, 1, bytes(32)), other)).size == 1
    for note in (
        sign_checkpoint(Checkpoint(LOG.name, 1, bytes(32)), other),
        sign_checkpoint(Checkpoint("example.com/third", 1, bytes(32)), LOG),
        sign_checkpoint(Checkpoint(LOG.name, 1, bytes(32)), SigningKey.generate(LOG.name)),
    ):
        with pytest.raises(IdentityError, match=r"identity\.unknown-signer"):
            policy.check(note)


def test_a_new_key_of_a_log_stands_beside_the_old() -> None:
    new = SigningKey.generate(LOG.name)
    policy = TrustPolicy((PolicyLog(LOG.verifier), PolicyLog(new.verifier)))
    assert policy.is_met(NOTE)
    assert policy.is_met(sign_note(TEXT, new))
    assert policy.is_met(sign_note(TEXT, LOG, new))


def test_a_bad_signature_of_a_known_witness_refuses_the_note() -> None:
    """Also where the quorum would be met without it."""
    policy = quorum_of(LOG.verifier, [KEYS["X1"].verifier, KEYS["X2"].verifier], 1)
    elsewhere = KEYS["X2"].cosign(TEXT.replace("\n7\n", "\n8\n"), NOW)
    note = add_lines(note_of("X1"), elsewhere)
    with pytest.raises(IdentityError, match=r"identity\.bad-signature"):
        policy.check(note)
    assert not policy.is_met(note)
    with pytest.raises(ProtocolError):
        policy.check(sign_note("hello\n", LOG))


W1, W2, LOG_LINE = (
    f"witness a {VKEYS['X1']}\n",
    f"witness b {VKEYS['X2']}\n",
    f"log {LOG.verifier.encode()}\n",
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None), ("\n", None), (LOG_LINE, None), ("quorum none", None),
        ("quorum none\nquorum none\n", None),
        ("quorum none\0\n", None), ("quorum none\r\n", None), ("quorum none\x7f\n", None),
        ("quorum\n", 1), ("quorum a\n", 1), ("quorum none none\n", 1), ("Quorum none\n", 1), ("hello\n", 1),
        (f"quorum a\n{W1}", 1), (f"{W1}quorum b\n", 2), (f"log {VKEYS['X1']}\n", 1),
        (f"witness a {LOG.verifier.encode()}\n", 1), ("log\n", 1), ("log x\n", 1), (LOG_LINE * 2, 2),
        (W1 + W1.replace(" a ", " c "), 2), (W1 + W2.replace(" b ", " a "), 2),
        (W1.replace(" a ", " none "), 1),
        (W1.replace("\n", " url url\n"), 1), (f"{W1}group g 1\n", 2), (f"{W1}group g\n", 2),
        (f"{W1}group g 0 a\n", 2), (f"{W1}group g 2 a\n", 2), (f"{W1}group g 01 a\n", 2),
        (f"{W1}group g -1 a\n", 2), (f"{W1}group g 99999 a\n", 2), (f"{W1}group g ALL a\n", 2),
        (f"{W1}group g 1 b\n{W2}", 2), (f"{W1}group g 1 g\n", 2), (f"{W1}group g 1 none\n", 2),
        (f"{W1}group g 1 a a\n", 2), (f"{W1}group none 1 a\n", 2), (f"{W1}group a 1 a\n", 2),
        (f"{W1}{W2}group g 1 a\ngroup h 1 a b\n", 4), (f"{W1}group g 1 a\ngroup g 1 g\n", 3),
    ],
)  # fmt: skip
def test_other_policies_are_refused_and_the_line_is_named(text: str, line: int | None) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed") as caught:
        parse_policy(text.encode())
    if line is not None:
        assert f"line {line} of" in caught.value.detail


def test_limits() -> None:
    """At least 32 of each, as the specification asks; far more are refused, quickly."""
    keys = [CosignerKey(f"w{number}", "ed25519", number.to_bytes(32)) for number in range(40)]
    lines = [f"witness w{number} {key.verifier.encode()}\n" for number, key in enumerate(keys)]
    groups = [f"group g{number} 1 w{number}{f' g{number - 1}' if number else ''}\n" for number in range(40)]
    policy = parse_policy("".join([*lines, *groups, "quorum g39\n", LOG_LINE]).encode())
    assert policy.is_met(add_lines(NOTE, keys[0].cosign(TEXT, NOW)))
    assert parse_policy(b"# comment\n" * 2000 + b"quorum none\n") == TrustPolicy(())
    for text in (b"quorum none\n" * 1001, b"#" * (1 << 20) + b"\nquorum none\n"):
        with pytest.raises(ProtocolError):
            parse_policy(text)


@pytest.mark.parametrize("name", ["", "a b", "a\tb", "a\nb", "\ud800", "none"])
def test_names_that_cannot_be_written(name: str) -> None:
    with pytest.raises(ProtocolError):
        TrustPolicy((), (PolicyWitness(name, KEYS["X1"].verifier),))
    if name not in {"", "none"}:
        with pytest.raises(ProtocolError):
            TrustPolicy((PolicyLog(LOG.verifier, name),))


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(33)), "\x7f"])
WORDS = st.text(LETTERS, min_size=1, max_size=9).filter(lambda word: word != "none")
URLS = st.just("") | WORDS


@st.composite
def policies(draw: st.DrawFn) -> TrustPolicy:
    names = draw(st.lists(WORDS, max_size=9, unique=True))
    keys = draw(st.permutations(list(KEYS.values())))
    witnesses = [
        PolicyWitness(name, key.verifier, draw(URLS)) for name, key in zip(names, keys, strict=False)
    ]
    groups: list[PolicyGroup] = []
    free = [witness.name for witness in witnesses]
    for name in names[len(witnesses) :]:
        members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        groups.append(PolicyGroup(name, draw(st.integers(1, len(members))), tuple(members)))
        free = [other for other in free if other not in members] + [name]
    logs = [PolicyLog(LOG.verifier, draw(URLS))] if draw(st.booleans()) else []
    quorum = draw(st.sampled_from([None, *names[: len(witnesses) + len(groups)]]))
    return TrustPolicy(tuple(logs), tuple(witnesses), tuple(groups), quorum)


@given(policies())
def test_what_is_written_is_read(policy: TrustPolicy) -> None:
    written = format_policy(policy)
    assert parse_policy(written) == policy
    assert format_policy(parse_policy(written)) == written


PIECES = st.sampled_from([
    b"log ", b"witness ", b"group ", b"quorum ", b"none", b"a ", b"b ", b"all ", b"any ", b"2 ", b"\n", b"\t",
    b"#",
    LOG_LINE.encode(), W1.encode(), W2.encode(), b"group g any a b\n", b"quorum g\n", b"\xff", b"\x00",
])  # fmt: skip


@given(st.binary() | st.lists(PIECES, max_size=12).map(b"".join))
def test_reading_is_total(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        policy = parse_policy(data)
        assert parse_policy(format_policy(policy)) == policy


@given(st.data())
def test_a_changed_byte_makes_another_policy_or_none(data: st.DataObject) -> None:
    """Never another error; and where a key, a name or a number is changed, never the same policy."""
    text = bytearray(EXAMPLE.encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(HanseError):
        changed = parse_policy(bytes(text))
        blank = EXAMPLE.encode()[at : at + 1] in b" \n" or text[at] in b" \t\n#"
        assert blank or changed != parse_policy(EXAMPLE.encode())
