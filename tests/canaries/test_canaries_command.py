"""``hanse audit scan``: finds this site's own people wherever they are written, and shows none of them."""

import base64
import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.command import Command, command_for

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.client.home import MemberHome
from hanse.crypto import SigningKey, read_secret
from hanse.policies import Pseudonymiser

IDS = [f"KD-{number:04d}-canary" for number in range(1, 41)]
MAILS = [f"kanari.{number:04d}@post.example" for number in range(1, 41)]
PHONE = "+49 151 23456789"


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Calls ``hanse`` in this process, beside a brand of forty customers."""
    monkeypatch.chdir(tmp_path)
    call = command_for(monkeypatch, capsys)
    rows = [f"{i},{m},{PHONE if i == IDS[6] else ''},33,a,yes" for i, m in zip(IDS, MAILS, strict=True)]
    Path("data.csv").write_text("\n".join(["subject_id,email,phone,age,job,label", *rows, ""]))

    identity = "--home brand --name brand --organisation Brand-AG --jurisdiction DE --data data.csv"
    assert call("init", "member", *identity.split()).code == 0
    monkeypatch.setenv("HANSE_HOME", "brand")
    return call


def scan(hanse: Command, *words: str) -> Any:
    """The JSON of a scan; no value that was looked for may be in it."""
    result = hanse("audit", "scan", *words, "--json")
    assert result.err == ""
    assert result.code == (6 if result.json["found"] else 0)
    for value in (*IDS, *MAILS, PHONE):
        assert value not in result.out
    return result.json


def plant(organisation: str) -> None:
    """An entry whose actor calls itself by a canary: the one text in an entry that is not of a vocabulary."""
    home = MemberHome(Path("brand"))
    key = SigningKey.load(home.node_key)
    actor = Actor(organisation=organisation, key_id=key.verifier.key_id, role="operator")
    AuditLog.open(home.log, key, actor).append(Event(type=EventType.CONSENT_SYNCED))


def test_a_clean_site(hanse: Command) -> None:
    clean = scan(hanse, "--column", "email", "--column", "phone")
    assert clean["found"] == []
    assert clean["values"] == 40 + 40 + 40 + 1
    assert clean["too_short"] == 0
    assert clean["places"] >= 3
    people = hanse("audit", "scan")
    assert people.code == 0
    assert "none of 80 values found" in people.out


@pytest.mark.parametrize(
    ("written", "column", "spelling"),
    [
        (IDS[4], None, "text"),
        (IDS[4].swapcase(), None, "text"),
        (IDS[4].encode().hex(), None, "hex"),
        (base64.b64encode(f"id={IDS[4]};".encode()).decode(), None, "base64"),
        ("kanari.0005%40post.example", "email", "url"),
        ("0151 / 234-56789", "phone", "digits"),
    ],
)
def test_an_entry_with_somebody_in_it_is_found(
    hanse: Command, written: str, column: str | None, spelling: str
) -> None:
    plant(written)
    options = ("--column", column) if column else ()
    found = scan(hanse, *options)["found"]
    row = 7 if column == "phone" else 5
    kind = column or "identifier"
    assert {(sighting["kind"], sighting["number"]) for sighting in found} == {(kind, row)}
    assert spelling in {sighting["spelling"] for sighting in found}
    assert any(sighting["place"].endswith("entry 1") for sighting in found)
    people = hanse("audit", "scan", *options)
    assert people.code == 6
    assert kind in people.out
    assert "Hand nothing of this out" in people.out


def test_pseudonyms_are_looked_for(hanse: Command) -> None:
    ref = Pseudonymiser(read_secret(MemberHome(Path("brand")).pseudonym_key)).ref(IDS[2])
    plant(ref)
    assert {(s["kind"], s["number"]) for s in scan(hanse)["found"]} == {("pseudonym", 3)}


def test_files_folders_and_archives_are_looked_into(hanse: Command) -> None:
    text = f"first line\nhanse_denials{{who='{IDS[9]}'}} 3\n"
    Path("out").mkdir()
    Path("out/brand.prom").write_text(text)
    with zipfile.ZipFile("export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("entries/0.json", text)
    Path("log.gz").write_bytes(gzip.compress(text.encode()))
    found = scan(hanse, "out", "export.zip", "log.gz")["found"]
    places = {sighting["place"]: sighting for sighting in found}
    assert {"out/brand.prom", "export.zip: entries/0.json", "log.gz, unpacked"} <= set(places)
    assert {(s["kind"], s["number"], s["line"]) for s in places.values()} == {("identifier", 10, 2)}


def test_values_of_a_list_and_a_sample(hanse: Command) -> None:
    Path("planted.txt").write_text("something-nobody-has\n\nlisted-canary-1\n")
    Path("out.txt").write_text("x listed-canary-1 y")
    found = scan(hanse, "out.txt", "--values", "planted.txt", "--sample", "3")
    assert found["values"] == 3 + 3 + 2
    assert {(s["kind"], s["number"], s["place"]) for s in found["found"]} == {("planted.txt", 3, "out.txt")}


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--column", "nothing"), "nothing"), (("broken.zip",), "broken.zip"), (("broken.gz",), "broken.gz")],
)
def test_what_cannot_be_read_does_not_pass_as_searched(
    hanse: Command, words: tuple[str, ...], message: str
) -> None:
    with zipfile.ZipFile("broken.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", IDS[0] * 9)
    data = Path("broken.zip").read_bytes()
    Path("broken.zip").write_bytes(data[:35] + b"\xff\xff\xff\xff" + data[39:])
    Path("broken.gz").write_bytes(gzip.compress(b"abc")[:-6])
    result = hanse("audit", "scan", *words)
    assert result.code == 3
    assert message in result.err


def test_help_has_examples(hanse: Command) -> None:
    assert "hanse audit scan --home brand" in hanse("audit", "scan", "--help").out
