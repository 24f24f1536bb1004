"""``hanse subject``: shows a person which runs and model versions used their row, with proofs."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hanse.cli.audit_quorum import PolicyFile, read_trust
from hanse.cli.audit_sources import signed_agreements
from hanse.cli.common import Home, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.client.peers import own_keys
from hanse.client.receipt_files import read_receipt, read_subject_secret
from hanse.client.subject_answer import LIMITS, Answer, RunAnswer, answer
from hanse.client.subject_bundle import parse_bundle
from hanse.client.subject_proofs import prove as make_proofs
from hanse.crypto import VerifierKey, write_atomic
from hanse.errors import ConfigurationError, PolicyError
from hanse.evidence import collect
from hanse.evidence.trust import policy_of

app = typer.Typer(no_args_is_help=True, help="Answer a person who asks where their row was used.")

ReceiptPath = Annotated[
    Path,
    typer.Option(
        help="The person's receipt, as `hanse consent receipt` wrote it.", exists=True, dir_okay=False
    ),
]
SecretPath = Annotated[
    Path | None,
    typer.Option(
        help="File with the secret, 64 hex digits, if the receipt file lacks it.", exists=True, dir_okay=False
    ),
]


@app.command("prove")
def prove(
    receipt: ReceiptPath,
    out: Annotated[Path, typer.Option(help="File for the person: the bundle.", dir_okay=False)],
    home: Home = Path(),
    secret: SecretPath = None,
    shared: Annotated[
        Path | None,
        typer.Option(
            help="A copy of the coordinator's log: proves what of this site's log the witnesses have seen.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write what this site's log proves about a person: for every step of every run, used or not used.

    The bundle names nobody. The person checks it without this site, with `hanse subject verify`. Without
    --secret, the secret of the receipt file counts, or else the one that this site keeps.

    Example: [bold]hanse subject prove --receipt receipt.json --out bundle.json --home brand
    --shared hub-audit.db[/]
    """
    if out.exists():
        raise ConfigurationError("config.exists", f"{out} exists; name another file")
    given = None if secret is None else read_subject_secret(secret)
    evidence = None
    if shared is not None:
        evidence = collect(shared, partial(policy_of, agreements=signed_agreements(home)))
    proved = make_proofs(MemberHome(home), read_receipt(receipt), given, utc_now(), evidence)
    write_atomic(out, proved.bundle, mode=0o600, overwrite=False)
    _print(proved.answer, as_json=as_json)
    if not as_json:
        say(f"{out}: hand it to the person. To check it, they need each key that this site's log has had:")
        for key in own_keys(MemberHome(home)):
            say(f"  --key {key.encode()}")


@app.command("verify")
def verify(
    bundle: Annotated[Path, typer.Argument(help="What the member handed out.", exists=True, dir_okay=False)],
    receipt: ReceiptPath,
    key: Annotated[
        list[str],
        typer.Option(help="Verifier key of the member's log (name+id+key); each one that it has had."),
    ],
    secret: SecretPath = None,
    policy: PolicyFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a bundle offline: used, not used or cannot tell, for each run and model version.

    Nothing of the member is asked or believed: signatures and proofs are checked with the secret, which the
    receipt commits to. With --policy, the witnesses of the shared log must have seen the member's log, too.
    Exit code 6 if a proof does not hold, or the quorum is missing.

    Example: [bold]hanse subject verify bundle.json --receipt receipt.json --key brand+1234abcd+AX…
    --policy propensity.agreement[/]
    """
    own = read_receipt(receipt)
    chosen = own.secret if secret is None else read_subject_secret(secret)
    if chosen is None:
        raise PolicyError("policy.invalid", "the receipt file has no secret; name it with --secret")
    keys = [VerifierKey.decode(text) for text in key]
    trusted = None if policy is None else read_trust(policy)
    checked = answer(parse_bundle(_read(bundle)), own.note, chosen, keys, trusted)
    _print(checked, as_json=as_json)
    if not as_json:
        say(_witnessed(checked))


def _witnessed(checked: Answer) -> str:
    if checked.cosigned is None:
        return "cosignatures were not checked: nobody but the member vouches for this log; see --policy"
    return (
        f"the first {checked.cosigned} of {checked.log_size} entries are those to which the member committed "
        "in the shared log that the quorum of the policy co-signed"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error


def _print(shown: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(shown), "not_proven": LIMITS})
        return
    say(f"log of {shown.member}: {shown.log_size} entries, root {shown.log_root}")
    if not shown.runs:
        say("no run is in this log: nothing was used")
    else:
        rows = [row for run in shown.runs for row in _rows(run)]
        columns = ("run", "step", "time (UTC)", "set", "subjects", "your row", "because")
        console().print(table("Runs", columns, rows, whole=("step", "your row")))
        models = [_model(run) for run in shown.runs]
        console().print(
            table("Model versions", ("model version", "run", "your row"), models, whole=("your row",))
        )
    for text in shown.warnings:
        say(f"warning: {text}")
    say("What this does not prove:")
    for text in LIMITS:
        say(f"  * {text}")


def _rows(run: RunAnswer) -> list[tuple[object, ...]]:
    return [
        (
            run.run,
            step.name,
            (step.time or "")[:19].replace("T", " "),
            step.epoch or "",
            "" if step.size is None else step.size,
            _verdict(step.verdict),
            step.reason or "",
        )
        for step in run.steps
    ]


def _model(run: RunAnswer) -> tuple[object, ...]:
    if run.model is None:
        return (f"none known ({run.ended})", run.run, _verdict(run.verdict))
    return (run.model.reference or f"manifest {run.model.digest[:16]}…", run.run, _verdict(run.verdict))


def _verdict(verdict: str) -> Text:
    styles = {"used": "bold yellow", "not used": "green", "cannot tell": "bold red"}
    return Text(verdict, style=styles[verdict])
