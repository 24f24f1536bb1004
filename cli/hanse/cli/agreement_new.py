"""``hanse agreement new``: a draft from options, from an interview, or from both."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.prompt import InvalidResponse, Prompt
from typing_extensions import override

from hanse.cli.agreement_files import said
from hanse.cli.common import Home, utc_now
from hanse.cli.output import say
from hanse.cli.policy import Lang, Language
from hanse.client.answered import draft_of
from hanse.client.asking import Question, Site
from hanse.client.drafting import draft_agreement, known_identities, places_of, read_columns
from hanse.client.home import MemberHome
from hanse.client.interview import collect
from hanse.client.packs import adopted
from hanse.crypto import write_atomic
from hanse.errors import ConfigurationError
from hanse.policies import Agreement
from hanse.scoring.extraction import copying_note

Each = list[str] | None
"""Values of a repeatable option."""


def _each(text: str) -> Any:  # noqa: ANN401 - what typer returns is typed so
    return typer.Option(help=f"{text}; repeatable.", metavar="NAME=VALUE")


def new(
    out: Annotated[Path, typer.Argument(help="YAML file to write.")],
    columns: Annotated[
        Path, typer.Option(help="Data dictionary: YAML list of columns with public edges or categories.")
    ],
    home: Home = Path(),
    interview: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--interview", help="Ask for whatever no option gives, with explanations.")
    ] = False,
    lang: Lang = Language.EN,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    positive: Annotated[str | None, typer.Option(help="Label value that is predicted.")] = None,
    identifier: Annotated[str | None, typer.Option("--id", help="Short name of the agreement.")] = None,
    title: Annotated[str | None, typer.Option(help="One line for people.")] = None,
    proposer: Annotated[str | None, typer.Option(help="Person who proposes.")] = None,
    auditor: Annotated[str | None, typer.Option(help="Person who audits.")] = None,
    pack: Annotated[Each, typer.Option(help="Rule pack; repeatable. Default: pipl and gdpr.")] = None,
    minors: Annotated[
        bool | None, typer.Option("--minors/--no-minors", help="Whether children may be among the subjects.")
    ] = None,
    role: Annotated[Each, _each("Role of a member: joint, provider or entrusted")] = None,
    approver: Annotated[Each, _each("Person who approves for a member")] = None,
    storage_country: Annotated[Each, _each("Where a member keeps data; default: as in its identity")] = None,
    contract_reference: Annotated[Each, _each("Where the contract of an entrusted member is filed")] = None,
    contract_until: Annotated[Each, _each("Day on which that contract ends, as 2027-01-31")] = None,
    contract_at_end: Annotated[Each, _each("What becomes of the data then: delete or return")] = None,
    sub_processors: Annotated[
        Each, _each("Whether an entrusted member may entrust others: yes or no")
    ] = None,
    optional_column: Annotated[
        Each, typer.Option(help="Column that a person may hide and still take part; repeatable.")
    ] = None,
    disclose_to: Annotated[
        Each,
        typer.Option(help="Member that columns go to, as part of a model; repeatable. Default: every one."),
    ] = None,
    special: Annotated[
        Each, _each("Why a sensitive column is sensitive, as income=financial_account")
    ] = None,
    necessity: Annotated[Each, _each("Why the purpose needs a sensitive column")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="logistic, mlp or trees; vertical: trees, scorecard, late_fusion, split_network."),
    ] = None,
    vertical: Annotated[
        bool | None,
        typer.Option(
            "--vertical/--horizontal",
            help="Whether members have different columns of the same people. Default: the same columns.",
        ),
    ] = None,
    label_holder: Annotated[
        str | None, typer.Option(help="With --vertical: member that has the label. Default: this site.")
    ] = None,
    holding: Annotated[
        Each, _each("With --vertical: columns of the dictionary that a member has, with commas")
    ] = None,
    identifier_rule: Annotated[
        Each,
        typer.Option(
            "--identifier",
            help="With --vertical: by what common people are found, as email:email_untagged or "
            "phone:phone:49, the best first; repeatable.",
        ),
    ] = None,
    duplicates: Annotated[
        str | None, typer.Option(help="Rows whose identifier stands twice: leave_out (default) or refuse.")
    ] = None,
    malformed: Annotated[
        str | None, typer.Option(help="Malformed identifiers: leave_out (default) or refuse.")
    ] = None,
    minimum_common: Annotated[
        int | None, typer.Option(min=2, help="Fewest people in common. Default: 1000.")
    ] = None,
    smallest_set: Annotated[
        int | None, typer.Option(min=16, help="Size that sets are filled up to at least. Default: 10000.")
    ] = None,
    alignments: Annotated[
        int | None, typer.Option(min=1, help="Alignments that the agreement allows. Default: 10.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Trees, or steps of a scorecard. Default: 40, or 30.")
    ] = None,
    trust: Annotated[
        str | None, typer.Option(help="With --vertical: dealer (default) or homomorphic.")
    ] = None,
    no_collusion: Annotated[
        bool | None,
        typer.Option(
            "--no-collusion",
            help="With a dealer: it is certain that the coordinator colludes with no member.",
        ),
    ] = None,
    key_bits: Annotated[
        int | None, typer.Option(min=2048, help="With homomorphic: length of the key. Default: 2048.")
    ] = None,
    label_defence: Annotated[
        str | None, typer.Option(help="With split_network: frozen_bottoms or label_noise.")
    ] = None,
    label_epsilon: Annotated[
        float | None,
        typer.Option(help="Epsilon of the noise on labels that members are sent, per person and run."),
    ] = None,
    maximum_leakage: Annotated[
        float | None,
        typer.Option(
            help="Largest area of an attack on labels with which a model is released. Default: 0.6."
        ),
    ] = None,
    minimum_bin_rows: Annotated[
        int | None, typer.Option(min=1, help="With --vertical: fewest common people of a bin. Default: 20.")
    ] = None,
    daily_people: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --vertical: most people that another member is asked about in a day when people are "
            "scored. Default: none, and the model is not served.",
        ),
    ] = None,
    keep_s: Annotated[
        int | None,
        typer.Option(min=0, help="Seconds for which such an answer may be kept in memory. Default: 0."),
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            help="Without such an answer: none (default), an error; or own_columns, what the label holder's "
            "columns alone say, marked as such."
        ),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(min=0.001, help="Privacy budget per record; leave out for none.")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Delta of the budget; default: 1e-5.")] = None,
    aggregation: Annotated[
        str | None,
        typer.Option(
            help="From three members on: secure (sums, shared noise) or individual (each one's, full noise). "
            "Default: secure."
        ),
    ] = None,
    robustness: Annotated[
        str | None,
        typer.Option(
            help="With individual figures of three members or more: screened-mean, mean, median, "
            "trimmed-mean:2 or multi-krum:2, which stand two faulty members. Default: screened-mean."
        ),
    ] = None,
    contributions: Annotated[
        bool | None,
        typer.Option(help="With such figures: whether what each member adds to a model is computed."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows per member, roughly; the training recipe depends on it. Default: 5000."
        ),
    ] = None,
    minimum_rows: Annotated[
        int | None,
        typer.Option(min=1, help="Admitted rows that a member needs. Default: 1000, ours, not law."),
    ] = None,
    minimum_members: Annotated[
        int | None, typer.Option(min=2, help="Members that every aggregate needs. Default: 2.")
    ] = None,
    quorum: Annotated[
        int | None,
        typer.Option(min=1, help="Witnesses that must co-sign the coordinator's log. Default: over half."),
    ] = None,
    caller: Annotated[Each, typer.Option(help="System that may ask for scores; repeatable.")] = None,
    quota: Annotated[Each, _each("Subjects that a caller may ask about in a day. Default: 100000")] = None,
    opt_out: Annotated[Each, _each("Whether people whom a caller contacts can say no: yes or no")] = None,
    plain_path: Annotated[Each, _each("Whether a caller serves people without a score: yes or no")] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="In which form scores leave: band, band:0.2/0.5, decile, flag:0.3, list:50 (of a call), "
            "segment:COLUMN:VALUE:SCORE or score:2. Default: band."
        ),
    ] = None,
    by_id: Annotated[
        bool | None,
        typer.Option(
            "--by-id/--chosen-rows",
            help="Callers name people alone, and the site looks up their columns; or callers bring the "
            "columns, and can copy the model. Default: by id.",
        ),
    ] = None,
    significant_effect: Annotated[
        bool | None, typer.Option(help="Whether decisions based on scores affect people significantly.")
    ] = None,
    human_review: Annotated[bool | None, typer.Option(help="Whether a person can review them.")] = None,
    reason_codes: Annotated[bool | None, typer.Option(help="Whether reason codes explain them.")] = None,
    assessment: Annotated[str | None, typer.Option(help="Reference of the impact assessment.")] = None,
    assessor: Annotated[str | None, typer.Option(help="Person who approved the impact assessment.")] = None,
    other_place: Annotated[
        Each, typer.Option(help="Other country of log mirrors or serving nodes; repeatable.")
    ] = None,
    border: Annotated[
        str | None,
        typer.Option(
            help="security_assessment, certification, standard_contract or none; where a border is crossed."
        ),
    ] = None,
    border_reference: Annotated[str | None, typer.Option(help="Where that is filed.")] = None,
    valid_days: Annotated[int | None, typer.Option(min=1, help="Days of validity. Default: 90.")] = None,
    rows_days: Annotated[int | None, typer.Option(min=1, help="Days for which rows are kept.")] = None,
    intermediates_days: Annotated[
        int | None, typer.Option(min=1, help="Days for which what is made on the way is kept.")
    ] = None,
    model_days: Annotated[int | None, typer.Option(min=1, help="Days for which models are kept.")] = None,
) -> None:
    """Draft an agreement between this site, the members it has enrolled, and the enrolled coordinator.

    Example: [bold]hanse agreement new deal.yaml --home brand --columns columns.yaml
    --label y --positive yes --epsilon 3[/], or let it ask:
    [bold]hanse agreement new deal.yaml --home brand --columns columns.yaml --interview[/]

    Notices and keys come from the members' identities; every auditor that this site has enrolled becomes a
    witness. The draft is plain YAML: read it, change it, then
    `hanse agreement check` it.
    """
    given = {
        "label": label, "positive": positive, "id": identifier, "title": title, "proposer": proposer,
        "auditor": auditor, "pack": _joined(pack), "minors": _yes(minors),
        "optional_column": _joined(optional_column), "disclose_to": _joined(disclose_to), "model": model,
        "epsilon": _text(epsilon), "delta": _text(delta), "aggregation": aggregation,
        "robustness": robustness, "contributions": _yes(contributions), "rows": _text(rows),
        "minimum_rows": _text(minimum_rows), "minimum_members": _text(minimum_members),
        "quorum": _text(quorum), "vertical": _yes(vertical), "label_holder": label_holder,
        "identifier": _joined(identifier_rule), "duplicates": duplicates, "malformed": malformed,
        "minimum_common": _text(minimum_common), "smallest_set": _text(smallest_set),
        "alignments": _text(alignments), "steps": _text(steps), "trust": trust,
        "label_epsilon": _text(label_epsilon), "label_defence": label_defence,
        "no_collusion": _yes(no_collusion), "key_bits": _text(key_bits),
        "maximum_leakage": _text(maximum_leakage), "minimum_bin_rows": _text(minimum_bin_rows),
        "daily_people": _text(daily_people), "keep_s": _text(keep_s), "fallback": fallback,
        "caller": _joined(caller), "output": output, "by_id": _yes(by_id),
        "significant_effect": _yes(significant_effect),
        "human_review": _yes(human_review), "reason_codes": _yes(reason_codes), "assessment": assessment,
        "assessor": assessor, "other_place": _joined(other_place), "border": border,
        "border_reference": border_reference, "valid_days": _text(valid_days), "rows_days": _text(rows_days),
        "intermediates_days": _text(intermediates_days), "model_days": _text(model_days),
        **_pairs({
            "role": role, "approver": approver, "storage_country": storage_country,
            "contract_reference": contract_reference, "contract_until": contract_until,
            "contract_at_end": contract_at_end, "sub_processors": sub_processors, "special": special,
            "necessity": necessity, "quota": quota, "opt_out": opt_out, "plain_path": plain_path,
            "holding": holding,
        }),
    }  # fmt: skip
    answered = {key: text for key, text in given.items() if text is not None}
    if out.exists():
        raise ConfigurationError("config.exists", f"{out} exists; name another file")
    agreement = _draft(out, MemberHome(home), columns, answered, lang if interview else None)
    if note := copying_note(agreement):
        say(f"note: {said(note, lang)}")
    members = len(agreement.members)
    say(f"wrote {out}: {members} members. Next: hanse agreement check {out}")


def _draft(
    out: Path,
    home: MemberHome,
    columns: Path,
    given: Mapping[str, str],
    lang: Language | None,
) -> Agreement:
    """Writes the draft, and returns it. Asks in the language, if there is one."""
    identities = known_identities(home)
    if identities[0].role != "member":
        raise ConfigurationError("config.invalid", f"{home.root} is not a member's folder; draft at a member")
    members = [identity for identity in identities if identity.role == "member"]
    auditors = [identity for identity in identities if identity.role == "auditor"]
    site = Site(members, places_of(identities), read_columns(columns), auditors)
    answers = collect(site, given, None if lang is None else _Interviewer(lang).ask)
    agreement = draft_agreement(draft_of(answers, site, adopted(home)), identities, utc_now())
    write_atomic(out, agreement.to_yaml().encode())
    return agreement


class _Checked(Prompt):
    """A prompt that hands an answer to the question's own check, and asks again when it is refused."""

    question: Question

    @override
    def process_response(self, value: str) -> str:
        answer = value.strip()
        try:
            self.question.check(answer)
        except ValueError as error:
            raise InvalidResponse(f"[red]{error}[/]") from error
        return answer


