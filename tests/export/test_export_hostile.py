"""Packages of exporters who are not honest, and bytes that are no package: refused, and named."""

import base64
import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.export.conftest import RUN, MadeLog, Outcome, events_of_run

from hanse.audit import Entry, Event, EventType, leaf_hash, root_hash
from hanse.audit.checkpoint import Checkpoint, sign_checkpoint
from hanse.crypto import SigningKey, sign_note
from hanse.crypto.cosigning import CosignerKey
from hanse.evidence import Evidence, build_package, verify

FAIL = verify.FAIL
ALMOST = (
    b'{"actor":{"key_id":"a","organisation":"b","role":"c"},"seq":true,"time":"2026-01-01T00:00:00.000Z",'
    b'"type":"x","version":1}'
)


def failures(results: Outcome) -> dict[str, str]:
    return {name: detail for name, (verdict, detail) in results.items() if verdict == FAIL}


def forged(made: MadeLog, leaves: list[bytes]) -> Evidence:
    """Another history, signed by the holder of the log's key."""
    evidence = replace(made.evidence(), leaves=tuple(leaves))
    note = sign_checkpoint(Checkpoint("brand", len(leaves), root_hash(leaves)), made.key)
    return replace(evidence, note=note)


def changed(leaf: bytes, **fields: object) -> bytes:
    entry = Entry.parse(leaf)
    return Entry.model_validate({**entry.model_dump(exclude_none=True), **fields}).canonical()


def test_rewritten_log_shows_against_a_saved_checkpoint(
    member_log: MadeLog, package: bytes, outcome: Callable[..., Outcome]
) -> None:
    saved = verify.read_archive(package)["checkpoint"]
    leaves = list(member_log.evidence().leaves)
    leaves[1] = changed(leaves[1], agreement="cd" * 32)
    data = build_package(forged(member_log, leaves), member_log.key, {})
    assert not failures(outcome(data))  # whoever holds the key signs what they like
    assert failures(outcome(data, saved=saved)) == {
        "saved": "the first 7 entries: are not those that you saved: rewritten"
    }


def test_cut_log_shows_against_a_saved_checkpoint(
    member_log: MadeLog, package: bytes, outcome: Callable[..., Outcome]
) -> None:
    saved = verify.read_archive(package)["checkpoint"]
    data = build_package(forged(member_log, list(member_log.evidence().leaves[:5])), member_log.key, {})
    assert failures(outcome(data, saved=saved)) == {
        "saved": "checkpoint: is of 5 entries; 7 were there before: cut off"
    }


def test_grown_log_contains_what_was_saved(
    make_log: Callable[..., MadeLog], outcome: Callable[..., Outcome]
) -> None:
    made = make_log(events_of_run())
    saved = made.log.checkpoint()
    made.log.append(Event(type=EventType.RUN_FINISHED, run=RUN))
    data = made.package()
    verdict, detail = outcome(data, keys=(made.key.verifier.encode(),), saved=saved)["saved"]
    assert (verdict, detail) == (
        verify.OK,
        "the first 7 entries are still those of the checkpoint that you saved",
    )


def test_saved_checkpoint_of_another_log_is_refused(
    make_log: Callable[..., MadeLog], package: bytes, outcome: Callable[..., Outcome]
) -> None:
    other = make_log(events_of_run())
    assert failures(outcome(package, saved=other.log.checkpoint())) == {
        "saved": "--since: is no checkpoint of this log"
    }
    assert failures(outcome(package, saved=b"nonsense")) == {"saved": "--since: is not a signed note"}


def test_key_that_the_reviewer_knows(
    member_log: MadeLog, package: bytes, outcome: Callable[..., Outcome]
) -> None:
    key = member_log.key.verifier
    verdict, detail = outcome(package, keys=(key.encode(),))["log key"]
    assert (verdict, detail) == (verify.OK, f"brand+{key.key_id}: you gave it (--key)")
    stranger = SigningKey.generate("brand").verifier
    found = failures(outcome(package, keys=(stranger.encode(),)))
    assert found == {"witnesses": f"--key: nothing in the package is of brand+{stranger.key_id}"}


def test_log_of_a_foreign_key_is_refused(
    member_log: MadeLog, package: bytes, repack: Callable[..., bytes], outcome: Callable[..., Outcome]
) -> None:
    stranger = SigningKey.generate("brand")
    text = verify.read_archive(package)["checkpoint"].decode().partition("\n\n")[0] + "\n"
    data = repack(package, member_log.key, {"checkpoint": sign_note(text, stranger)})
    assert "checkpoint: is not signed by brand+" in failures(outcome(data))["checkpoint"]


