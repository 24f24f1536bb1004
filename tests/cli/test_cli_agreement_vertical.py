"""``hanse agreement new --vertical``, and what is said of the agreement that comes of it."""

from pathlib import Path

import pytest
from tests.cli.test_cli_agreement_life import made, run

from hanse.policies import Agreement

__all__ = ["made"]

COLUMNS = """\
- {name: age, kind: numeric, classification: basic, edges: [30.0, 50.0]}
- {name: car, kind: categorical, classification: basic, categories: [van, sedan]}
"""
NEW = (
    "agreement new deal.yaml --home brand --columns columns.yaml --label y --positive yes --pack gdpr "
    "--vertical --holding brand=age --holding insurer=car --identifier email:email_untagged "
    "--identifier phone:phone:49 "
)


@pytest.fixture
def sites(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("brand", "insurer"):
        (tmp_path / name).symlink_to(made / name)
    (tmp_path / "columns.yaml").write_text(COLUMNS)
    return tmp_path


def drafted(folder: Path) -> Agreement:
    return Agreement.from_yaml((folder / "deal.yaml").read_text())


def test_a_vertical_agreement_is_drafted_from_options(sites: Path) -> None:
    assert run(NEW + "--no-collusion --minimum-common 2000 --maximum-leakage 0.7 --steps 12").code == 0
    agreement = drafted(sites)
    vertical = agreement.vertical
    assert vertical is not None
    assert vertical.label_holder == "brand"
    assert (vertical.columns_of("brand"), vertical.columns_of("insurer")) == (("age",), ("car",))
    email, phone = vertical.alignment.identifiers
    assert (email.normalisation, phone.kind, phone.country_code) == ("email_untagged", "phone", "49")
    assert (vertical.alignment.minimum, vertical.maximum_leakage) == (2000, 0.7)
    assert (agreement.training.model, agreement.training.local_steps, agreement.privacy) == (
        "trees",
        12,
        None,
    )
    assert agreement.cohort.minimum_members == 2
    assert run("agreement check deal.yaml").code in {0, 4}


def test_a_scorecard_says_what_signers_rely_on(sites: Path) -> None:
    assert run(NEW + "--no-collusion --model scorecard").code == 0
    agreement = drafted(sites)
    assert (agreement.training.model, agreement.training.local_steps) == ("scorecard", 30)
    assert agreement.training.scale is not None
    shown = run("agreement show deal.yaml").out
    assert "The two members test the numbers" in shown
    assert "its points on the other's half of the card" in shown


def test_late_fusion_is_drafted_with_its_noise(sites: Path) -> None:
    assert run(NEW + "--model late_fusion --label-epsilon 0.35").code == 0
    vertical = drafted(sites).vertical
    assert vertical is not None
    assert vertical.trust.mode == "direct"
    assert vertical.label_defence is not None
    assert vertical.label_defence.epsilon == 0.35
    assert "epsilon 0.35 per person and run, 3.5 over all" in run("agreement show deal.yaml").out


def test_a_split_network_is_drafted_with_its_defence(sites: Path) -> None:
    split = NEW + "--model split_network "
    assert run(split + "--label-defence frozen_bottoms").code == 0
    agreement = drafted(sites)
    assert agreement.vertical is not None
    assert agreement.vertical.label_defence is not None
    assert agreement.vertical.label_defence.kind == "frozen_bottoms"
    assert (agreement.training.hidden, agreement.training.embedding) == ((64,), 32)
    (sites / "deal.yaml").unlink()
    noised = split + "--label-defence label_noise --label-epsilon 0.3 "
    assert "maximum_leakage above 0.6" in run(noised).err
    assert run(noised + "--maximum-leakage 0.75").code == 0


def test_without_a_dealer_a_key_is_agreed(sites: Path) -> None:
    assert run(NEW + "--trust homomorphic --key-bits 3072").code == 0
    vertical = drafted(sites).vertical
    assert vertical is not None
    assert (vertical.trust.mode, vertical.trust.key_bits) == ("homomorphic", 3072)


@pytest.mark.parametrize(
    ("model", "form"),
    [
        ("trees --no-collusion", "sides"),
        ("scorecard --no-collusion", "points"),
        ("late_fusion --label-epsilon 0.35", "log_odds"),
        ("split_network --label-defence frozen_bottoms", "embeddings"),
    ],
)
def test_what_is_answered_when_people_are_scored_goes_by_the_model(
    sites: Path, model: str, form: str
) -> None:
    assert run(NEW + f"--model {model} --daily-people 500 --keep-s 30 --fallback own_columns").code == 0
    vertical = drafted(sites).vertical
    assert vertical is not None
    assert vertical.answers is not None
    assert vertical.answers.model_dump() == {
        "form": form,
        "daily_people": 500,
        "keep_s": 30,
        "fallback": "own_columns",
    }
    assert run("agreement check deal.yaml").code in {0, 4}


def test_nothing_is_answered_unless_somebody_says_so(sites: Path) -> None:
    assert run(NEW + "--no-collusion").code == 0
    vertical = drafted(sites).vertical
    assert vertical is not None
    assert vertical.answers is None
    (sites / "deal.yaml").unlink()
    assert run(NEW + "--no-collusion --daily-people 500").code == 0
    answers = getattr(drafted(sites).vertical, "answers", None)
    assert answers is not None
    assert (answers.keep_s, answers.fallback) == (0, "none")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", "--no-collusion"),
        ("--no-collusion --keep-s 30", "does not apply"),
        ("--no-collusion --daily-people 9 --keep-s 86401", "from 0 to 86400"),
        ("--no-collusion --daily-people 9 --fallback guess", "none or own_columns"),
        ("--model scorecard --no-collusion --daily-people 9 --output score:2", "another scoring.output"),
        ("--no-collusion --epsilon 1", "does not apply"),
        ("--no-collusion --key-bits 2048", "does not apply"),
        ("--no-collusion --model logistic", "trees or scorecard or late_fusion or split_network"),
        ("--model scorecard --trust homomorphic", "write dealer"),
        ("--model split_network", "--label-defence"),
        ("--model split_network --label-defence none", "frozen_bottoms or label_noise"),
        ("--model late_fusion", "--label-epsilon"),
        ("--model late_fusion --label-epsilon 99", "from 0.05 to 8"),
        ("--model late_fusion --label-epsilon 2", "smaller epsilon"),
        ("--no-collusion --model trees --label-epsilon 1", "does not apply"),
        ("--no-collusion --maximum-leakage 1.5", "from 0.5"),
        ("--no-collusion --label-holder media", "brand or insurer"),
        ("--no-collusion --identifier code:shape", "KIND:NORMALISATION"),
        ("--no-collusion --holding insurer=age", "differ"),
    ],
)
def test_what_cannot_be_agreed_is_said(sites: Path, options: str, says: str) -> None:
    refused = run(NEW + options)
    assert refused.code != 0
    assert says in refused.err
    assert not (sites / "deal.yaml").exists()


def test_options_of_a_vertical_agreement_do_not_fit_another(sites: Path) -> None:
    refused = run(NEW.replace("--vertical", "--horizontal"))
    assert not (sites / "deal.yaml").exists()
    assert "does not apply to this agreement: --holding" in refused.err
