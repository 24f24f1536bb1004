"""A federation of which two runs are over, and subjects of one member who ask what became of their rows."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import copy_of, open_federation, utc_now

from hanse.api.v1 import round_pb2 as pb
from hanse.client.home import MemberHome
from hanse.client.receipt_files import ReceiptFile
from hanse.crypto import SigningKey, read_secret, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.learning import ModelManifest, write_model
from hanse.policies import ConsentEvent, ConsentLedger, Pseudonymiser
from hanse.policies.receipts import make_receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PURPOSE = "joint_modelling.propensity"


@dataclass(frozen=True)
class Asking:
    """One member whose log tells of two runs, and the receipts of its subjects.

    Attributes:
        home: Its folder.
        key: The verifier key of its log.
        runs: The runs, in order.
        shared: The co-signed shared log.
        agreement: The signed agreement, whose witnesses co-signed it.
        receipts: By what became of the subject: ``stayed``, ``left`` (withdrew after round 1 of the first
            run) and ``never`` (a consent, and no row).
    """

    home: MemberHome
    key: str
    runs: tuple[str, ...]
    shared: Path
    agreement: Path
    receipts: Mapping[str, ReceiptFile]

    def ref(self, receipt: ReceiptFile) -> str:
        found: str = json.loads(receipt.note.decode().split("\n")[1])["pii_principal_id"]
        return found


def conduct(built: Any, home: MemberHome, after_round_one: Callable[[], None]) -> str:
    """One run to its end, with a model version that the member has fetched; returns the run."""
    transport = built.transport()
    done: list[bool] = []

    def before(commands: Mapping[str, bytes]) -> None:
        for body in commands.values():
            signed = pb.SignedMessage.FromString(body)
            command = pb.Command.FromString(signed.body)
            if command.WhichOneof("step") == "train" and command.train.round == 2 and not done:
                done.append(True)
                after_round_one()

    transport.before = before
    rounds, record = built.rounds(transport)
    outcome = rounds.conduct()
    agreement = built.agreement
    manifest = ModelManifest(
        name=agreement.id,
        version=len(list(home.models.glob("*"))) + 1,
        agreement_digest=built.signed.digest,
        run=record.run,
        purpose=agreement.purpose,
        label=agreement.label,
        training=agreement.training,
        transform=outcome.transform,
        metrics=outcome.metrics.as_facts(),
        privacy=agreement.privacy,
        epsilon=dict(outcome.epsilon),
        members=outcome.members,
        cell_counts=outcome.cell_counts,
        created_at=utc_now(),
    )
    home.models.mkdir(exist_ok=True)
    digest = write_model(home.models / manifest.reference, manifest, outcome.model_file, built.key)
    rounds.finish(manifest.reference, digest, "")
    run: str = record.run
    return run


def cosign(built: Any) -> None:
    """The shared log as it is, by the witnesses of both members."""
    log = built.shared_log
    for site in built.federation.sites:
        key = CosignerKey.load(site.home.witness_key)
        log.cosign(log.size, key.cosign(unverified_text(log.checkpoint()), utc_now()))


def grant_without_row(ledger: ConsentLedger, ref: str) -> None:
    """A consent of somebody of whom the member has no row."""
    now = utc_now()
    event = ConsentEvent(
        event_id="grant-without-row",
        recorded_at=now,
        subject_ref=ref,
        state="given",
        purposes=(PURPOSE,),
        given_at=now,
        notice_version="1",
    )
    ledger.record([event])


@pytest.fixture(scope="session")
def conducted(templates: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Asking:
    made, note = templates(2, 3.0, rounds=2)
    built = open_federation(copy_of(made, tmp_path_factory.mktemp("asking") / "federation"), note)
    site = built.federation.sites[0]
    home: MemberHome = site.home
    pseudonym = Pseudonymiser(read_secret(home.pseudonym_key)).ref
    stayed, left = (str(subject) for subject in site.written.subject_ids[site.written.consenting][:2])
    key = SigningKey.load(home.node_key)
    receipts: dict[str, ReceiptFile] = {}

    def receive(name: str, subject: str) -> None:
        with ConsentLedger(home.consent) as ledger:
            if name == "never":
                grant_without_row(ledger, pseudonym(subject))
            receipts[name] = ReceiptFile(*make_receipt(ledger, pseudonym(subject), PURPOSE, key, utc_now()))

    def leave() -> None:
        built.federation.withdraw(site, left, "joint_modelling", utc_now())

    receive("left", left)
    first = conduct(built, home, leave)
    for other in built.federation.sites:  # a run may cost the whole budget; this is a new one
        for path in other.home.privacy.parent.glob("privacy.db*"):
            path.unlink()
    built.nodes = {other.data.name: built.node(other) for other in built.federation.sites}
    second = conduct(built, home, lambda: None)
    receive("stayed", stayed)
    receive("never", "nobody-at-all")
    cosign(built)
    agreement = built.home.root / "propensity.agreement"
    agreement.write_bytes(built.signed.note)
    return Asking(home, key.verifier.encode(), (first, second), built.home.log, agreement, receipts)


@pytest.fixture
def asking(conducted: Asking, tmp_path: Path) -> Asking:
    """The same for a test that changes something."""
    shutil.copytree(conducted.home.root, tmp_path / "home")
    return replace(conducted, home=MemberHome(tmp_path / "home"))


@pytest.fixture
def write_receipt_file(tmp_path: Path) -> Callable[[ReceiptFile], Path]:
    """Writes a receipt as a subject has it."""

    def write(receipt: ReceiptFile, name: str = "receipt.json") -> Path:
        document = {"receipt": receipt.note.decode()}
        if receipt.secret is not None:
            document["receipt_secret"] = receipt.secret.hex()
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return write
