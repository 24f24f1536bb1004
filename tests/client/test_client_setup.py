"""A member's folder, its settings, its drafts, the software digest, and taking models home."""

from __future__ import annotations

import hashlib
import stat
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest
from typing_extensions import override

from hanse.audit import Actor, Checkpoint, Event, EventType, leaf_hash, sign_checkpoint, verify_log
from hanse.audit.entry import Frame, format_time, write_entry
from hanse.audit.proof_file import ProofFile, format_proof
from hanse.client import software
from hanse.client.drafting import draft_agreement, known_identities, read_columns
from hanse.client.home import MemberHome
from hanse.client.models import fetch_model
from hanse.client.progress import auc_text, describe, failure, registered_model
from hanse.client.remote import CoordinatorClient, FetchedModel, RunEvent
from hanse.client.settings import NodeSettings
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.client.software import PARTS, software_digest, software_version
from hanse.crypto import SigningKey, VerifierKey, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import ConfigurationError, HanseError, IdentityError, PolicyError, ServingError
from hanse.learning import ModelManifest, Transform, encode_weights, load_model, write_model
from hanse.learning.artifact import MANIFEST_FILE, WEIGHTS_FILE
from hanse.policies import DEFAULT_PACKS, Identity, builtin_pack, check_agreement, merge

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NO_DATA = DatasetHints(None, "id", "y")


def test_a_new_member_has_keys_of_its_own_and_a_log(tmp_path: Path) -> None:
    home = MemberHome(tmp_path / "brand")
    identity = init_member(home.root, Organisation("brand", "Brand AG", "DE", "DE"), NO_DATA, NOW)
    assert Identity.load(home.identity) == identity
    secrets = [home.node_key, home.approver_key, home.flower_key, home.tls_key, home.pseudonym_key]
    for path in (*secrets, home.serving_key, home.witness_key, home.witness):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    log = verify_log(home.log, VerifierKey.decode(identity.node_key), origin="brand")
    assert [entry.type for entry in log.entries] == ["member.initialised"]
    assert home.consent.is_file()
    public = home.identity.read_text()
    assert home.pseudonym_key.read_bytes().hex() not in public
    assert "PRIVATE" not in public


def test_a_folder_belongs_to_one_member(tmp_path: Path) -> None:
    init_member(tmp_path, Organisation("brand", "Brand AG", "DE", "DE"), NO_DATA, NOW)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError) as caught:
        init_member(tmp_path, Organisation("other", "Other AG", "DE", "DE"), NO_DATA, NOW)
    assert caught.value.code == "config.exists"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "organisation", "country", "told"),
    [
        ("brand", "Brand AG", "Germany", "jurisdiction"),
        ("brand", "", "DE", "organisation"),
        ("Brand", "Brand AG", "DE", "name"),
        ("two words", "Brand AG", "DE", "name"),
    ],
)
def test_what_cannot_be_an_identity_makes_no_folder(
    tmp_path: Path, name: str, organisation: str, country: str, told: str
) -> None:
    with pytest.raises((ConfigurationError, IdentityError), match=told):
        init_member(tmp_path / "x", Organisation(name, organisation, country, country), NO_DATA, NOW)
    assert not (tmp_path / "x").exists()


TABLE = """\
id,whole,broken,word,day,"odd ""\tname",y
a,1,1.5,x,2024-01-01,1,yes
b,2,2.5,y,2024-01-02,2,no
"""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_are_declared_by_their_types(tmp_path: Path, ending: str) -> None:
    data = tmp_path / f"data.{ending}"
    (tmp_path / "data.csv").write_text(TABLE)
    if ending == "parquet":
        duckdb.read_csv(str(tmp_path / "data.csv"), header=True).write_parquet(str(data))
    init_member(
        tmp_path / "brand", Organisation("brand", "Brand AG", "DE", "DE"), DatasetHints(data, "id", "y"), NOW
    )
    dataset = NodeSettings.load(tmp_path / "brand").dataset
    assert dataset.path == data
    assert (dataset.subject_column, dataset.label_column) == ("id", "y")
    assert {column.name: column.kind for column in dataset.columns} == {
        "whole": "numeric",
        "broken": "numeric",
        "word": "categorical",
        "day": "categorical",
        'odd "\tname': "numeric",
    }


