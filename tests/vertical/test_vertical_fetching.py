"""A vertical model is taken home only as its label holder made it, and if it leaks as little as agreed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import utc_now
from typing_extensions import override

from hanse.audit import Actor, Checkpoint, Event, EventType, leaf_hash, sign_checkpoint
from hanse.audit.entry import Frame, format_time, write_entry
from hanse.audit.proof_file import ProofFile, format_proof
from hanse.client.remote import CoordinatorClient, FetchedModel
from hanse.client.vertical.fetching import fetch_vertical
from hanse.crypto import SigningKey, sha256_hex, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.demo.federation import CALLER, Federation
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import car_story
from hanse.errors import HanseError
from hanse.learning.artifact import MANIFEST_FILE
from hanse.learning.vertical.leakage import Finding, LeakageReport
from hanse.learning.vertical.runs.leakage import LEAKAGE_FILE, encode_reports
from hanse.learning.vertical.runs.manifest import PART_FILE, VerticalManifest, sign_vertical
from hanse.policies import SignedAgreement, open_agreement

PURPOSES = ("joint_modelling.propensity", "scoring.marketing")
MODEL = "car@1"
PART = b"the part's note"


class Registry(CoordinatorClient):
    """A coordinator that has one model."""

    def __init__(self, answer: FetchedModel) -> None:
        self.answer = answer

    @override
    def model(self, reference: str) -> FetchedModel:
        del reference
        return self.answer


class World:
    """Two members that agreed, and their coordinator, which says what it likes about leakage."""

    def __init__(self, folder: Path) -> None:
        story = car_story(400, 2, np.random.default_rng(5))
        federation = Federation(folder, [site_of(story, holder) for holder in story.holders], utc_now())
        federation.make_keys()
        federation.write_data(*PURPOSES, np.random.default_rng(7))
        note = federation.agree(vertical_draft(story, 5, CALLER))[1]
        self.signed: SignedAgreement = open_agreement(note)
        self.key = SigningKey.load(federation.hub / "keys" / "node.key")
        self.sites = federation.sites
        self.home = self.sites[0].home

    def registered(self, *reports: LeakageReport) -> Registry:
        agreement = self.signed.agreement
        fields: dict[str, Any] = {
            "name": "car",
            "version": 1,
            "agreement_digest": self.signed.digest,
            "run": "run-1",
            "purpose": agreement.purpose,
            "label": agreement.label,
            "training": agreement.training,
            "vertical": agreement.vertical,
            "aligned_set_root": "ab" * 32,
            "aligned": 400,
            "parts": {site.data.name: sha256_hex(PART) for site in self.sites},
            "conversations": (),
            "dealt": {},
            "metrics": {},
            "leakage": reports,
            "created_at": utc_now(),
        }
        note = sign_vertical(VerticalManifest(**fields), self.key)
        return Registry(FetchedModel(note, b"", *self._registration(sha256_hex(note))))

    def _registration(self, model: str) -> tuple[bytes, bytes]:
        actor = Actor(organisation="Hub", key_id=self.key.verifier.key_id, role="coordinator")
        event = Event(type=EventType.MODEL_REGISTERED, agreement=self.signed.digest, model_out=model)
        leaf = write_entry(event, Frame(actor.canonical(), 0, format_time(utc_now())))
        seen = sign_checkpoint(Checkpoint(self.key.verifier.name, 1, leaf_hash(leaf)), self.key)
        for site in self.sites:
            cosigner = CosignerKey.load(site.home.witness_key)
            seen += cosigner.cosign(unverified_text(seen), utc_now()).encode()
        return leaf, format_proof(ProofFile(0, (), seen))


def report(area: float, party: str = "insurer") -> LeakageReport:
    return LeakageReport(
        party=party,
        mode="boosted trees",
        rows=400,
        findings=(Finding(attack="norm", seen="sums", area=area),),
        known=200,
    )


def refusal(world: World, registry: Registry) -> str:
    with pytest.raises(HanseError) as caught:
        fetch_vertical(registry, world.home, MODEL, world.signed)
    assert not (world.home.models / MODEL).exists()
    return f"{caught.value.code}: {caught.value.detail}"


def test_what_leaked_more_than_agreed_or_is_not_what_the_label_holder_made_stays_away(tmp_path: Path) -> None:
    world = World(tmp_path)
    part = world.home.parts / MODEL
    part.mkdir(parents=True)
    (part / PART_FILE).write_bytes(PART)
    (part / LEAKAGE_FILE).write_bytes(encode_reports((report(0.55),)))

    assert "policy.leakage" in refusal(world, world.registered(report(0.7)))
    assert "one leakage report for each" in refusal(world, world.registered(report(0.5, "somebody")))
    assert "other leakage reports" in refusal(world, world.registered(report(0.5)))

    fetched = fetch_vertical(world.registered(report(0.55)), world.home, MODEL, world.signed)
    assert fetched.part == part
    assert (fetched.folder / MANIFEST_FILE).is_file()
