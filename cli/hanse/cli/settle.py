"""``hanse settle``: who is paid what for a model, from what the signed manifest says each member added."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.common import Home
from hanse.cli.model_files import agreement_of
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey, write_atomic
from hanse.errors import ConfigurationError, TrainingError

EXIT_DIFFERS = 9
MAX_FILE_BYTES = 4 << 20


def settle(
    model: Annotated[str, typer.Argument(help="Model version in models/, as `hanse run` named it.")],
    home: Home = Path(),
    amount: Annotated[str, typer.Option(help="What is divided, as 1000 or 1000.50.")] = "0",
    currency: Annotated[str, typer.Option(help="Three-letter code of ISO 4217.")] = "EUR",
    out: Annotated[
        Path | None, typer.Option(help="Write the statement to this file.", dir_okay=False)
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(help="A statement from somebody else, to recompute.", exists=True, dir_okay=False),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Divide an amount by what each member added to a model; nobody needs to be trusted with the division.

    The contributions are in the model's manifest, which the coordinator has signed and whose registration is
    in the co-signed log. Everybody who divides the same amount by it gets the same statement, to the cent.

    Example: [bold]hanse settle propensity@3 --home brand --amount 1000 --currency EUR --out paid.json[/]

    Example: [bold]hanse settle propensity@3 --home insurer --verify paid.json[/], exit code 9 if it differs

    The agreement must have contributions computed (contributions: true), and let updates be seen. In secure
    sums nobody sees who added what: such a model is refused with run.unsupported.
    """
    # Imported here: no other command of a member needs it.
    from hanse.learning.artifact import load_model  # noqa: PLC0415
    from hanse.learning.settlement import LIMITS, Settlement, settle_run  # noqa: PLC0415
    from hanse.learning.statements import statement_from_json, statement_to_json  # noqa: PLC0415

    site = MemberHome(home)
    agreement = agreement_of(site, model)
    manifest = load_model(site.models / model, VerifierKey.decode(agreement.coordinator.key)).manifest
    if manifest.contributions is None:
        raise TrainingError("run.unsupported", _why_not(model, secure=agreement.secure_sums))
    given = None if verify is None else statement_from_json(Settlement, _bytes_of(verify))
    statement = settle_run(
        manifest.contributions,
        model=f"{manifest.reference} {manifest.run}",
        minimum_members=agreement.cohort.minimum_members,
        currency=currency if given is None else given.currency,
        amount_cents=_cents(amount) if given is None else given.amount_cents,
    )
    if out is not None:
        write_atomic(out, statement_to_json(statement))
    same = given is None or given == statement
    if as_json:
        facts = statement.model_dump(mode="json")
        print_json(facts if given is None else {"same": same, "statement": facts})
    else:
        rows = [
            (one.member, f"{one.contribution:+.5f}", f"{100 * one.share:.2f} %", f"{one.cents / 100:,.2f}")
            for one in statement.entries
        ]
        title = f"{statement.model}: {statement.amount_cents / 100:,.2f} {statement.currency}"
        heads = ("member", "contribution (nats per row)", "share", statement.currency)
        console().print(table(title, heads, rows))
        say(LIMITS)
        if given is not None:
            say(
                "The statement is the same."
                if same
                else "The statement DIFFERS from what the manifest gives."
            )
    if not same:
        raise typer.Exit(EXIT_DIFFERS)


def _why_not(model: str, *, secure: bool) -> str:
    if secure:
        return f"{model} was learned in secure sums, where nobody sees who added what"
    return f"{model} has no contributions: its agreement does not ask for them, or noise left no loss"


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)


def _cents(amount: str) -> int:
    """Reads an amount in whole hundredths.

    Raises:
        ConfigurationError: ``config.invalid``.
    """
    try:
        cents = Decimal(amount) * 100
    except InvalidOperation:
        cents = Decimal(-1)
    if not (0 <= cents <= 10**15) or cents != cents.to_integral_value():
        raise ConfigurationError("config.invalid", "--amount has at most two decimals, as 1000.50")
    return int(cents)
