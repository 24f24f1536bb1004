"""Entry point of the ``hanse`` command."""

import logging
import sys

import typer

from hanse.cli import (
    advise,
    agreement,
    audit,
    audit_backup,
    audit_export,
    audit_privacy,
    audit_rotate,
    audit_scan,
    audit_watch,
    audit_witness,
    audit_witness_keys,
    consent,
    demo,
    model,
    policy,
    quota,
    rehearse,
    run,
    score,
    serve,
    serve_part,
    services,
    settle,
    setup,
    subject,
    watch,
)
from hanse.cli.output import report_error
from hanse.errors import HanseError

app = typer.Typer(
    name="hanse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train shared propensity models without sharing rows, under consent rules that the software "
    "enforces.\n\nStart with [bold]hanse demo[/]: a brand and its partners on this machine, on real data.",
)
app.add_typer(setup.init_app, name="init")
app.command("enrol")(setup.enrol)
app.command("server")(services.server)
app.command("client")(services.client)
app.add_typer(consent.app, name="consent")
app.add_typer(subject.app, name="subject")
policy.app.command("watch")(watch.watch)
app.add_typer(policy.app, name="policy")
agreement.app.command("rehearse")(rehearse.rehearse)
agreement.app.command("advise")(advise.advise)
app.add_typer(agreement.app, name="agreement")
app.add_typer(model.app, name="model")
app.command("run")(run.run)
app.command("cancel")(run.cancel)
app.command("leave")(run.leave)
app.command("serve")(serve.serve)
app.command("score")(score.score)
app.command("quota")(quota.quota)
app.command("serve-part")(serve_part.serve_part)
app.command("settle")(settle.settle)
audit.app.command("witness")(audit_witness.witness)
audit.app.command("refusals")(audit_witness.refusals)
audit.app.command("new-witness-key")(audit_witness_keys.new_witness_key)
audit.app.command("rotate-key")(audit_rotate.rotate_key)
audit.app.command("witness-keys")(audit_witness_keys.witness_keys)
audit.app.command("backup")(audit_backup.backup)
audit.app.command("restore")(audit_backup.restore)
audit.app.command("scan")(audit_scan.scan)
audit.app.command("export")(audit_export.export)
audit.app.command("privacy")(audit_privacy.privacy)
audit.app.command("watch")(audit_watch.watch)
app.add_typer(audit.app, name="audit")
app.command("demo")(demo.demo)


def main() -> None:
    """Runs a command; deliberate errors become one clear message and an exit code (docs/ref-cli.md)."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except HanseError as error:
        sys.exit(report_error(error, as_json="--json" in sys.argv))


if __name__ == "__main__":
    main()
