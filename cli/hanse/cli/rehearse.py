"""``hanse agreement rehearse``: the whole collaboration on made-up subjects, before real data is touched."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.agreement_files import AnyHome, File, policy_named, read_agreement, said
from hanse.cli.common import utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.cli.policy import Language
from hanse.client.home import MemberHome
from hanse.client.packs import adopted
from hanse.crypto import write_atomic
from hanse.demo.interruption import Interruption
from hanse.errors import ConfigurationError
from hanse.policies import BUILTIN, check_agreement

EXIT_GAPS = 4
EXIT_NOT_AS_PLANTED = 7


def rehearse(
    file: File,
    home: AnyHome = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Made-up subjects of each member; default: 2000, or what the cohort needs."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json, report.md and report.html.", file_okay=False)
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Rehearse an agreement: real rules, coordinator, nodes and scorer on made-up subjects; no real row.

    Example: [bold]hanse agreement rehearse deal.yaml --out rehearsal[/], then attach the report to the impact
    assessment and write its digest into assessment.rehearsal.

    Subjects with a known defect are planted for every rule that can find one; exit code 7 if a rule did not
    find exactly those. An agreement with gaps is not rehearsed: they are listed, exit code 4.
    """
    # Imported here: training is needed by this command only.
    from hanse.demo.rehearsal import rehearse as run_rehearsal  # noqa: PLC0415

    agreement = read_agreement(file)
    _require_empty(out)
    if gaps := check_agreement(agreement, policy_named(agreement, home), utc_now()):
        facts = [(gap.rule, gap.where or "agreement", said(gap.message, Language.EN)) for gap in gaps]
        if as_json:
            print_json({"gaps": [{"rule": rule, "where": where} for rule, where, _ in facts]})
        else:
            console().print(table("Not rehearsed: gaps", ("rule", "where", "what is wrong"), facts))
            say(f"What to do about each: hanse agreement check {file}")
        raise typer.Exit(EXIT_GAPS)
    available = [*BUILTIN.values(), *(() if home is None else adopted(MemberHome(home)))]
    with Interruption(), tempfile.TemporaryDirectory(prefix="hanse-rehearsal-") as folder:
        tell = (lambda _: None) if as_json else (lambda step: say(f"… {step}"))
        report = run_rehearsal(agreement, available, Path(folder), rows, tell)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "report.json", report.canonical())
        write_atomic(out / "report.md", report.to_markdown().encode())
        write_atomic(out / "report.html", report.to_html().encode())
    if as_json:
        facts_of_run = report.model_dump(mode="json")
        print_json({"digest": report.digest, "problems": list(report.problems), "report": facts_of_run})
    else:
        for title, headings, cells in report.tables():
            console().print(table(title, headings, cells))
        for problem in report.problems:
            say(f"NOT as planted: {problem}")
        say(f"assessment.rehearsal: {report.digest}")
    if report.problems:
        raise typer.Exit(EXIT_NOT_AS_PLANTED)


def _require_empty(out: Path | None) -> None:
    if out is not None and out.exists() and any(out.iterdir()):
        raise ConfigurationError("config.exists", f"{out} holds other files; name another folder with --out")
