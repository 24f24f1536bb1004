"""What is advised about columns: by rule P14, by necessity, by who hides them, by who declares them."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import LocalFederation, copy_of, open_federation
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.client.advice import Advice, Measured, SiteFacts, advise, site_facts
from hanse.crypto import write_atomic
from hanse.demo.federation import Federation
from hanse.learning import ColumnContribution, ModelManifest, write_model
from hanse.policies import Agreement, Policy, builtin_pack, merge

POLICY: Policy = merge([builtin_pack("pipl"), builtin_pack("gdpr")])
RUNS = int(POLICY.thresholds["unused_column_runs"].value)


def measured(agreement: Agreement, **shares: float) -> Measured:
    """A model in which the named columns have these shares, and all others a tenth."""
    return {
        column.name: ColumnContribution(column.name, 0.1, shares.get(column.name, 0.1), 0.0)
        for column in agreement.columns
    }


@pytest.fixture(name="trained", scope="module")
def _trained(
    templates: Callable[..., tuple[Federation, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> LocalFederation:
    """A site with a model of its agreement."""
    made, note = templates(2, 3.0, rounds=2)
    built = open_federation(copy_of(made, tmp_path_factory.mktemp("advised") / "federation"), note)
    rounds, record = built.rounds(built.transport())
    outcome = rounds.conduct()
    agreement, home = built.agreement, built.federation.sites[0].home
    manifest = ModelManifest(
        name=agreement.id,
        version=1,
        agreement_digest=built.signed.digest,
        run=record.run,
        purpose=agreement.purpose,
        label=agreement.label,
        transform=outcome.transform,
        training=agreement.training,
        metrics={},
        privacy=agreement.privacy,
        epsilon=dict(outcome.epsilon),
        members=outcome.members,
        cell_counts=outcome.cell_counts,
        created_at=datetime.now(UTC),
    )
    write_model(home.models / manifest.reference, manifest, outcome.model_file, built.key)
    home.agreements.mkdir(exist_ok=True)
    write_atomic(home.agreements / f"{built.signed.digest}.agreement", built.signed.note)
    return built


def by_column(agreement: Agreement, models: list[Measured], site: SiteFacts) -> dict[str, tuple[Advice, ...]]:
    return {item.column: item.advice for item in advise(agreement, POLICY, models, site)}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (0, Advice.KEEP),
        (1, Advice.WATCH),
        (RUNS - 1, Advice.WATCH),
        (RUNS, Advice.REMOVE),
        (RUNS + 3, Advice.REMOVE),
    ],
    ids=str,
)
def test_a_column_is_a_task_after_as_many_models_as_the_packs_say(
    runs: int, expected: Advice, trained: LocalFederation
) -> None:
    agreement = trained.agreement
    models = [measured(agreement), *[measured(agreement, day=0.0001)] * runs]
    assert by_column(agreement, models, SiteFacts())["day"] == (expected,)
    assert by_column(agreement, models, SiteFacts())["month"] == (Advice.KEEP,)


def test_one_model_in_which_it_contributes_begins_the_count_anew(trained: LocalFederation) -> None:
    agreement = trained.agreement
    models = [measured(agreement, day=0.0)] * RUNS + [measured(agreement)]
    assert by_column(agreement, models, SiteFacts())["day"] == (Advice.KEEP,)


def test_without_a_model_nothing_is_said_to_contribute(trained: LocalFederation) -> None:
    assert set(by_column(trained.agreement, [], SiteFacts()).values()) == {(Advice.NOT_MEASURED,)}


def test_a_sensitive_column_without_note_comes_first(trained: LocalFederation) -> None:
    agreement = trained.agreement
    columns = tuple(
        column.model_copy(update={"necessity": None}) if column.name == "balance" else column
        for column in agreement.columns
    )
    changed = agreement.model_copy(update={"columns": columns})
    found = by_column(changed, [measured(agreement, balance=0.0)] * RUNS, SiteFacts())
    assert found["balance"] == (Advice.NO_NECESSITY, Advice.REMOVE)
    assert found["loan"] == (Advice.KEEP,)


@pytest.mark.parametrize(("hidden", "flagged"), [(49, False), (50, True), (100, True)], ids=str)
def test_what_most_subjects_hide_is_a_task(hidden: int, flagged: bool, trained: LocalFederation) -> None:
    site = SiteFacts(hidden={"loan": hidden}, subjects=100)
    found = by_column(trained.agreement, [measured(trained.agreement)], site)
    assert (Advice.MOSTLY_HIDDEN in found["loan"]) is flagged


def test_what_no_agreement_uses_need_not_be_declared(trained: LocalFederation) -> None:
    site = SiteFacts(declared=["day", "shoe size", "income"], used={"income"})
    found = by_column(trained.agreement, [measured(trained.agreement)], site)
    assert found["shoe size"] == (Advice.NOT_USED,)
    assert "income" not in found


def test_a_site_knows_what_is_declared_used_and_hidden(trained: LocalFederation) -> None:
    site = trained.federation.sites[0]
    facts = site_facts(site.home, trained.agreement)
    names = [column.name for column in trained.agreement.columns]
    assert list(facts.declared) == names
    assert set(facts.used) == set(names)
    assert facts.hidden == {"loan": int((site.written.profiles == "hides-optional").sum())}
    assert facts.subjects >= site.written.consenting.sum()


def test_the_command_costs_no_budget_and_says_the_same_twice(
    trained: LocalFederation, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(trained.federation.sites[0].home.root, tmp_path / "site"))
    file = tmp_path / "deal.agreement"
    file.write_bytes(trained.signed.note)
    before = {
        path: path.read_bytes() for path in (home / "state" / "privacy.db", home / "state" / "audit.db")
    }
    arguments = ["agreement", "advise", str(file), "--home", str(home)]
    first, second = (CliRunner().invoke(app, [*arguments, "--json"]) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    document = json.loads(first.stdout)
    assert sum(column["share"] for column in document["columns"]) == pytest.approx(1)
    assert {path: path.read_bytes() for path in before} == before
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    assert all(column.name in shown.output for column in trained.agreement.columns)