class _Interviewer:
    """Asks on the terminal; questions go to standard error, so that standard output stays for results."""

    def __init__(self, lang: Language) -> None:
        self._lang = lang
        self._console = Console(stderr=True, highlight=False)

    def ask(self, question: Question) -> str:
        self._console.print(said(question.about, self._lang), style="dim", markup=False)
        prompt = _Checked(said(question.text, self._lang).replace("[", r"\["), console=self._console)
        prompt.question = question
        try:
            answer = prompt(default=... if question.default is None else question.default)
        except EOFError as error:
            raise ConfigurationError(
                "config.invalid", f"the answers end before: {question.text.en} Give {question.option}"
            ) from error
        return str(answer)


def _text(value: float | None) -> str | None:
    return None if value is None else repr(value)


def _yes(value: bool | None) -> str | None:  # noqa: FBT001 - an option with three states
    return None if value is None else "yes" if value else "no"


def _joined(values: Each) -> str | None:
    return None if values is None else ", ".join(values)


def _pairs(options: Mapping[str, Iterable[str] | None]) -> dict[str, str | None]:
    """``role`` and ``brand=joint`` as ``role.brand`` and ``joint``."""
    found: dict[str, str | None] = {}
    for key, values in options.items():
        for pair in values or ():
            name, sign, value = pair.partition("=")
            if not sign or not name.strip():
                option = f"--{key.replace('_', '-')}"
                raise ConfigurationError("config.invalid", f"{option}: write NAME=VALUE, as {option} brand=…")
            found[f"{key}.{name.strip()}"] = value
    return found
