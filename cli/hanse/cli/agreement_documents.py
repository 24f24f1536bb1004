"""``hanse agreement assess`` and ``records``: documents from the configuration, and what changed in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.agreement_files import AnyHome, File, policy_named, read_agreement
from hanse.cli.common import utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.cli.policy import LEGAL_NOTE, Lang, Language
from hanse.client.home import MemberHome
from hanse.client.observed import observed
from hanse.crypto import write_atomic
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies.agreement import Agreement
from hanse.policies.agreement.words import Language as Words
from hanse.policies.compliance import (
    Answers,
    Configuration,
    Difference,
    Dossier,
    Section,
    answers_template,
    assess,
    compare,
    compare_markdown,
    records,
    require_questions,
    to_html,
    to_markdown,
)

STALE = 4


class Format(StrEnum):
    """Form of a document."""

    MD = "md"
    HTML = "html"


FormatOption = Annotated[
    Format, typer.Option("--format", help="md, or html: one file that loads nothing, to read and to print.")
]
Out = Annotated[Path | None, typer.Option(help="File to write; its JSON is written beside it.")]
AnswersFile = Annotated[
    Path | None,
    typer.Option("--answers", help="YAML with what people answered.", exists=True, dir_okay=False),
]
Template = Annotated[
    Path | None, typer.Option("--questions", help="Write a YAML file to answer in, answers so far included.")
]
Approved = Annotated[
    Path | None,
    typer.Option(help="Approved version, .json or .md: show what differs.", exists=True, dir_okay=False),
]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line."""

    file: Path
    home: Path | None
    lang: Language
    form: Format
    out: Path | None
    answers: Path | None
    questions: Path | None
    approved: Path | None
    as_json: bool

    @property
    def words(self) -> Words:
        """The language as the documents know it."""
        return "zh" if self.lang is Language.ZH else "en"


def assess_agreement(
    file: File,
    home: AnyHome = None,
    lang: Lang = Language.EN,
    form: FormatOption = Format.MD,
    out: Out = None,
    answers: AnswersFile = None,
    questions: Template = None,
    approved: Approved = None,
    *,
    as_json: Json = False,
) -> None:
    """Generate the impact assessment of an agreement (PIPL 55-56, GDPR 35), or show what changed in it.

    Example: [bold]hanse agreement assess deal.yaml --home brand --questions answers.yaml[/], then
    [bold]hanse agreement assess deal.yaml --home brand --answers answers.yaml --format html
    --out assessment.html[/]

    The JSON beside it is what the person approves; write its SHA-256 into assessment.digest of the agreement.
    When the configuration no longer generates what was approved, exit code 4:
    [bold]hanse agreement assess deal.yaml --answers answers.yaml --approved assessment.json[/]
    """
    request = Request(file, home, lang, form, out, answers, questions, approved, as_json)
    _generate(request, assess, lambda agreement: agreement.assessment.digest)


def records_of(
    file: File,
    home: AnyHome = None,
    lang: Lang = Language.EN,
    form: FormatOption = Format.MD,
    out: Out = None,
    answers: AnswersFile = None,
    questions: Template = None,
    approved: Approved = None,
    *,
    as_json: Json = False,
) -> None:
    """Generate the records of processing of every member (GDPR 30), or show what changed in them.

    Example: [bold]hanse agreement records deal.yaml --lang zh --format html --out records.html[/]

    Controllers have what GDPR 30(1) asks for, entrusted members what 30(2) asks for.
    """
    request = Request(file, home, lang, form, out, answers, questions, approved, as_json)
    _generate(request, records, lambda _: None)