@pytest.mark.parametrize(
    ("place", "fields", "problem"),
    [
        (3, {"seq": 5}, "entry 3 has number 5 of its actor where 3 is due; entry 4"),
        (4, {"seq": 2}, "entry 4 has number 2 of its actor where 4 is due"),
        (5, {"time": "2026-01-01T00:00:00.000Z"}, "entry 5 is older than the entry before"),
        (3, {"rows_used": 5, "subject_set_size": 6}, "entry 3 states 5 and 6 for the same rows (rule P32)"),
        (5, {"round": 3}, "entry 5 is round.trained of round 3, and the one before is of round 1"),
        (4, {"round": 7}, "entry 5 trained in round 2 without an admission of that round"),
        (6, {"type": "model.registered"}, "entry 6 registers a model of a run without rounds"),
    ],
)
def test_incomplete_log_is_named(
    member_log: MadeLog,
    outcome: Callable[..., Outcome],
    place: int,
    fields: dict[str, object],
    problem: str,
) -> None:
    leaves = list(member_log.evidence().leaves)
    leaves[place] = changed(leaves[place], **fields)
    data = build_package(forged(member_log, leaves), member_log.key, {})
    found = failures(outcome(data))
    assert set(found) == {"complete"}
    assert problem in found["complete"]


def test_missing_entry_is_named(
    member_log: MadeLog, package: bytes, repack: Callable[..., bytes], outcome: Callable[..., Outcome]
) -> None:
    lines = verify.read_archive(package)["entries.jsonl"].splitlines(keepends=True)
    data = repack(package, member_log.key, {"entries.jsonl": b"".join(lines[:3] + lines[4:])})
    assert failures(outcome(data))["entries"] == "entry 3: is missing"


def test_entry_that_is_decoded_otherwise_is_named(
    member_log: MadeLog, package: bytes, repack: Callable[..., bytes], outcome: Callable[..., Outcome]
) -> None:
    lines = verify.read_archive(package)["entries.jsonl"].splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"rows_out":899', b'"rows_out":9')
    data = repack(package, member_log.key, {"entries.jsonl": b"".join(lines)})
    assert failures(outcome(data))["entries"] == "entry 2: is not decoded as it is, or not in its place"


def test_other_entry_is_named(
    member_log: MadeLog, package: bytes, repack: Callable[..., bytes], outcome: Callable[..., Outcome]
) -> None:
    lines = verify.read_archive(package)["entries.jsonl"].splitlines(keepends=True)
    leaf = changed(member_log.evidence().leaves[4], detail="forged")
    lines[4] = verify.entry_line(4, leaf)
    data = repack(package, member_log.key, {"entries.jsonl": b"".join(lines)})
    assert failures(outcome(data))["entries"] == "entry 4: is not the one in the tree"
    hashes = b"".join(leaf_hash(leaf) for leaf in member_log.evidence().leaves)
    data = repack(package, member_log.key, {"tile/0/000.p/7": hashes.replace(hashes[32:64], leaf_hash(leaf))})
    assert "do not lead to the root" in failures(outcome(data))["tree"]


@pytest.mark.parametrize(
    ("name", "content", "check", "problem"),
    [
        ("tile/entries/000.p/7", None, "entries", "tile/entries/000.p/7: is missing"),
        ("tile/1/000.p/1", b"\0" * 32, "entries", "tile/1/000.p/1: is not what follows from the log"),
        ("tile/entries/000.p/7", b"", "entries", "tile/entries/000.p/7: is not what follows"),
        ("proofs/2.tlog-proof", None, "proofs", "proofs/2.tlog-proof: is missing"),
        ("proofs/3.tlog-proof", b"", "proofs", "proofs/3.tlog-proof: is not what follows from the log"),
        ("proofs/2.tlog-proof", b"c2sp.org/tlog-proof@v1\n", "proofs", "proofs/2.tlog-proof: is not what"),
        ("checkpoint", None, "checkpoint", "checkpoint: is missing"),
        ("checkpoint", b"", "checkpoint", "checkpoint: is not a signed note"),
        ("log.policy", b"quorum none\n", "witnesses", "log.policy: does not name the keys"),
        ("log.policy", b"quorum nobody\n", "witnesses", "log.policy: has a line that no policy has"),
        ("log.policy", b"", "witnesses", "log.policy: has not one quorum"),
        ("log.policy", b"\xff\x00group x 2\nquorum none\n", "witnesses", "log.policy: has a line"),
        ("keys/log.vkey", b"", "checkpoint", "keys/log.vkey: does not have the keys of the log brand"),
        ("keys/log.vkey", b"brand+00000000+AAAA\n", "checkpoint", "keys/log.vkey: is no verifier key"),
        ("keys/witnesses.vkey", None, "witnesses", "keys/witnesses.vkey: is missing"),
        ("entries.jsonl", None, "entries", "entries.jsonl: is missing"),
        ("entries.jsonl", b"{}\n", "entries", "entry 0: is not the one in the tree"),
    ],
)
def test_wrong_and_missing_files_are_named(
    member_log: MadeLog,
    package: bytes,
    repack: Callable[..., bytes],
    outcome: Callable[..., Outcome],
    name: str,
    content: bytes | None,
    check: str,
    problem: str,
) -> None:
    found = failures(outcome(repack(package, member_log.key, {name: content})))
    assert found[check].startswith(problem)


