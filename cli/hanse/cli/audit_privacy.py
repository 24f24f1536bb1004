"""``hanse audit privacy``: what a model leaks, measured by attacking it and the training that made it."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hanse.cli.common import Home
from hanse.cli.model_files import agreement_of
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey, canonical_json, write_atomic
from hanse.policies import Agreement

EXIT_NOT_AS_EXPECTED = 7
AUDIT_FILE = "privacy-audit.json"


def privacy(
    model: Annotated[str, typer.Argument(help="Model version in models/, as `hanse run` named it.")],
    home: Home = Path(),
    canaries: Annotated[
        int | None, typer.Option(min=100, help="Canaries; default: 1,000, or 4,000 below epsilon 2.5.")
    ] = None,
    *,
    drill: Annotated[
        bool,
        typer.Option("--drill", help="Also audit it with planted faults, which must be found."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Attack a model and its private training; the result is kept beside the model. No row is read or shown.

    Canaries: a thousand made-up rows go through the agreement's private training. How well they are
    recognised in what it publishes bounds its epsilon from below; a bound above the claimed epsilon refutes
    it. Membership: how well the loss tells this site's training rows from its held-out rows, which the node
    measured when the run ended. Exit code 7 if the claim is refuted, or a planted fault is not found.

    Example: [bold]hanse audit privacy propensity@1 --home brand[/]

    Example: [bold]hanse audit privacy propensity@1 --home brand --drill --json[/]
    """
    # Imported here: training is needed by this command only.
    from hanse.client.own_audit import read_own_audit  # noqa: PLC0415
    from hanse.learning.artifact import load_model  # noqa: PLC0415

    site = MemberHome(home)
    folder = site.models / model
    agreement = agreement_of(site, model)
    loaded = load_model(folder, VerifierKey.decode(agreement.coordinator.key))
    membership = read_own_audit(site.audits, loaded.manifest.run)
    audits = _audits(agreement, canaries, drill=drill)
    facts: dict[str, Any] = {
        "model": loaded.manifest.reference,
        "manifest_digest": loaded.digest,
        "agreement": agreement.digest,
        "claimed": None if agreement.privacy is None else agreement.privacy.model_dump(mode="json"),
        "canaries": {name: audit.model_dump(mode="json") for name, audit in audits.items()},
        "membership": None if membership is None else membership.model_dump(mode="json"),
        "as_expected": all(
            (audit.verdict == "refuted") != (name == AS_AGREED) for name, audit in audits.items()
        ),
    }
    write_atomic(folder / AUDIT_FILE, canonical_json(facts) + b"\n")
    if as_json:
        print_json(facts)
    else:
        _show(facts)
        say(f"Kept in {folder / AUDIT_FILE}. What it means, and what it does not: docs, Privacy audit.")
    if not facts["as_expected"]:
        raise typer.Exit(EXIT_NOT_AS_EXPECTED)


AS_AGREED = "as agreed"


def _audits(agreement: Agreement, canaries: int | None, *, drill: bool) -> dict[str, Any]:
    """Of the training as it was agreed, and with faults; nothing without a budget."""
    if agreement.privacy is None:
        return {}
    from hanse.demo.canary_audit import audit_recipe, claimed_epsilon, faulty, recipe_of  # noqa: PLC0415

    recipe, delta = recipe_of(agreement), agreement.privacy.delta
    claimed = claimed_epsilon(recipe, delta)
    recipes = {AS_AGREED: recipe} | (faulty(agreement, recipe) if drill else {})
    rng = np.random.default_rng()
    return {name: audit_recipe(one, claimed, delta, rng, canaries) for name, one in recipes.items()}


def _show(facts: dict[str, Any]) -> None:
    if not facts["canaries"]:
        say("No privacy budget: no epsilon is claimed, so that there is none to refute with canaries.")
    else:
        rows = [
            (
                name,
                f"{audit['claimed_epsilon']:.2f}",
                _largest(audit, "one_run_bound"),
                _largest(audit, "fitted_bound"),
                audit["verdict"],
                "consistent" if name == AS_AGREED else "refuted",
            )
            for name, audit in facts["canaries"].items()
        ]
        heads = ("training", "claimed epsilon", "at least (theorem)", "at least (fit)", "verdict", "to be")
        console().print(table(f"Canaries through the private training of {facts['model']}", heads, rows))
    found = facts["membership"]
    if found is None:
        say("Membership: this site's node measured nothing in that run (too few rows, or it was not there).")
        return
    rate = found["true_positive_rate"]
    told = "" if rate is None else f"; {100 * rate:.1f} % recognised where 1 % are false"
    say(
        f"Membership: area {found['area']:.3f} (95 % interval {found['low']:.3f} to {found['high']:.3f}, "
        f".5 is guessing) over {found['training_rows']:,} training and {found['held_out_rows']:,} held-out "
        f"rows of this site{told}"
    )


def _largest(audit: dict[str, Any], bound: str) -> str:
    return f"{max(attack[bound] for attack in audit['attacks']):.2f}"
