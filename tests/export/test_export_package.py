"""What is in a package, and that two parties' tools agree on it."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.export.conftest import RUN, MadeLog, Outcome, events_of_run
from tlog_scales import signing
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.tiles import leaf_hash as their_leaf_hash

from hanse.audit import Counts, Event, EventType
from hanse.audit.policy_file import parse_policy
from hanse.audit.proof_file import check_proof
from hanse.audit.tiles import Bundle, Tile, check_bundle, check_tiles, decode_tile, parse_path
from hanse.errors import ConfigurationError
from hanse.evidence import build_package, verify


def files_of(data: bytes) -> dict[str, bytes]:
    """As any unzip program reads them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_verifies_with_notes(package: bytes, outcome: Callable[..., Outcome]) -> None:
    verdicts = {name: verdict for name, (verdict, _) in outcome(package).items()}
    notes = {"log key", "witnesses", "saved"}
    assert verdicts == {name: verify.NOTE if name in notes else verify.OK for name in verdicts}
    assert len(verdicts) == len(verify.CHECKS)


def test_is_the_same_bytes_every_time(member_log: MadeLog, package: bytes) -> None:
    assert member_log.package() == package


def test_has_what_a_reviewer_needs(package: bytes) -> None:
    files = files_of(package)
    assert set(files) == set(verify.read_archive(package))
    expected = {
        "MANIFEST", "README.txt", "checkpoint", "csv/decisions.csv", "csv/entries.csv", "csv/rounds.csv",
        "entries.jsonl", "keys/exporter.vkey", "keys/log.vkey", "keys/witnesses.vkey", "log.policy",
        "proofs/2.tlog-proof", "proofs/4.tlog-proof", "proofs/6.tlog-proof", "report.html",
        "ro-crate-metadata.json", "tile/0/000.p/7", "tile/entries/000.p/7", "verify.py",
    }  # fmt: skip
    assert set(files) == expected
    assert files["verify.py"] == Path(verify.__file__).read_bytes()


def test_manifest_is_what_sha256sum_reads(package: bytes) -> None:
    files = files_of(package)
    lines = files.pop("MANIFEST").decode().partition("\n\n")[0].split("\n")
    assert lines[:2] == [verify.HEADER, "all"]
    assert lines[2:] == [f"{hashlib.sha256(files[name]).hexdigest()}  {name}" for name in sorted(files)]


def test_tiles_bundles_and_proofs_are_those_of_the_core(
    make_log: Callable[..., MadeLog], outcome: Callable[..., Outcome]
) -> None:
    made = make_log([])
    made.log.append(*[Event(type=EventType.SCORE_ANSWERED) for _ in range(600)])
    made.log.append(*events_of_run())
    data = made.package()
    files, checkpoint = files_of(data), made.evidence().checkpoint
    check_tiles(checkpoint.size, checkpoint.root, lambda tile: files[tile.path])
    for name in (name for name in files if name.startswith("tile/entries/")):
        bundle = parse_path(name)
        assert isinstance(bundle, Bundle)
        tile = Tile(0, bundle.index, bundle.width)
        check_bundle(bundle, files[name], decode_tile(tile, files[tile.path]))
    assert "tile/1/000.p/2" in files
    policy = parse_policy(files["log.policy"])
    leaves = made.evidence().leaves
    proofs = [name for name in files if name.startswith("proofs/")]
    assert len(proofs) == 3
    for name in proofs:
        index = int(name.removeprefix("proofs/").removesuffix(".tlog-proof"))
        assert check_proof(files[name], leaves[index], policy).entry == index
    assert all(verdict != verify.FAIL for verdict, _ in outcome(data).values())