def test_manifest_counts_every_file(package: bytes, outcome: Callable[..., Outcome]) -> None:
    files = verify.read_archive(package)
    for extra in ({"csv/more.csv": b"x"}, {"report.html": b"<p>All is well</p>"}):
        data = b"".join(piece for _, piece in verify.archive({**files, **extra}))
        assert failures(outcome(data)) == {
            "manifest": f"{next(iter(extra))}: is not as the manifest has it, or not in it"
        }
    del files["verify.py"]
    data = b"".join(piece for _, piece in verify.archive(files))
    assert failures(outcome(data))["manifest"].startswith("verify.py: is not as the manifest has it")


def test_manifest_of_somebody_else_is_refused(package: bytes, outcome: Callable[..., Outcome]) -> None:
    files = verify.read_archive(package)
    text = files["MANIFEST"].decode().partition("\n\n")[0] + "\n"
    files["MANIFEST"] = sign_note(text, SigningKey.generate("brand"))
    data = b"".join(piece for _, piece in verify.archive(files))
    assert "MANIFEST: is not signed by the key" in failures(outcome(data))["manifest"]


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        b'{"a": 1}',
        b"\xff",
        nested(100_000),
        nested(990),
        b"9" * 10_000,
        ALMOST,
        b'{"actor":[],"counts":7}',
        b'{"x":NaN}',
    ],
    ids=range(12),
)
def test_entries_that_are_none_are_refused(
    member_log: MadeLog, package: bytes, repack: Callable[..., bytes], outcome: Callable[..., Outcome],
    leaf: bytes,
) -> None:  # fmt: skip
    """A log can be made of anything that its key signs; the verifier says which entry is none."""
    note = sign_checkpoint(Checkpoint("brand", 1, leaf_hash(leaf)), member_log.key)
    line = b'{"bytes":"' + base64.b64encode(leaf) + b'","entry":' + leaf + b',"index":0}\n'
    names = [name for name in verify.read_archive(package) if name.startswith(("tile/", "proofs/"))]
    changes: dict[str, bytes | None] = dict.fromkeys(names)
    changes |= {"checkpoint": note, "tile/0/000.p/1": leaf_hash(leaf), "entries.jsonl": line}
    found = failures(outcome(repack(package, member_log.key, changes)))
    assert "entry" in found["entries"]


def test_quorum_of_witnesses(make_log: Callable[..., MadeLog], outcome: Callable[..., Outcome]) -> None:
    made = make_log(events_of_run())
    first = CosignerKey.generate("insurer", "ed25519")
    second = CosignerKey.generate("regulator.example/w1", "ml-dsa-44")
    third = CosignerKey.generate("retailer", "ed25519")
    policy = made.policy(2, first, second, third)
    made.cosign(first)
    missing = "checkpoint: lacks the quorum of log.policy: no cosignature of regulator.example/w1, retailer"
    assert failures(outcome(made.package(policy=policy))) == {"witnesses": missing}
    made.cosign(second)
    data = made.package(policy=policy)
    results = outcome(data, keys=(second.verifier.encode(),))
    signed = "co-signed by insurer, regulator.example/w1; you gave 1 of these keys (--key)"
    assert results["witnesses"] == (verify.OK, f"{signed}; this is the quorum of log.policy")


def test_wrong_cosignature_is_refused(
    make_log: Callable[..., MadeLog], repack: Callable[..., bytes], outcome: Callable[..., Outcome]
) -> None:
    made = make_log(events_of_run())
    for algorithm in ("ed25519", "ml-dsa-44"):
        witness = CosignerKey.generate(f"w-{algorithm}", algorithm)
        made.log.append(Event(type=EventType.SCORER_STARTED))
        made.cosign(witness)
        data = made.package(policy=made.policy(1, witness))
        note = verify.read_archive(data)["checkpoint"]
        head, _, last = note[:-1].rpartition(b" ")
        for broken in (last[:30] + b"AAAA" + last[34:], last[:200] if len(last) > 200 else last[:40]):
            found = failures(outcome(repack(data, made.key, {"checkpoint": head + b" " + broken + b"\n"})))
            assert f"checkpoint: has a wrong signature of {witness.name}" in found["witnesses"]