def _generate(
    request: Request, make: Callable[[Configuration], Dossier], named: Callable[[Agreement], str | None]
) -> None:
    agreement = read_agreement(request.file)
    configuration = _configuration(agreement, request)
    if request.questions is not None:
        _write_questions(request.questions, configuration, request)
    dossier = make(configuration)
    differences = _differences(dossier, request)
    _write(dossier, _annex(agreement, dossier, request), differences, request)
    digest = named(agreement)
    stale = bool(differences) or (digest is not None and digest != dossier.digest)
    _report(dossier, differences, digest, request)
    if stale:
        raise typer.Exit(STALE)


def _configuration(agreement: Agreement, request: Request) -> Configuration:
    policy = policy_named(agreement, request.home)
    if request.answers is None:
        return Configuration(agreement, policy)
    try:
        answers = Answers.from_yaml(request.answers.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise PolicyError("policy.invalid", f"{request.answers} is not UTF-8 text") from error
    configuration = Configuration(agreement, policy, answers.given())
    require_questions(answers, _both(configuration))
    return configuration


def _both(configuration: Configuration) -> tuple[Dossier, Dossier]:
    return assess(configuration), records(configuration)


def _write_questions(path: Path, configuration: Configuration, request: Request) -> None:
    if path.exists() and path != request.answers:
        raise ConfigurationError("config.exists", f"{path} exists; name it with --answers, or another file")
    write_atomic(path, answers_template(_both(configuration), request.words).encode())


def _annex(agreement: Agreement, dossier: Dossier, request: Request) -> tuple[Section, ...]:
    if request.home is None:
        return ()
    return observed(MemberHome(request.home), agreement, dossier, utc_now())


def _differences(dossier: Dossier, request: Request) -> tuple[Difference, ...]:
    path = request.approved
    if path is None:
        return ()
    data = path.read_bytes()
    if path.suffix == ".md":
        return compare_markdown(data.decode(errors="replace"), dossier, request.words)
    return compare(Dossier.parse(data), dossier, request.words)


def _write(
    dossier: Dossier, annex: Sequence[Section], differences: Sequence[Difference], request: Request
) -> None:
    if request.out is None:
        return
    text = (
        to_html(dossier, request.words, annex, differences)
        if request.form is Format.HTML
        else to_markdown(dossier, request.words, annex)
    )
    beside = request.out.with_suffix(".json")
    if request.approved is not None and request.approved.resolve() in {
        request.out.resolve(),
        beside.resolve(),
    }:
        raise ConfigurationError(
            "config.exists", "--out would overwrite the approved version; name another file"
        )
    write_atomic(request.out, text.encode())
    write_atomic(beside, dossier.text().encode())


def _report(
    dossier: Dossier, differences: Sequence[Difference], digest: str | None, request: Request
) -> None:
    if request.as_json:
        print_json(
            {
                "digest": dossier.digest,
                "approved": digest,
                "unanswered": [question.key for question in dossier.questions if question.answer is None],
                "differences": [
                    {"section": d.section, "kind": d.kind, "before": d.before, "after": d.after}
                    for d in differences
                ],
                "document": dossier.model_dump(mode="json"),
            }
        )
        return
    if differences:
        rows = [(d.section, d.kind, d.before, d.after) for d in differences]
        heads = ("section", "change", "approved", "now")
        console().print(table("Differs from the approved version", heads, rows))
    elif request.approved is not None:
        say("nothing differs from the approved version")
    elif request.out is None and request.questions is None:
        say(to_markdown(dossier, request.words))
    _say_what_next(dossier, digest, request)


def _say_what_next(dossier: Dossier, digest: str | None, request: Request) -> None:
    if request.out is not None:
        say(f"wrote {request.out} and {request.out.with_suffix('.json')}")
    if request.questions is not None:
        say(f"wrote {request.questions}; fill it in, then give it with --answers")
    say(f"SHA-256 {dossier.digest}; {dossier.unanswered} questions are not answered")
    if digest is not None and digest != dossier.digest:
        say(
            f"assessment.digest names {digest}: what was approved is not what the configuration generates "
            "now. Show "
            "what differs with --approved, and have it approved again"
        )
    say(LEGAL_NOTE)