def test_tiles_and_checkpoint_verify_with_tlog_scales(
    make_log: Callable[..., MadeLog], tmp_path: Path
) -> None:
    made = make_log([])
    made.log.append(*[Event(type=EventType.SCORE_ANSWERED) for _ in range(300)])
    with zipfile.ZipFile(io.BytesIO(made.package())) as archive:
        archive.extractall(tmp_path)
    reader, leaves = TilesReader(LocalBackend(tmp_path)), made.evidence().leaves
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(signing.Vkey.from_string((tmp_path / "keys/log.vkey").read_text().strip()))
    assert reader.calculate_root_hash() == checkpoint.root_hash == made.evidence().checkpoint.root
    for index in (0, 255, 256, 299):
        assert reader.get_entry(index) == leaves[index]
        reader.get_inclusion_proof(index, 300).check(their_leaf_hash(leaves[index]), checkpoint.root_hash)


def test_entries_are_exact_and_decoded(member_log: MadeLog, package: bytes) -> None:
    lines = files_of(package)["entries.jsonl"].splitlines()
    assert len(lines) == member_log.log.size
    for index, (line, leaf) in enumerate(zip(lines, member_log.evidence().leaves, strict=True)):
        value = json.loads(line)
        assert value["index"] == index
        assert value["entry"] == json.loads(leaf)


def test_csv_cells_are_no_formulas(make_log: Callable[..., MadeLog]) -> None:
    made = make_log(events_of_run(), organisation='=HYPERLINK("http://x";"A"), B')
    files = files_of(made.package())
    for name in ("csv/entries.csv", "csv/decisions.csv", "csv/rounds.csv"):
        rows = list(csv.DictReader(io.StringIO(files[name].decode(), newline="")))
        assert {row["organisation"] for row in rows} == {'\'=HYPERLINK("http://x";"A"), B'}
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row.values())
    rounds = list(csv.DictReader(io.StringIO(files["csv/rounds.csv"].decode(), newline="")))
    assert [row["rows_out"] for row in rounds] == ["899", "", "898", "", ""]
    assert rounds[0]["excluded_by_rule"] == "P04:10 P10:91"


def test_metadata_describes_every_file(package: bytes) -> None:
    files = files_of(package)
    crate = json.loads(files.pop("ro-crate-metadata.json"))
    del files["MANIFEST"]  # made after it
    graph = {entity["@id"]: entity for entity in crate["@graph"]}
    assert graph["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    assert {part["@id"] for part in graph["./"]["hasPart"]} == set(files)
    assert {name: graph[name]["sha256"] for name in files} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert graph[f"#{RUN}"]["actionStatus"] == "http://schema.org/ActiveActionStatus"
    references = {
        target["@id"]
        for entity in graph.values()
        for value in entity.values()
        for target in (value if isinstance(value, list) else [value])
        if isinstance(target, dict) and set(target) == {"@id"}
    }
    assert all(target in graph or "://" in target or target.startswith("urn:") for target in references)


def test_one_run_discloses_no_other_entry(member_log: MadeLog, outcome: Callable[..., Outcome]) -> None:
    data = member_log.package(run=RUN)
    results, files = outcome(data), files_of(data)
    assert all(verdict != verify.FAIL for verdict, _ in results.values())
    assert results["entries"] == (verify.NOTE, "5 entries are those in the tree; 2 not disclosed")
    assert not any(name.startswith("tile/entries/") for name in files)
    hidden = member_log.evidence().leaves[:2]
    assert not any(leaf in content for leaf in hidden for content in files.values())
    assert not any(b"agreement.signed" in content for name, content in files.items() if name != "verify.py")


def test_a_run_that_is_not_there_is_refused(member_log: MadeLog) -> None:
    with pytest.raises(ConfigurationError, match="no entry of a run"):
        member_log.package(run="run-nobody-knows")


def test_suppressed_counts_stay_suppressed(make_log: Callable[..., MadeLog]) -> None:
    counts = Counts(rows_in="<10", rows_out="<10", by_rule={"P10": "<10"})
    made = make_log([Event(type=EventType.ROUND_SUBMITTED, run=RUN, round=1, peer="brand", counts=counts)])
    files = files_of(build_package(made.evidence(), made.key, {}))
    assert b'"<10","<10","","P10:<10"' in files["csv/entries.csv"]
    assert b"&lt;10" in files["report.html"]
