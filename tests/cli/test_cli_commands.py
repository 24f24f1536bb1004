"""The commands as a person or a script calls them: output, JSON, exit codes, messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from tests.command import Result, command_for

from hanse.audit import verify_log
from hanse.cli.output import EXIT_CODES, console
from hanse.cli.run import follow, rounds_table
from hanse.client.home import MemberHome
from hanse.client.remote import RunEvent
from hanse.crypto import VerifierKey, read_secret
from hanse.errors import CATALOGUE
from hanse.policies import Agreement, ConsentLedger, Identity, Pseudonymiser, open_agreement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hanse.audit import Entry

COLUMNS = """\
- {name: age, kind: numeric, classification: basic, edges: [30.0, 50.0], categories: [], necessity: null}
- {name: job, kind: categorical, classification: basic, edges: [], categories: [a, b], necessity: null}
"""
TABLE = "subject_id,age,job,label\np-1,33,a,yes\np-2,44,b,no\n"


@pytest.fixture
def hanse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Result]:
    """Calls ``hanse`` in this process, below a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    invoke = command_for(monkeypatch, capsys)
    return lambda line: invoke(*line.split())


def init(hanse: Callable[..., Result], name: str, rest: str = "") -> Result:
    role = "coordinator" if name == "hub" else "member"
    line = f"init {role} --home {name} --name {name} --organisation {name}-AG --jurisdiction DE {rest}"
    result = hanse(line)
    assert result.code == 0, result
    return result


@pytest.fixture
def sites(hanse: Callable[..., Result], tmp_path: Path) -> Path:
    """A brand that has enrolled an insurer and a hub, and the other way round."""
    (tmp_path / "data.csv").write_text(TABLE)
    for name, rest in (("hub", ""), ("brand", "--data data.csv"), ("insurer", "")):
        init(hanse, name, rest)
    for home, others in (("brand", "hub insurer"), ("insurer", "hub brand")):
        files = " ".join(f"{other}/identity.json" for other in others.split())
        assert hanse(f"enrol --home {home} {files}").code == 0
    (tmp_path / "columns.yaml").write_text(COLUMNS)
    return tmp_path


def new(hanse: Callable[..., Result], rest: str = "") -> Result:
    return hanse(
        f"agreement new deal.yaml --home brand --columns columns.yaml --label label --positive yes {rest}"
    )


@pytest.fixture
def deal(hanse: Callable[..., Result], sites: Path) -> Path:
    assert new(hanse).code == 0
    return sites / "deal.yaml"


def log_of(folder: Path, name: str) -> list[Entry]:
    key = Identity.load(folder / name / "identity.json").node_key
    return list(verify_log(MemberHome(folder / name).log, VerifierKey.decode(key)).entries)


# --- the frame


def test_every_area_of_errors_has_an_exit_code() -> None:
    assert {code.split(".")[0] for code in CATALOGUE} == set(EXIT_CODES)
    assert not {0, 2} & set(EXIT_CODES.values())


def test_without_a_command_there_is_help(hanse: Callable[..., Result]) -> None:
    result = hanse("")
    assert "hanse demo" in result.out + result.err
    assert hanse("--help").code == 0


@pytest.mark.parametrize(
    "line", ["nothing", "init member", "agreement check gone.yaml", "run gone", "server --port 0"]
)
def test_a_wrong_command_line_has_exit_code_2(hanse: Callable[..., Result], line: str) -> None:
    result = hanse(line)
    assert result.code == 2
    assert result.out == ""
    assert "Error" in result.err


def test_an_error_is_for_people_or_for_machines(hanse: Callable[..., Result]) -> None:
    people = hanse("audit verify --home nowhere")
    assert (people.code, people.out) == (3, "")
    assert "config.missing-file" in people.err
    assert "--home" in people.err
    machines = hanse("audit verify --home nowhere --json")
    assert machines.code == 3
    assert set(machines.json["error"]) == {"code", "detail", "rule", "message"}
    assert machines.json["error"]["code"] == "config.missing-file"


# --- init and enrol


