"""Agreements over time and their documents, as a person or a script calls the commands."""

from __future__ import annotations

import io
import json
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.command import Result

from hanse.audit import verify_log
from hanse.cli.main import main
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey, sha256_hex
from hanse.policies import Agreement, Identity
from hanse.scoring.extraction import ABOUT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanse.audit import Entry

DEAL = Path(__file__).resolve().parents[2] / "examples" / "deal" / "deal.yaml"
COLUMNS = """\
- {name: age, kind: numeric, classification: basic, edges: [30.0, 50.0]}
- {name: income, kind: numeric, classification: sensitive, edges: [1000.0]}
"""
ENTRUSTED = (
    "--role insurer=entrusted --contract-reference insurer=C-1 --contract-until insurer=2027-01-31 "
    "--contract-at-end insurer=return"
)
INCOME = "--special income=financial_account --necessity income=Premiums"


def run(line: str, typed: str = "") -> Result:
    """Calls ``hanse`` in this process and this folder, with this on standard input."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["hanse", *line.split()])
        patch.setattr(sys, "stdin", io.StringIO(typed))
        patch.setenv("COLUMNS", "300")
        patch.delenv("HANSE_HOME", raising=False)
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code if isinstance(caught.value.code, int) else 0
    return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Calls ``hanse`` below a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return run


def log_of(folder: Path, name: str) -> list[Entry]:
    key = Identity.load(folder / name / "identity.json").node_key
    return list(verify_log(MemberHome(folder / name).log, VerifierKey.decode(key)).entries)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A brand and an insurer that have enrolled each other and a hub; making keys takes a while."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("data.csv").write_text("subject_id,age,income,y\np-1,33,900,yes\np-2,44,1200,no\n")
        for name in ("hub", "brand", "insurer"):
            kind, data = (
                ("coordinator", "") if name == "hub" else ("member", "--data data.csv --label-column y")
            )
            line = (
                f"init {kind} --home {name} --name {name} --organisation {name}-AG --jurisdiction DE {data}"
            )
            assert run(line).code == 0
        for home, others in (("brand", "hub insurer"), ("insurer", "hub brand")):
            files = " ".join(f"{other}/identity.json" for other in others.split())
            assert run(f"enrol --home {home} {files}").code == 0
        Path("columns.yaml").write_text(COLUMNS)
    return folder


@pytest.fixture
def sites(hanse: Callable[..., Result], made: Path, tmp_path: Path) -> Path:
    del hanse  # it has changed the folder to the test's own
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def new(hanse: Callable[..., Result], rest: str = "", typed: str = "") -> Result:
    return hanse(f"agreement new deal.yaml --home brand --columns columns.yaml {rest}", typed)


@pytest.fixture
def deal(hanse: Callable[..., Result], sites: Path) -> Path:
    """An agreement that both have signed; the insurer is entrusted."""
    assert new(hanse, f"--label y --positive yes {INCOME} {ENTRUSTED} --epsilon 3").code == 0
    sign(hanse, "deal")
    return sites / "deal.agreement"


def sign(hanse: Callable[..., Result], name: str) -> None:
    assert hanse(f"agreement sign {name}.yaml --home brand").code == 0
    assert hanse(f"agreement sign {name}.agreement --home insurer").code == 0


# --- drafting


OPTIONS: dict[str, tuple[str, str, object]] = {
    "storage": (
        "--storage-country brand=AT --border certification --border-reference R",
        "members.0.storage_country", "AT",
    ),
    "other place": (
        "--other-place NL --border standard_contract --border-reference R", "border.other_places", ["NL"],
    ),
    "minors": ("--minors", "may_contain_minors", True),
    "optional column": ("--optional-column age", "columns.0.required", False),
    "disclosure": ("--disclose-to brand", "columns.0.disclosure", [{"to": "brand", "form": "model"}]),
    "quota": ("--caller crm --quota crm=7", "scoring.callers.0.daily_quota", 7),
    "opt-out": ("--caller crm --opt-out crm=no", "scoring.callers.0.opt_out_available", False),
    "plain path": ("--caller crm --plain-path crm=no", "scoring.callers.0.non_personalised_path", False),
    "effect": ("--significant-effect", "scoring.human_review", True),
    "no review": ("--significant-effect --no-human-review", "scoring.human_review", False),
    "reasons": ("--reason-codes", "scoring.reason_codes", True),
    "retention": ("--rows-days 9 --intermediates-days 8 --model-days 7", "retention",
                  {"rows_days": 9, "intermediates_days": 8, "model_days": 7}),
    "validity": ("--valid-days 10", "retention", {
        "rows_days": 20, "intermediates_days": 10, "model_days": 20,
    }),
    "assessor": ("--assessor Dora", "assessment.approver", "Dora"),
    "approver": ("--approver brand=Berta", "members.0.approver", "Berta"),
    "role": ("--role brand=provider", "members.0.role", "provider"),
    "contract": (ENTRUSTED, "members.1.contract.at_end", "return"),
    "special": ("", "columns.1.special", "financial_account"),
    "necessity": ("", "columns.1.necessity", "Premiums"),
    "members": ("--minimum-members 3", "cohort.minimum_members", 3),
    "quorum": ("--quorum 1", "evidence.quorum", 1),
    "majority": ("", "evidence.quorum", 2),
}  # fmt: skip


@pytest.mark.parametrize(("rest", "path", "value"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.usefixtures("sites")
def test_an_option_sets_its_field(rest: str, path: str, value: object, hanse: Callable[..., Result]) -> None:
    result = new(hanse, f"--label y --positive yes {INCOME} {rest}")
    assert result.code == 0, result
    found: Any = Agreement.from_yaml(Path("deal.yaml").read_text()).model_dump(mode="json")
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    assert found == value


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (INCOME, "--label"),
        ("--label y --positive yes", "--special income"),
        (f"--label y --positive yes {INCOME} --role stranger=joint", "role.stranger"),
        (f"--label y --positive yes {INCOME} --role brand=boss", "joint or provider or entrusted"),
        (f"--label y --positive yes {INCOME} --role brand", "NAME=VALUE"),
        (f"--label y --positive yes {INCOME} --role brand=entrusted", "--contract-reference brand"),
        (f"--label y --positive yes {INCOME} --other-place NL", "--border"),
        (f"--label y --positive yes {INCOME} --border certification", "does not apply"),
        (f"--label y --positive yes {INCOME} --delta 1e-6", "does not apply"),
        (f"--label y --positive yes {INCOME} --optional-column agee", "columns of these"),
        (f"--label y --positive yes {INCOME} {ENTRUSTED} --contract-until insurer=soon", "as 2027-01-31"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("sites")
def test_an_option_that_does_not_fit(rest: str, told: str, hanse: Callable[..., Result]) -> None:
    result = new(hanse, rest)
    assert (result.code, told in result.err) == (3, True), result
    assert not Path("deal.yaml").exists()


@pytest.mark.usefixtures("sites")
def test_scores_leave_in_bands_and_by_name_unless_somebody_decides_otherwise(
    hanse: Callable[..., Result],
) -> None:
    given = f"--label y --positive yes {INCOME} {ENTRUSTED} --epsilon 3 --caller crm"
    usual = new(hanse, given)
    scoring = Agreement.from_yaml(Path("deal.yaml").read_text()).scoring
    assert (usual.code, scoring.output, scoring.by_id) == (0, "band", True)
    assert "copy" not in usual.out
    Path("deal.yaml").unlink()
    raw = new(hanse, f"{given} --output score:2 --chosen-rows")
    scoring = Agreement.from_yaml(Path("deal.yaml").read_text()).scoring
    assert (raw.code, scoring.output, scoring.decimals, scoring.by_id) == (0, "score", 2, False)
    assert "enough to copy" in raw.out
    Path("deal.yaml").unlink()
    assert new(hanse, f"{given} --output scores").code == 3


@pytest.mark.usefixtures("sites")
def test_an_interview_says_what_a_form_lets_callers_do(hanse: Callable[..., Result]) -> None:
    given = f"--label y --positive yes {INCOME} --epsilon 3 --title T --id motor --pack gdpr --proposer P"
    result = new(hanse, f"--interview --output flag:0.3 {given}", "Otto\n" + "\n" * 60)
    assert result.code == 0, result
    told = " ".join(result.err.split())
    assert "Do callers name people alone" in told
    assert " ".join(ABOUT_NAMES.en.split()) in told
    assert "In which form do scores leave?" not in told


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.usefixtures("sites")
def test_an_interview_asks_for_what_no_option_gave(lang: str, hanse: Callable[..., Result]) -> None:
    given = f"--label y --positive yes {INCOME} --epsilon 3 --title T --id motor --pack gdpr --proposer P"
    typed = "Otto\n\nnonsense\nprovider\nBerta\n" + "\n" * 60
    result = new(hanse, f"--interview --lang {lang} {given}", typed)
    assert result.code == 0, result
    agreement = Agreement.from_yaml(Path("deal.yaml").read_text())
    assert (agreement.auditor, agreement.members[0].role, agreement.members[0].approver) == (
        "Otto",
        "provider",
        "Berta",
    )
    assert [pack.id for pack in agreement.packs] == ["gdpr"]
    asked = {"en": ("Who audits?", "Which model?"), "zh": ("由谁审计？", "使用哪种模型？")}[lang]
    given_already = {"en": ("Who proposes?", "income' sensitive", "delta?x"), "zh": ("由谁提案？", "标题")}[
        lang
    ]
    assert all(text in result.err for text in asked)
    assert not any(text in result.err for text in given_already)
    assert "write joint or provider or entrusted" in result.err


@pytest.mark.usefixtures("sites")
def test_an_interview_that_ends_early(hanse: Callable[..., Result]) -> None:
    result = new(hanse, "--interview", "propensity\n")
    assert (result.code, "--title" in result.err) == (3, True)
    assert not Path("deal.yaml").exists()


# --- versions


def test_an_amendment_in_words(hanse: Callable[..., Result], deal: Path) -> None:
    facts = hanse(f"agreement amend {deal.name} --out next.yaml --json").json
    old = Agreement.from_yaml(Path("deal.yaml").read_text())
    assert (facts["version"], facts["supersedes"]) == (2, old.digest)
    assert hanse(f"agreement amend {deal.name} --out next.yaml").code == 3
    text = Path("next.yaml").read_text().replace("epsilon: 3.0", "epsilon: 5.0")
    Path("next.yaml").write_text(text.replace("role: joint", "role: provider", 1))
    people = hanse("agreement diff deal.agreement next.yaml")
    assert "rises from 3 to 5: less protection" in people.out
    assert "no longer suffice by P06" in people.out
    assert "隐私预算epsilon由3升至5" in hanse("agreement diff deal.agreement next.yaml --lang zh").out
    machines = hanse("agreement diff deal.agreement next.yaml --json").json
    assert machines["consent_anew"] == ["P06"]
    assert {change["effect"] for change in machines["changes"]} == {"widens", "neutral"}
    assert hanse("agreement diff deal.yaml deal.agreement --json").json == {"changes": [], "consent_anew": []}


def test_accepting_a_version(hanse: Callable[..., Result], deal: Path) -> None:
    assert hanse("agreement accept deal.yaml --home brand").code == 4
    accepted = hanse("agreement accept deal.agreement --home brand --json").json
    assert accepted["version"] == 1
    last = log_of(deal.parent, "brand")[-1]
    assert (last.type, last.agreement, last.decision) == ("agreement.accepted", accepted["digest"], "permit")
    hanse("agreement amend deal.agreement --out next.yaml")
    sign(hanse, "next")
    assert hanse("agreement accept next.agreement --home brand").code == 0
    entries = len(log_of(deal.parent, "brand"))
    back = hanse("agreement accept deal.agreement --home brand")
    assert (back.code, "rule P31" in back.err, "older" in back.err) == (4, True, True)
    assert len(log_of(deal.parent, "brand")) == entries
    # The insurer has accepted none: any version may be its first.
    assert hanse("agreement accept next.agreement --home insurer").code == 0


def test_ending_an_agreement(hanse: Callable[..., Result], deal: Path) -> None:
    assert hanse("agreement terminate deal.agreement --home brand").code == 3
    early = hanse("agreement attest deal.agreement --home insurer")
    assert (early.code, "has ended" in early.err) == (4, True)
    ended = hanse("agreement terminate deal.agreement --reason Over --home brand --json").json
    assert (ended["member"], ended["file"]) == ("brand", "deal.terminated")
    assert hanse("agreement accept deal.agreement --home brand").code == 4
    assert hanse("agreement accept deal.agreement --home insurer").code == 0
    taken = hanse("agreement terminate deal.terminated --home insurer")
    assert "brand has ended" in taken.out
    assert hanse("agreement accept deal.agreement --home insurer").code == 4
    for name in ("brand", "insurer"):
        last = [entry for entry in log_of(deal.parent, name) if entry.type == "agreement.terminated"]
        assert [(entry.agreement, entry.peer) for entry in last] == [(ended["digest"], "brand")]
    assert b"Over" not in (deal.parent / "insurer/state/audit.db").read_bytes()
    assert hanse("agreement terminate deal.terminated --reason x --home insurer").code == 3
    attested = hanse("agreement attest deal.agreement --home insurer")
    assert "returned" in attested.out
    assert "returned" in hanse("agreement attest deal.attestation --home brand").out
    assert log_of(deal.parent, "brand")[-1].type == "agreement.attested"
    assert hanse("agreement attest deal.agreement --home brand").code == 4


def test_a_note_that_was_altered(hanse: Callable[..., Result], deal: Path) -> None:
    hanse("agreement terminate deal.agreement --reason Over --home brand")
    note = deal.with_suffix(".terminated")
    note.write_bytes(note.read_bytes().replace(b"Over", b"Ovek"))
    assert hanse("agreement terminate deal.terminated --home insurer").code == 8
    # What stands where a note is kept and is none keeps everything from running.
    broken = deal.parent / "insurer/state/terminations/x.note"
    broken.parent.mkdir()
    broken.write_text("nothing")
    result = hanse("agreement accept deal.agreement --home insurer")
    assert (result.code, "x.note" in result.err) == (4, True)


# --- documents


def test_the_example_has_documents_in_both_languages(hanse: Callable[..., Result]) -> None:
    for command, words in (
        ("assess", ("PIPL 56", "第五十六条")),
        ("records", ("GDPR 30(1)", "GDPR第30条第1款")),
    ):
        for lang, word in zip(("en", "zh"), words, strict=True):
            result = hanse(f"agreement {command} {DEAL} --lang {lang} --format html --out {command}.html")
            assert (result.code, result.err) == (0, "")
            assert word in Path(f"{command}.html").read_text(encoding="utf-8")
            assert sha256_hex(Path(f"{command}.json").read_bytes()) in result.out
        digest = hanse(f"agreement {command} {DEAL} --json").json["digest"]
        assert digest == sha256_hex(Path(f"{command}.json").read_bytes())
        assert "NOT ANSWERED" in hanse(f"agreement {command} {DEAL}").out


def test_from_questions_to_an_approved_assessment(hanse: Callable[..., Result], deal: Path) -> None:
    assert hanse("agreement assess deal.yaml --home brand --questions answers.yaml").code == 0
    answers = Path("answers.yaml")
    answers.write_text(answers.read_text().replace("impact.rights: null", "impact.rights: None of them"))
    line = "agreement assess deal.yaml --home brand --answers answers.yaml"
    made = hanse(f"{line} --out assessment.md")
    assert made.code == 0
    text = Path("assessment.md").read_text()
    assert "None of them" in text
    assert "At member 'brand'" in text
    digest = sha256_hex(Path("assessment.json").read_bytes())
    # Another site, without its own folder: the same document.
    assert digest in hanse("agreement assess deal.yaml --answers answers.yaml --json").out
    document = Agreement.from_yaml(Path("deal.yaml").read_text()).model_dump(mode="json")
    document["assessment"]["digest"] = digest
    Path("deal.yaml").write_text(Agreement.model_validate(document).to_yaml())
    for approved in ("assessment.json", "assessment.md"):
        assert hanse(f"{line} --approved {approved}").code == 0
    assert (
        "nothing differs"
        in hanse("agreement assess deal.yaml --answers answers.yaml --approved assessment.json").out
    )
    stale = hanse("agreement assess deal.yaml --json")
    assert (stale.code, json.loads(stale.out)["approved"]) == (4, digest)
    document["privacy"]["epsilon"] = 5
    Path("deal.yaml").write_text(Agreement.model_validate(document).to_yaml())
    for approved in ("assessment.json", "assessment.md"):
        told = hanse(f"agreement assess deal.yaml --answers answers.yaml --approved {approved}")
        assert told.code == 4
        assert "epsilon 5" in told.out
        assert "what was approved is not what" in told.out
    assert hanse(f"{line} --approved assessment.json --out assessment.html").code == 3
    assert deal.exists()


def test_what_the_site_sees_is_suppressed(hanse: Callable[..., Result], deal: Path) -> None:
    header = "event_id,subject,state,purposes,given_at\n"
    rows = [f"e{n},p-{n},given,joint_modelling,2026-01-01T00:00:00Z\n" for n in range(12)]
    rows += ["w,p-1,withdrawn,joint_modelling,2026-01-02T00:00:00Z\n"]
    Path("consent.csv").write_text(header + "".join(rows))
    assert hanse("consent import consent.csv --home brand").code == 0
    assert hanse("agreement assess deal.yaml --home brand --out a.md").code == 0
    text = Path("a.md").read_text()
    assert "| given | 11 |" in text
    assert "| withdrawn | &lt;10 |" in text
    assert "given" not in json.dumps(json.loads(Path("a.json").read_text())["sections"][-1])
    assert deal.exists()


@pytest.mark.parametrize(
    ("content", "option", "told"),
    [
        ("{}", "answers", "answers: is missing"),
        ("schema_version: 1\nanswers: {impact.righs: x}", "answers", "impact.righs"),
        ("{}", "approved", "not a generated document"),
    ],
    ids=["no answers", "a stray answer", "no document"],
)
def test_files_that_do_not_fit(
    content: str, option: str, told: str, hanse: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "file.json").write_text(content)
    result = hanse(f"agreement assess {DEAL} --{option} file.json")
    assert (result.code, told in result.err) == (4, True), result