def test_numbers_of_every_type_are_numeric(tmp_path: Path) -> None:
    kinds = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL(9,2)"]
    selected = ", ".join(f"CAST(1 AS {kind}) AS c{i}" for i, kind in enumerate(kinds))
    path = tmp_path / "data.parquet"
    with duckdb.connect(":memory:") as connection:
        sql = f"SELECT 'a' AS id, 'b' AS y, true AS flag, INTERVAL 1 DAY AS span, {selected}"
        connection.sql(sql).write_parquet(str(path))
    init_member(
        tmp_path / "brand", Organisation("brand", "Brand AG", "DE", "DE"), DatasetHints(path, "id", "y"), NOW
    )
    columns = NodeSettings.load(tmp_path / "brand").dataset.columns
    assert {column.name for column in columns if column.kind == "categorical"} == {"flag", "span"}
    assert len(columns) == len(kinds) + 2


@pytest.mark.parametrize(("text", "told"), [("id,x\na,1\n", "no column y"), (None, "cannot read")])
def test_data_that_cannot_be_declared(tmp_path: Path, text: str | None, told: str) -> None:
    data = tmp_path / "data.csv"
    if text is not None:
        data.write_text(text)
    with pytest.raises(ConfigurationError, match=told) as caught:
        init_member(
            tmp_path / "x", Organisation("brand", "Brand AG", "DE", "DE"), DatasetHints(data, "id", "y"), NOW
        )
    assert caught.value.code == "config.bad-data"
    assert not (tmp_path / "x" / "identity.json").exists()


def test_settings_of_a_new_folder_are_valid_toml(shared: World) -> None:
    values = tomllib.loads(shared.home.settings.read_text())
    assert values["node"]["name"] == "brand"
    assert values["serve"]["address"] == "127.0.0.1:9300"


def test_paths_of_a_home_are_all_below_it(shared: World) -> None:
    names = [name for name in vars(MemberHome) if isinstance(getattr(MemberHome, name), property)]
    paths = [getattr(shared.home, name) for name in names]
    assert len(set(paths)) == len(paths) >= 15
    assert all(path.is_relative_to(shared.home.root) for path in paths)


# --- drafts


def test_a_draft_is_over_everybody_who_is_enrolled(shared: World) -> None:
    agreement = shared.agreement()
    assert [member.name for member in agreement.members] == ["brand", "insurer"]
    assert agreement.coordinator.name == "hub"
    assert agreement.privacy is None
    assert agreement.border.mechanism == "none"
    assert agreement.software.digest == software_digest()
    private = shared.agreement(epsilon=2.0).privacy
    assert private is not None
    assert (private.epsilon, private.delta) == (2.0, 1e-5)