def test_init_member(hanse: Callable[..., Result], tmp_path: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.sql("SELECT 'p' AS id, 1 AS age, 'x' AS y").write_parquet(str(tmp_path / "data.parquet"))
    result = init(hanse, "brand", "--data data.parquet --subject-column id --label-column y --json")
    assert result.json == Identity.load(tmp_path / "brand" / "identity.json").model_dump(mode="json")
    assert result.json["role"] == "member"
    assert 'name = "age"' in (tmp_path / "brand" / "hanse.toml").read_text()
    assert [entry.type for entry in log_of(tmp_path, "brand")] == ["member.initialised"]


def test_init_tells_what_to_hand_on(hanse: Callable[..., Result]) -> None:
    assert "hand brand/identity.json" in init(hanse, "brand").out
    assert "coordinator hub" in init(hanse, "hub", "--host example.org").out


def test_init_twice(hanse: Callable[..., Result]) -> None:
    init(hanse, "brand")
    result = hanse("init member --home brand --name other --organisation X --jurisdiction DE")
    assert result.code == 3
    assert "config.exists" in result.err


def test_init_with_a_country_that_is_none(hanse: Callable[..., Result], tmp_path: Path) -> None:
    result = hanse("init member --home brand --name brand --organisation X --jurisdiction Germany --json")
    assert result.code == 3
    assert "jurisdiction" in result.json["error"]["detail"]
    assert not (tmp_path / "brand").exists()


def test_init_with_a_dictionary_declares_its_columns(hanse: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "columns.yaml").write_text(COLUMNS)
    (tmp_path / "data.csv").write_text(TABLE)
    init(hanse, "brand", "--data data.csv --columns columns.yaml")
    text = (tmp_path / "brand" / "hanse.toml").read_text()
    assert text.count("[[node.dataset.columns]]") == 2


def test_enrol(hanse: Callable[..., Result], tmp_path: Path) -> None:
    for name in ("hub", "brand"):
        init(hanse, name)
    result = hanse("enrol --home brand hub/identity.json --json")
    assert [identity["name"] for identity in result.json] == ["hub"]
    assert (tmp_path / "brand/peers/hub.json").is_file()
    authority = (tmp_path / "brand/peers/authority.crt").read_text()
    assert authority == Identity.load(tmp_path / "hub/identity.json").tls_certificate
    key_id = Identity.load(tmp_path / "hub/identity.json").node_key.split("+")[1]
    again = hanse("enrol --home brand hub/identity.json")
    assert again.code == 0
    assert key_id in again.out


def test_enrol_refuses_another_of_the_same_name(hanse: Callable[..., Result], tmp_path: Path) -> None:
    for name in ("hub", "brand", "insurer"):
        init(hanse, name)
    assert hanse("enrol --home brand hub/identity.json").code == 0
    init_again = "init coordinator --home fake --name hub --organisation X --jurisdiction DE"
    assert hanse(init_again).code == 0
    before = (tmp_path / "brand/peers/hub.json").read_bytes()
    result = hanse("enrol --home brand insurer/identity.json fake/identity.json")
    assert result.code == 3
    assert "config.exists" in result.err
    assert (tmp_path / "brand/peers/hub.json").read_bytes() == before
    # All or nothing: the one that came before it is not enrolled either.
    assert not (tmp_path / "brand/peers/insurer.json").exists()


def test_enrol_needs_a_folder_and_an_identity(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    result = hanse("enrol --home nowhere brand/identity.json")
    assert (result.code, "hanse init" in result.err) == (3, True)
    (tmp_path / "bad.json").write_text("{}")
    assert "config.invalid" in hanse("enrol --home brand bad.json").err


# --- consent

HEADER = "event_id,subject,state,purposes,given_at"


def test_consent_import(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    good = "e1,p-1,given,joint_modelling,2026-01-01T00:00:00Z"
    bad = "e2,p-2,given,unknown_purpose,2026-01-01T00:00:00Z"
    (tmp_path / "consent.csv").write_text(f"{HEADER}\n{good}\n{bad}\n")
    result = hanse("consent import consent.csv --home brand --json")
    facts = result.json
    assert (facts["accepted"], facts["repeated"], facts["refused_total"]) == (1, 0, 1)
    assert [row["line"] for row in facts["refused"]] == [3]
    people = hanse("consent import consent.csv --home brand")
    assert "0 events accepted, 1 known before, 1 refused" in people.out
    assert "purposes" in people.out
    home = MemberHome(tmp_path / "brand")
    ref = Pseudonymiser(read_secret(home.pseudonym_key)).ref("p-1")
    with ConsentLedger(home.consent) as ledger:
        assert ledger.subject(ref)
        assert not ledger.subject(Pseudonymiser(read_secret(home.pseudonym_key)).ref("p-2"))
    entry = log_of(tmp_path, "brand")[1]
    assert entry.type == "consent.recorded"
    assert entry.counts is not None
    assert (entry.counts.rows_in, entry.counts.rows_out) == (2, 1)
    assert (entry.actor.role, entry.actor.organisation) == ("operator", "brand")
    assert all(b"p-1" not in path.read_bytes() for path in (home.log, home.consent))


def test_consent_import_of_something_else(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert hanse("consent import other.csv --home brand").code == 4
    assert hanse("consent import other.csv --home nowhere").code == 3


def test_consent_withdraw(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    result = hanse("consent withdraw p-1 --purpose joint_modelling --home brand --json")
    assert result.json == {"head": 1, "purpose": "joint_modelling"}
    again = hanse("consent withdraw p-1 --purpose joint_modelling --home brand")
    assert "effective from the next round" in again.out
    home = MemberHome(tmp_path / "brand")
    with ConsentLedger(home.consent) as ledger:
        standing = ledger.subject(Pseudonymiser(read_secret(home.pseudonym_key)).ref("p-1"))
    assert standing["joint_modelling.propensity"].state == "withdrawn"
    last = log_of(tmp_path, "brand")[-1]
    assert (last.type, last.purpose) == ("consent.withdrawn", "joint_modelling")
    assert b"p-1" not in home.log.read_bytes()


def test_consent_withdraw_of_no_purpose(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    result = hanse("consent withdraw p-1 --purpose everything --home brand")
    assert result.code == 4
    assert "policy.purpose" in result.err
    assert len(log_of(tmp_path, "brand")) == 1


# --- agreements


def test_agreement_new(hanse: Callable[..., Result], deal: Path) -> None:
    agreement = Agreement.from_yaml(deal.read_text())
    assert [member.name for member in agreement.members] == ["brand", "insurer"]
    assert agreement.coordinator.name == "hub"
    assert agreement.privacy is None
    result = new(hanse)
    assert result.code == 3
    assert "config.exists" in result.err


@pytest.mark.parametrize(
    ("rest", "code", "told"),
    [
        ("--model forest", 3, "logistic or mlp"),
        ("--id Not/Good", 4, "policy.invalid"),
        ("--epsilon 0", 2, "range"),
        ("--rows 0", 2, "range"),
        ("--delta 2", 4, "delta"),
        ("--columns gone.yaml", 3, "gone.yaml"),
        ("--home hub", 3, "member's folder"),
    ],
)
def test_agreement_new_of_what_cannot_be_agreed(
    hanse: Callable[..., Result], sites: Path, rest: str, code: int, told: str
) -> None:
    rest = f"{rest} --epsilon 3" if "delta" in rest else rest
    result = new(hanse, rest)
    assert result.code == code, result
    assert told in result.err
    assert not (sites / "deal.yaml").exists()


def test_agreement_new_with_a_budget_and_a_network(hanse: Callable[..., Result], sites: Path) -> None:
    result = new(hanse, "--epsilon 3 --model mlp --caller crm --id deal --minimum-rows 200")
    assert "2 members" in result.out
    agreement = Agreement.from_yaml((sites / "deal.yaml").read_text())
    assert agreement.privacy is not None
    assert (agreement.privacy.epsilon, agreement.training.model, agreement.id) == (3.0, "mlp", "deal")
    assert [caller.name for caller in agreement.scoring.callers] == ["crm"]
    assert agreement.cohort.minimum_rows == 200


def test_agreement_check(hanse: Callable[..., Result], deal: Path) -> None:
    agreement = Agreement.from_yaml(deal.read_text())
    people = hanse("agreement check deal.yaml")
    assert people.code == 0
    assert agreement.digest in people.out
    assert hanse("agreement check deal.yaml --json").json == {"digest": agreement.digest, "gaps": []}


def change(deal: Path, values: dict[str, Any]) -> None:
    document = Agreement.from_yaml(deal.read_text()).model_dump(mode="json")
    deal.write_text(Agreement.model_validate({**document, **values}).to_yaml())


def test_agreement_check_lists_every_gap(hanse: Callable[..., Result], deal: Path) -> None:
    change(
        deal, {"purpose": "sharing", "cohort": {"minimum_rows": 1, "minimum_members": 2, "suppress_below": 1}}
    )
    result = hanse("agreement check deal.yaml --json")
    assert result.code == 4
    gaps = result.json["gaps"]
    assert [gap["rule"] for gap in gaps] == ["P04", "P15", "P19"]
    assert all(gap[text][lang] for gap in gaps for text in ("message", "remedy") for lang in ("en", "zh"))
    assert all(gap["articles"] and gap["unmet"] for gap in gaps)
    people = hanse("agreement check deal.yaml")
    assert people.code == 4
    assert "P04" in people.out
    assert "3 gaps in deal.yaml" in people.out


def test_agreement_with_gaps_cannot_be_signed(hanse: Callable[..., Result], deal: Path) -> None:
    change(deal, {"purpose": "sharing"})
    result = hanse("agreement sign deal.yaml --home brand")
    assert result.code == 4
    assert "rule P04" in result.err
    assert not deal.with_suffix(".agreement").exists()
    assert [entry.type for entry in log_of(deal.parent, "brand")] == ["member.initialised"]


def test_agreement_sign_by_all(hanse: Callable[..., Result], deal: Path) -> None:
    first = hanse("agreement sign deal.yaml --home brand --json").json
    assert (first["file"], first["missing"]) == ("deal.agreement", ["insurer"])
    shown = hanse("agreement show deal.agreement --json").json
    assert shown["signatures"] == {"brand": True, "insurer": False}
    second = hanse("agreement sign deal.agreement --home insurer")
    assert "all have signed" in second.out
    signed = open_agreement((deal.parent / "deal.agreement").read_bytes())
    assert signed.digest == first["digest"]
    for name in ("brand", "insurer"):
        last = log_of(deal.parent, name)[-1]
        assert (last.type, last.agreement, last.actor.role) == ("agreement.signed", signed.digest, "approver")
    twice = hanse("agreement sign deal.agreement --home insurer")
    assert (twice.code, "policy.invalid" in twice.err) == (4, True)


def test_agreement_sign_says_who_is_missing(hanse: Callable[..., Result], deal: Path) -> None:
    result = hanse("agreement sign deal.yaml --home brand --out half.agreement")
    assert "still to sign: insurer" in result.out
    assert (deal.parent / "half.agreement").is_file()


def test_agreement_sign_by_a_stranger(hanse: Callable[..., Result], deal: Path) -> None:
    init(hanse, "media")
    result = hanse("agreement sign deal.yaml --home media")
    assert result.code == 8
    assert "identity.unknown-signer" in result.err
    assert not deal.with_suffix(".agreement").exists()


@pytest.mark.usefixtures("deal")
def test_agreement_show(hanse: Callable[..., Result]) -> None:
    hanse("agreement sign deal.yaml --home brand")
    result = hanse("agreement show deal.agreement")
    assert result.code == 0
    for word in ("brand-AG", "signed", "missing", "none: updates carry no noise", "nobody", "age", "numeric"):
        assert word in result.out
    assert hanse("agreement show deal.yaml --json").json["signatures"] == {"brand": False, "insurer": False}


def test_agreement_show_of_a_budget(hanse: Callable[..., Result], sites: Path) -> None:
    assert new(hanse, "--epsilon 2.5").code == 0
    assert sites.exists()
    assert "epsilon 2.5, delta 1e-05 per record" in hanse("agreement show deal.yaml").out


def test_what_others_wrote_is_no_markup(hanse: Callable[..., Result], deal: Path) -> None:
    """A title from another organisation must not hide text, or end the command."""
    change(deal, {"title": "a [conceal]hidden[/conceal] [/] title"})
    result = hanse("agreement show deal.yaml")
    assert result.code == 0
    assert "a [conceal]hidden[/conceal] [/] title" in result.out


def test_an_altered_agreement(hanse: Callable[..., Result], deal: Path) -> None:
    hanse("agreement sign deal.yaml --home brand")
    path = deal.with_suffix(".agreement")
    path.write_bytes(path.read_bytes().replace(b'"minimum_rows":1000', b'"minimum_rows":1001'))
    result = hanse("agreement show deal.agreement")
    assert result.code == 4
    assert "policy.invalid" in result.err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"- [", b"{}", b"hanse agreement v1\nx"])
def test_a_file_that_is_no_agreement(hanse: Callable[..., Result], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "deal.yaml").write_bytes(content)
    for command in ("check", "show", "sign"):
        result = hanse(f"agreement {command} deal.yaml")
        assert result.code == 4
        assert "policy.invalid" in result.err


# --- audit


def test_audit_verify(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    facts = hanse("audit verify --home brand --save old.checkpoint --json").json
    assert (facts["origin"], facts["entries"], facts["compared"]) == ("brand", 1, False)
    hanse("consent withdraw p-1 --purpose joint_modelling --home brand")
    later = hanse("audit verify --home brand --since old.checkpoint")
    assert later.code == 0
    assert "2 entries" in later.out
    assert "contains the saved checkpoint" in later.out
    key = Identity.load(tmp_path / "brand/identity.json").node_key
    by_key = hanse(f"audit verify --log brand/state/audit.db --key {key} --json").json
    assert by_key["entries"] == 2
    assert hanse("audit verify --home brand --save nowhere/x").code == 3


def test_audit_verify_names_the_entry_that_was_changed(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    hanse("consent withdraw p-1 --purpose joint_modelling --home brand")
    path = MemberHome(tmp_path / "brand").log
    path.write_bytes(path.read_bytes().replace(b"joint_modelling", b"joint_modellinf"))
    result = hanse("audit verify --home brand")
    assert result.code == 6
    assert "audit.integrity" in result.err
    assert "entry 1" in result.err
    assert hanse("audit show --home brand").code == 6


def test_audit_verify_against_a_rewritten_log(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    early = MemberHome(tmp_path / "brand").log.read_bytes()
    hanse("consent withdraw p-1 --purpose joint_modelling --home brand")
    hanse("audit verify --home brand --save late.checkpoint")
    MemberHome(tmp_path / "brand").log.write_bytes(early)
    assert hanse("audit verify --home brand").code == 0
    assert hanse("audit verify --home brand --since late.checkpoint").code == 6


def test_audit_verify_with_another_key(hanse: Callable[..., Result], tmp_path: Path) -> None:
    for name in ("brand", "insurer"):
        init(hanse, name)
    key = Identity.load(tmp_path / "insurer/identity.json").node_key
    assert hanse(f"audit verify --log brand/state/audit.db --key {key}").code == 6
    assert hanse("audit verify --log brand/state/audit.db --key nonsense").code == 8


def test_audit_show(hanse: Callable[..., Result], tmp_path: Path) -> None:
    init(hanse, "brand")
    (tmp_path / "consent.csv").write_text(f"{HEADER}\ne1,p-1,given,joint_modelling,2026-01-01T00:00:00Z\n")
    hanse("consent import consent.csv --home brand")
    entries = hanse("audit show --home brand --json").json
    assert [(entry["index"], entry["type"]) for entry in entries] == [
        (0, "member.initialised"),
        (1, "consent.recorded"),
    ]
    people = hanse("audit show --home brand --last 1")
    assert "1 of 2 entries" in people.out
    assert "1 of 1" in people.out
    assert "member.initialised" not in people.out
    assert hanse("audit show --home brand --last 0").code == 2


# --- run and serve, as far as they come without a coordinator


@pytest.mark.usefixtures("deal")
def test_run_needs_a_folder_and_signatures(hanse: Callable[..., Result]) -> None:
    assert hanse("run deal.yaml --home nowhere").code == 3
    assert hanse("run deal.yaml --home brand").code == 4
    hanse("agreement sign deal.yaml --home brand")
    result = hanse("run deal.agreement --home brand --json")
    assert result.code == 4
    assert result.json["error"]["code"] == "policy.unsigned"
    assert result.json["error"]["rule"] == "P20"
    assert "insurer" in result.json["error"]["detail"]


def test_run_without_a_coordinator_there(
    hanse: Callable[..., Result], deal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_NODE_COORDINATOR_ADDRESS", "127.0.0.1:1")
    hanse("agreement sign deal.yaml --home brand")
    hanse("agreement sign deal.agreement --home insurer")
    result = hanse("run deal.agreement --home brand")
    assert result.code == 7
    assert "127.0.0.1:1 did not answer" in result.err
    assert hanse("cancel run-1 --home brand").code == 7
    (deal.parent / "brand/peers/authority.crt").unlink()
    result = hanse("run deal.agreement --home brand")
    assert (result.code, "hanse enrol" in result.err) == (3, True)


def test_following_a_run(
    hanse: Callable[..., Result], deal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hanse("agreement sign deal.yaml --home brand")
    hanse("agreement sign deal.agreement --home insurer")
    signed = open_agreement((deal.parent / "deal.agreement").read_bytes())
    facts = {"auc": 0.75, "auc_standard_error": 0.01, "log_loss": 0.5, "epsilon": {"brand": 1.25}}
    events = [
        RunEvent("run-1", "2026-01-01T00:00:00Z", "run.started", 0, {}),
        RunEvent("run-1", "2026-01-01T00:00:01Z", "round.aggregated", 1, facts | {"evaluated_round": 0}),
        RunEvent("run-1", "2026-01-01T00:00:02Z", "run.evaluated", 0, {"evaluated_round": 1}),
        RunEvent("run-1", "2026-01-01T00:00:03Z", "run.finished", 0, {"model": "propensity@1"}),
    ]
    assert follow(iter(events), signed, quiet=True) == events
    assert capsys.readouterr().out == ""
    assert follow(iter(events), signed, quiet=False) == events
    console().print(rounds_table(events))
    shown = capsys.readouterr().out
    for word in ("run-1", "run finished", "0.750 ± 0.010", "0.5000", "1.250", "no budget"):
        assert word in shown


def test_serve_needs_a_model(hanse: Callable[..., Result], sites: Path) -> None:
    result = hanse("serve propensity@1 --home brand")
    assert result.code == 9
    assert "there are: none" in result.err
    (sites / "brand/models/other@2").mkdir()
    assert "there are: other@2" in hanse("serve propensity@1 --home brand").err
    assert hanse("serve propensity@1 --home nowhere").code == 3


def test_serve_needs_a_model_that_the_coordinator_signed(hanse: Callable[..., Result], sites: Path) -> None:
    folder = sites / "brand/models/propensity@1"
    folder.mkdir()
    (folder / "manifest.note").write_text("nothing")
    (folder / "weights.safetensors").write_text("nothing")
    result = hanse("serve propensity@1 --home brand")
    assert (result.code, "model.invalid" in result.err) == (9, True)
    (sites / "brand/peers/hub.json").unlink()
    result = hanse("serve propensity@1 --home brand")
    assert (result.code, "0 coordinators" in result.err) == (3, True)


def test_serve_names_a_setting_that_is_unknown(hanse: Callable[..., Result], sites: Path) -> None:
    settings = sites / "brand/hanse.toml"
    settings.write_text(f"{settings.read_text()}\nlocation = 'x'\n")
    result = hanse("serve propensity@1 --home brand")
    assert result.code == 3
    assert "hanse.toml [serve]: location" in result.err


@pytest.mark.parametrize("command", ["client", "server"])
def test_services_need_a_folder(hanse: Callable[..., Result], command: str) -> None:
    result = hanse(f"{command} --home nowhere")
    assert result.code == 3
    assert "hanse init" in result.err


def test_demo_refuses_a_model_that_there_is_not(hanse: Callable[..., Result]) -> None:
    result = hanse("demo --model forest")
    assert result.code == 3
    assert "logistic, mlp or trees" in result.err


def test_the_folder_can_be_named_by_the_environment(
    hanse: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    init(hanse, "brand")
    monkeypatch.setenv("HANSE_HOME", "brand")
    assert hanse("audit verify").code == 0