def test_log_that_changed_its_key(
    make_log: Callable[..., MadeLog], repack: Callable[..., bytes], outcome: Callable[..., Outcome]
) -> None:
    made = make_log(events_of_run())
    old, new = made.key, SigningKey.generate("brand")
    made.log.rotate(new)
    at_the_change = build_package(made.evidence(), new, {})
    made.log.append(Event(type=EventType.SCORER_STARTED))
    data = build_package(made.evidence(), new, {})
    for package in (at_the_change, data):
        for known in (old, new):
            results = outcome(package, keys=(known.verifier.encode(),))
            assert not failures(results)
            assert results["log key"][0] == verify.OK
    assert failures(outcome(data, saved=sign_checkpoint(Checkpoint("brand", 0, b"\0" * 32), old)))
    name = "rotations/8.checkpoint"
    assert name in verify.read_archive(data)
    text = verify.read_archive(data)[name].decode().partition("\n\n")[0] + "\n"
    found = failures(outcome(repack(data, new, {name: sign_note(text, new)})))
    assert found["log key"].startswith(f"{name}: is not signed by both")
    thief = SigningKey.generate("brand")
    keys = f"{old.verifier.encode()}\n{thief.verifier.encode()}\n".encode()
    found = failures(outcome(repack(data, new, {"keys/log.vkey": keys})))
    assert "checkpoint: is not signed by" in found["checkpoint"]


def compressed() -> bytes:
    """A bomb: a thousand times smaller than what it unpacks to."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MANIFEST", b"\0" * 50_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "file 1 of the archive: is no file of a package, or is cut off"),
        (b"PK\5\6" + bytes(18), "file 1 of the archive: is no file of a package"),
        (compressed(), "MANIFEST: its bytes, or those that the archive keeps about it, were changed"),
    ],
)
def test_archives_that_are_none_are_refused(
    outcome: Callable[..., Outcome], data: bytes, problem: str
) -> None:
    assert failures(outcome(data))["archive"].startswith(problem)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../b", "a//b", "C:\\x", "a\0b", "", ".ssh/x", "a/./b", "ü"]
)
def test_names_that_lead_elsewhere_are_refused(outcome: Callable[..., Outcome], name: str) -> None:
    path = name.encode()
    data = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, len(path), 0) + path
    found = failures(outcome(data + b"PK\1\2"))
    assert found["archive"].startswith("file 1 of the archive: has a name that no package has")


def test_file_twice_is_refused(package: bytes, outcome: Callable[..., Outcome]) -> None:
    size = package.index(b"PK\3\4", 4)
    assert "or has twice" in failures(outcome(package[:size] + package))["archive"]


def test_bytes_before_between_and_after_are_refused(package: bytes, outcome: Callable[..., Outcome]) -> None:
    for data in (b"\0" + package, package + b"\0", package[:-1], package.replace(b"PK\1\2", b"\0PK\1\2", 1)):
        assert failures(outcome(data))["archive"]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
@example(b"PK\3\4" + b"\xff" * 40)
def test_any_bytes_are_refused(data: bytes) -> None:
    assert verify.check_package(verify.Package(data))[0][1] == FAIL


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
@example(data=b"\n\n\xe2\x80\x94 ")
@example(data=b"brand\n7\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 brand AAAAAAAA\n")
def test_any_bytes_in_a_file_are_refused(
    member_log: MadeLog, package: bytes, repack: Callable[..., bytes], data: bytes
) -> None:
    """Every parser of the verifier takes any bytes that an exporter may sign for."""
    names = ("checkpoint", "log.policy", "keys/log.vkey", "entries.jsonl", "proofs/2.tlog-proof")
    for name in (*names, "tile/0/000.p/7"):
        results = verify.check_package(verify.Package(repack(package, member_log.key, {name: data})))
        assert any(verdict == FAIL for _, verdict, _ in results), name


def test_result_lines_steer_no_terminal(
    member_log: MadeLog, package: bytes, repack: Callable[..., bytes], capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    policy = verify.read_archive(package)["log.policy"] + b"witness \x1b[2J x\n"
    path = tmp_path / "package.zip"
    path.write_bytes(
        repack(package, member_log.key, {"log.policy": policy, "keys/log.vkey": b"a\x1b[2Jb+\n"})
    )
    assert verify.main([str(path)]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_limits_are_told(package: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, saved = tmp_path / "package.zip", tmp_path / "saved"
    path.write_bytes(package)
    assert verify.main([str(path), "--save", str(saved)]) == 0
    told = capsys.readouterr().out
    assert "trust on first use" in told
    assert all(limit in told for limit in verify.LIMITS)
    assert saved.read_bytes() == verify.read_archive(package)["checkpoint"]
    assert verify.main([str(path), "--since", str(saved)]) == 0
