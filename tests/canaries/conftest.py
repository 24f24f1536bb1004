"""Sites whose data sets are full of canaries, and everything that comes out of them."""

import base64
import hashlib
import json
import urllib.parse
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pytest
from tests.federation.conftest import start

from hanse.audit import LogReader
from hanse.audit.canaries import Canary, Scanner, Sighting
from hanse.client.home import MemberHome
from hanse.crypto import read_secret
from hanse.policies import Pseudonymiser

__all__ = ["start"]  # the fixture of the real processes

WRITTEN: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda value: value.encode(),
    "upper case": lambda value: value.upper().encode(),
    "other case": lambda value: value.swapcase().encode() if value.isascii() else value.lower().encode(),
    "utf-16, little": lambda value: value.encode("utf-16-le"),
    "utf-16, big": lambda value: value.encode("utf-16-be"),
    "gb18030": lambda value: value.encode("gb18030"),
    "hex": lambda value: value.encode().hex().encode(),
    "hex, upper case": lambda value: value.encode().hex().upper().encode(),
    "base64": lambda value: base64.b64encode(value.encode()),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()),
    "URL": lambda value: urllib.parse.quote(value, safe="").encode(),
    "form": lambda value: urllib.parse.quote_plus(value).encode(),
    "URL, every byte": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()).encode(),
    "JSON": lambda value: json.dumps(value).encode(),
    "Python": lambda value: repr(value.encode()).encode(),
    "sha256": lambda value: hashlib.sha256(value.encode()).hexdigest().encode(),
    "sha256 of lower case": lambda value: hashlib.sha256(value.lower().encode()).hexdigest().encode(),
    "sha1": lambda value: hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest().encode(),
    "md5, cut": lambda value: hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()[:20].encode(),
    "sha256, base64": lambda value: base64.b64encode(hashlib.sha256(value.encode()).digest()),
}
"""How a program might write a value down, by libraries that the scanner does not share code with."""


def mail(member: str, row: int) -> str:
    return f"kanari.{row:05d}@post.{member}.example"


def phone(member: str, row: int) -> str:
    return f"+49 151 {len(member) % 10}{7_000_003 + 613 * row}"


def person(member: str, row: int) -> str:
    return f"Ännchen {member.title()}-Ödhof {row:05d}"


def seed(home: MemberHome) -> list[str]:
    """Adds an e-mail address, a telephone number and a name to every row of a site; returns its ids."""
    path = home.root / "data.parquet"
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(path))
        ids = rows.select("subject_id").fetchnumpy()["subject_id"]
        made = {
            name: np.array([make(home.root.name, row) for row in range(len(ids))], dtype=object)
            for name, make in (("email", mail), ("phone", phone), ("name", person))
        }
        connection.register("made", made)
        connection.execute("CREATE TABLE whole AS SELECT * FROM rows POSITIONAL JOIN made")
        connection.table("whole").write_parquet(str(path))
    return [str(value) for value in ids]


def canaries_of(home: MemberHome, ids: Sequence[str], rows: Sequence[int]) -> list[Canary]:
    """Everything that is known of some people of a site."""
    ref = Pseudonymiser(read_secret(home.pseudonym_key)).ref
    member = home.root.name
    return [
        Canary(kind, row, value)
        for row in rows
        for kind, value in (
            ("identifier", ids[row]),
            ("pseudonym", ref(ids[row])),
            ("email", mail(member, row)),
            ("phone", phone(member, row)),
            ("name", person(member, row)),
        )
    ]


@dataclass
class Places:
    """What came out, by where: exact bytes of everything that others may see, or that stays as evidence."""

    canaries: list[Canary] = field(default_factory=list)
    data: dict[str, bytes] = field(default_factory=dict)

    def add(self, place: str, data: bytes | str) -> None:
        found = data.encode(errors="surrogateescape") if isinstance(data, str) else data
        self.data[place] = self.data.get(place, b"") + found + b"\n"

    def add_log(self, name: str, place: Path) -> None:
        """A log: every entry as it is stored, the newest checkpoint, and the bytes of its files."""
        with LogReader.open(place) as reader:
            self.add(f"{name}: entries", b"\n".join(reader.leaves(0, reader.size)))
            self.add(f"{name}: checkpoint", reader.note)
        for file in place.parent.glob(f"{place.name}*"):
            self.add(f"{name}: {file.name}", file.read_bytes())

    def add_folder(self, name: str, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                self.add(f"{name}: {file.relative_to(folder)}", file.read_bytes())

    def add_archive(self, name: str, path: Path) -> None:
        self.add(f"{name}, as it is", path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                self.add(f"{name}: {member}", archive.read(member))

    def found(self) -> Mapping[str, list[Sighting]]:
        """Sightings by place, without the places where there are none."""
        scanner = Scanner(self.canaries)
        assert scanner.looked_for == len(self.canaries)
        sightings = {place: list(scanner.scan(data)) for place, data in self.data.items()}
        return {place: seen for place, seen in sightings.items() if seen}


@pytest.fixture
def places() -> Places:
    return Places()
