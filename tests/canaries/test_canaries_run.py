"""A whole collaboration over data full of canaries: none of them is in anything that comes out of it."""

import contextlib
import csv
import io
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.canaries.conftest import WRITTEN, Places, canaries_of, mail, person, phone, seed
from tests.completeness.conftest import conduct

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Event, EventType
from hanse.cli.main import main
from hanse.client.data import DataSource
from hanse.client.home import MemberHome
from hanse.client.settings import NodeSettings
from hanse.crypto import SigningKey
from hanse.errors import CATALOGUE, HanseError

SAMPLE = 150
GOOD = {
    "state": "given",
    "purposes": "joint_modelling",
    "given_at": "2026-01-01T00:00:00Z",
    "expires_at": "2099-01-01T00:00:00Z",
    "notice_version": "2",
}


class Commands:
    """The commands, called in this process; everything that they print is kept."""

    def __init__(self, places: Places, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
        self._places = places
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self.codes: list[int] = []

    def __call__(self, *words: str) -> int:
        self._monkeypatch.setattr(sys, "argv", ["hanse", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = self._capfd.readouterr()
        self._places.add("stdout of commands", printed.out)
        self._places.add("stderr of commands", printed.err)
        code = caught.value.code if isinstance(caught.value.code, int) else 0
        self.codes.append(code)
        return code


@pytest.fixture
def hanse(places: Places, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Commands:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("HANSE_HOME", raising=False)
    return Commands(places, monkeypatch, capfd)


def hostile_rows(home: MemberHome, ids: list[str]) -> Path:
    """Consent events of which every field holds a canary once, and some that are good."""
    member, fields = home.root.name, ["event_id", "subject", *GOOD]
    rows = [{"event_id": "good-1", "subject": ids[0], **GOOD}]
    for number, name in enumerate(fields, 1):
        for make in (mail, phone, person):
            row = {"event_id": f"bad-{number}-{make.__name__}", "subject": ids[number], **GOOD}
            rows.append(row | {name: make(member, number)})
    rows.append({"event_id": "good-1", "subject": ids[1], **GOOD})  # the same event about somebody else
    out = io.StringIO()
    writer = csv.DictWriter(out, fields)
    writer.writeheader()
    writer.writerows(rows)
    path = home.root / "hostile.csv"
    path.write_text(out.getvalue() + f'"{mail(member, 3)},{ids[3]}\n', encoding="utf-8")
    return path


def bad_data(home: MemberHome, places: Places) -> None:
    """Data sets that are not as declared: canaries where numbers belong, subjects twice, no label."""
    manifest = NodeSettings.load(home.root).dataset
    numeric = next(column.name for column in manifest.columns if column.kind == "numeric")
    member = home.root.name
    data: dict[str, list[tuple[str, ...]]] = {
        "text for a number": [(mail(member, 1), person(member, 1), "yes")],
        "the same subject twice": [(mail(member, 1), "1", "yes"), (mail(member, 1), "2", "no")],
        "a line that is no row": [(mail(member, 1), f'1"{phone(member, 1)}', "yes", "more", "more")],
    }
    for name, rows in data.items():
        path = home.root / "bad.csv"
        lines = [f"subject_id,{numeric},{manifest.label_column}", *(",".join(row) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        source = DataSource(manifest.model_copy(update={"path": path}))
        with pytest.raises(HanseError) as caught:
            read_all(source, numeric, mail(member, 1))
        places.add("errors", f"{name}: {caught.value} {caught.value.detail} {caught.value!r}")


def read_all(source: DataSource, column: str, subject: str) -> None:
    source.subject_ids()
    source.read([column], [subject], {})


def broken(local: Any, member: str) -> Callable[[str, bytes], bytes]:
    """A member whose update is no update: its round fails."""
    key = SigningKey.load(MemberHome(local.federation.folder / member).node_key)

    def tamper(name: str, body: bytes) -> bytes:
        reply = pb.Reply.FromString(pb.SignedMessage.FromString(body).body)
        if name != member or reply.WhichOneof("outcome") != "trained":
            return body
        reply.trained.delta = b"\x7f\xc0"
        changed = reply.SerializeToString()
        signature = key.sign("hanse.round.v1", changed)
        return pb.SignedMessage(body=changed, signer=key.name, signature=signature).SerializeToString()

    return tamper


def collaborate(local: Any, subject: str) -> list[str]:
    """A round that fails, a run in which somebody withdraws, a run that is refused, nonsense on the wire."""
    accepted = Event(type=EventType.AGREEMENT_ACCEPTED, agreement=local.signed.digest)
    local.shared_log.append(accepted)
    failing = local.transport()
    failing.tamper = broken(local, "insurer")
    conduct(local, failing)
    site = local.federation.sites[0]

    def withdraw(number: int) -> None:
        if number == 2:
            local.federation.withdraw(site, subject, local.agreement.purpose, datetime.now(UTC))

    conduct(local, local.transport(), withdraw)
    conduct(local, local.transport())
    messages = []
    for junk in (subject.encode(), mail("brand", 1).encode() * 9, b""):
        with contextlib.suppress(HanseError):
            local.nodes["brand"].handle(junk)
            messages.append("answered")
    return messages


def test_no_canary_comes_out_of_a_run(
    federation: Callable[..., Any],
    hanse: Commands,
    places: Places,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    local = federation(members=2, rounds=2)
    homes = {site.data.name: site.home for site in local.federation.sites}
    ids = {name: seed(home) for name, home in homes.items()}
    brand, people = str(homes["brand"].root), ids["brand"]
    granted = local.federation.sites[0].written
    consenting = [str(value) for value in granted.subject_ids[granted.profiles == "granted"]]

    for name, home in homes.items():
        path = hostile_rows(home, ids[name])
        assert hanse("consent", "import", str(path), "--home", str(home.root)) in {0, 3}
        assert hanse("consent", "import", str(path), "--home", str(home.root), "--json") in {0, 3}
        bad_data(home, places)
    purpose = ("--purpose", "joint_modelling")
    assert hanse("consent", "withdraw", people[5], *purpose, "-C", brand) == 0
    assert hanse("consent", "withdraw", people[5], "--purpose", mail("brand", 5), "-C", brand) != 0
    assert hanse("consent", "fold", consenting[3], *purpose, "--category", "behavioural", "-C", brand) == 0
    assert hanse("consent", "show", people[5], "-C", brand) == 0
    assert hanse("consent", "show", mail("brand", 5), "-C", brand, "--json") == 0
    assert not collaborate(local, consenting[0])
    for words in (("audit", "verify"), ("audit", "show", "--last", "500"), ("policy", "watch")):
        hanse(*words, "--home", brand)
        hanse(*words, "--home", brand, "--json")
    metrics = tmp_path / "brand.prom"
    hanse("policy", "watch", "--home", brand, "--metrics", str(metrics))
    package = tmp_path / "brand.zip"
    assert hanse("audit", "export", "--home", brand, "--out", str(package)) == 0
    assert hanse("audit", "verify", "--package", str(package)) in {0, 6}

    places.add_archive("package", package)
    places.add("metrics", metrics.read_bytes())
    places.add("messages of the program", caplog.text)
    places.add_log("shared log", local.home.log)
    for name, home in homes.items():
        places.add_log(f"log of {name}", home.log)
    places.add_folder("coordinator", local.home.root)
    places.add("public messages", "\n".join(spec.public_message for spec in CATALOGUE.values()))
    rows = sorted({*range(12), *(people.index(subject) for subject in consenting[:SAMPLE])})
    places.canaries = [c for name, home in homes.items() for c in canaries_of(home, ids[name], rows)]
    assert {"consent.recorded", "consent.folded", "run.refused", "run.failed", "run.finished"} <= {
        kind for kind in EventType if f'"{kind}"'.encode() in places.data["log of brand: entries"]
    }
    assert b'"message.refused"' in places.data["log of brand: entries"]
    assert b"refused" in places.data["stdout of commands"]
    assert any("events.jsonl" in place for place in places.data)
    assert places.found() == {}
    everything_planted_is_found(places)


def everything_planted_is_found(places: Places) -> None:
    """The negative control: each place again, with canaries in it, a different one in every spelling."""
    planted = dict(zip(WRITTEN, places.canaries[::3], strict=False))
    assert {canary.kind for canary in planted.values()} == {c.kind for c in places.canaries}
    written = b"".join(b'"%s"' % WRITTEN[name](canary.value) for name, canary in planted.items())
    for place, data in places.data.items():
        middle = len(data) // 2
        places.data[place] = data[:middle] + b" " + written + b" " + data[middle:]
    found = places.found()
    for place in places.data:
        kinds = {(sighting.kind, sighting.number) for sighting in found[place]}
        assert {(canary.kind, canary.number) for canary in planted.values()} <= kinds, place