def test_members_in_two_countries_need_a_border_mechanism(shared: World) -> None:
    own, *others = known_identities(shared.home)
    identities = [own.model_copy(update={"jurisdiction": "CN"}), *others]
    agreement = draft_agreement(shared.draft(), identities, shared.now)
    # No mechanism is invented: that there is none is a gap until somebody says which.
    assert agreement.border.mechanism == "none"
    policy = merge([builtin_pack(name) for name in DEFAULT_PACKS])
    assert "P21" in {gap.rule for gap in check_agreement(agreement, policy, shared.now)}


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"identifier": "no good!"}, "id"), ({"epsilon": -1.0}, "epsilon"), ({"title": ""}, "title")],
)
def test_a_draft_that_is_no_agreement_names_the_field(
    shared: World, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(PolicyError, match=field) as caught:
        shared.agreement(**changes)
    assert caught.value.code == "policy.invalid"


def test_a_draft_needs_one_coordinator(shared: World) -> None:
    members = [identity for identity in known_identities(shared.home) if identity.role == "member"]
    with pytest.raises(ConfigurationError, match="0 are enrolled"):
        draft_agreement(shared.draft(), members, shared.now)


def test_a_data_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "columns.yaml"
    path.write_text(
        "- {name: age, kind: numeric, classification: basic, edges: [30.0],\n"
        "   categories: [], necessity: null}\n"
    )
    [column] = read_columns(path)
    assert (column.name, column.edges) == ("age", (30.0,))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"- {name: age, kind: words}\n", "kind"),
        (b"- [", "not YAML"),
        (b"\xff\xfe\xff", "columns.yaml"),
        (b"", "columns.yaml"),
    ],
)
def test_a_data_dictionary_that_is_none(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "columns.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told) as caught:
        read_columns(path)
    assert caught.value.code == "config.invalid"


def test_a_data_dictionary_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_columns(tmp_path / "columns.yaml")
    assert caught.value.code == "config.missing-file"


# --- software


def test_the_digest_is_over_the_source_of_every_part() -> None:
    import hanse.client.gate

    assert len(software_digest()) == 64
    assert {"client", "policies", "privacy", "crypto", "audit", "learning"} <= set(PARTS)
    folder = software._folder("client")
    assert folder.samefile(hanse.client.gate.__file__.rsplit("/", 1)[0])
    assert software_version() == "0.1.0"


def test_one_changed_byte_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sub" / "code.py"
    file.parent.mkdir()
    file.write_bytes(b"a = 1\n")
    monkeypatch.setattr(software, "PARTS", ("client",))
    monkeypatch.setattr(software, "_folder", lambda _: tmp_path)
    compute = software_digest.__wrapped__
    one = compute()
    inner = hashlib.sha256(b"a = 1\n").hexdigest()
    assert one == hashlib.sha256(f"client/sub/code.py\0{inner}\n".encode()).hexdigest()
    file.write_bytes(b"a = 2\n")
    two = compute()
    file.rename(tmp_path / "sub" / "other.py")
    assert len({one, two, compute()}) == 3


def test_a_part_that_is_not_installed() -> None:
    with pytest.raises(ConfigurationError, match=r"lacks hanse\.nowhere"):
        software._folder("nowhere")


# --- progress and models


def event(kind: str, **facts: Any) -> RunEvent:
    return RunEvent("run-1", "2026-01-01T00:00:00Z", kind, 2, facts)


def test_progress_in_words() -> None:
    assert describe(event("round.aggregated", auc=0.75, auc_standard_error=0.01)) == (
        "round 2: AUC 0.750 ± 0.010 going in; round 3 goes on"
    )
    assert describe(event("run.started")) == "waiting for members, preparing"
    assert auc_text({"auc": None}) == auc_text({"auc": 0.5, "auc_standard_error": 0.9}) == "lost in noise"


def test_how_a_run_ended() -> None:
    assert registered_model([event("run.started"), event("run.finished", model="test@1")]) == "test@1"
    for events in ([], [event("run.started")], [event("run.finished")], [event("run.finished", model=3)]):
        with pytest.raises(HanseError) as caught:
            registered_model(events)
        assert caught.value.code == "run.engine"
    failed = event("run.failed", code="run.insufficient-members", message="one left", rule="P17")
    with pytest.raises(HanseError, match="one left") as caught:
        registered_model([failed])
    assert (caught.value.code, caught.value.rule) == ("run.insufficient-members", "P17")
    assert failure([event("run.failed", code="no.such-code")]).code == "internal.error"
    left = event("member.left", member="insurer", code="privacy.exhausted")
    assert "insurer left: privacy.exhausted" in str(failure([left, failed]))


class Registry(CoordinatorClient):
    """A coordinator that has one model."""

    def __init__(self, answer: FetchedModel) -> None:
        self.answer = answer

    @override
    def model(self, reference: str) -> FetchedModel:
        del reference
        return self.answer


def register(world: World, folder: Path, key: SigningKey, **changes: Any) -> Registry:
    agreement = world.signed.agreement
    transform = Transform.fit(agreement.columns, None, 0)
    fields: dict[str, Any] = {
        "name": "test",
        "version": 1,
        "agreement_digest": world.signed.digest,
        "run": "run-1",
        "purpose": agreement.purpose,
        "label": agreement.label,
        "transform": transform,
        "training": agreement.training,
        "metrics": {},
        "privacy": None,
        "epsilon": {},
        "members": ("brand", "insurer"),
        "created_at": world.now,
    }
    weights = np.zeros(transform.n_features + 1, dtype=np.float32)
    digest = write_model(folder, ModelManifest(**(fields | changes)), encode_weights(weights), key)
    entry, proof = registration(world, digest, [member.name for member in world.signed.agreement.members])
    manifest, weights_file = ((folder / name).read_bytes() for name in (MANIFEST_FILE, WEIGHTS_FILE))
    return Registry(FetchedModel(manifest, weights_file, entry, proof))


def registration(world: World, model: str, witnesses: list[str]) -> tuple[bytes, bytes]:
    """An entry of a log of one entry, and the proof that some witnesses have co-signed it."""
    actor = Actor(organisation="Hub", key_id=world.coordinator.verifier.key_id, role="coordinator")
    event = Event(type=EventType.MODEL_REGISTERED, agreement=world.signed.digest, model_out=model)
    leaf = write_entry(event, Frame(actor.canonical(), 0, format_time(world.now)))
    note = sign_checkpoint(Checkpoint("hub", 1, leaf_hash(leaf)), world.coordinator)
    for name in witnesses:
        key = CosignerKey.load(MemberHome(world.folder / name).witness_key)
        note += key.cosign(unverified_text(note), world.now).encode()
    return leaf, format_proof(ProofFile(0, (), note))


def test_a_model_is_taken_home_with_its_agreement(world: World, tmp_path: Path) -> None:
    registry = register(world, tmp_path / "model", world.coordinator)
    folder, model = fetch_model(registry, world.home, "test@1", world.signed)
    assert folder == world.home.models / "test@1"
    assert load_model(folder, world.coordinator.verifier).digest == model.digest
    kept = world.home.agreements / f"{world.signed.digest}.agreement"
    assert kept.read_bytes() == world.signed.note
    assert fetch_model(registry, world.home, "test@1", world.signed)[1].digest == model.digest


def test_a_model_that_is_not_the_one_is_left_where_it_is(world: World, tmp_path: Path) -> None:
    registries = [
        register(world, tmp_path / "stranger", SigningKey.generate("hub")),
        register(world, tmp_path / "agreement", world.coordinator, agreement_digest="0" * 64),
        register(world, tmp_path / "version", world.coordinator, version=2),
    ]
    for registry in registries:
        with pytest.raises(ServingError) as caught:
            fetch_model(registry, world.home, "test@1", world.signed)
        assert caught.value.code == "model.invalid"
    assert list(world.home.models.iterdir()) == []


def test_a_model_that_too_few_witnesses_saw_is_not_taken(world: World, tmp_path: Path) -> None:
    registry = register(world, tmp_path / "model", world.coordinator)
    digest = load_model(tmp_path / "model", world.coordinator.verifier).digest
    one, other = (
        registration(world, digest, ["brand"]),
        registration(world, "ab" * 32, [member.name for member in world.signed.agreement.members]),
    )
    altered = (registry.answer.registration.replace(b"Hub", b"Hug"), registry.answer.proof)
    for entry, proof in (one, other, altered, (b"", b"")):
        registry.answer = replace(registry.answer, registration=entry, proof=proof)
        with pytest.raises(ServingError, match="registration") as caught:
            fetch_model(registry, world.home, "test@1", world.signed)
        assert caught.value.code == "model.invalid"
    assert list(world.home.models.iterdir()) == []


def test_a_version_is_never_exchanged(world: World, tmp_path: Path) -> None:
    fetch_model(register(world, tmp_path / "one", world.coordinator), world.home, "test@1", world.signed)
    other = register(world, tmp_path / "two", world.coordinator, run="run-2")
    with pytest.raises(ServingError, match="another model of the same name"):
        fetch_model(other, world.home, "test@1", world.signed)
