"""``hanse agreement advise``: which columns an agreement could do without."""

from typing import Annotated, Any

import numpy as np
import typer
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from hanse.cli.agreement_files import File, policy_here, read_agreement
from hanse.cli.common import Home
from hanse.cli.output import Json, console, print_json, say
from hanse.client.home import MemberHome
from hanse.policies import suppress

BAR_COLUMNS = 24
LIMITS = (
    "Columns are taken as independent: of two that say the same, both look needed. Without privacy a model "
    "keeps no counts, and every value is taken as equally frequent. 'Contributes nothing' (below 1 % of the "
    "sum, or within noise) and 'most hide it' (half) are defaults of Hanse, not law."
)


def advise(
    file: File,
    home: Home,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="Model, as propensity@3; repeatable. Default: all of the agreement."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """List what an agreement's columns contribute, and which it could do without (rule P14).

    Example: [bold]hanse agreement advise deal.agreement --home brand[/]

    No row is read and no privacy budget is touched: contributions come from signed models. The advice decides
    nothing; it is a task for the data protection officer.
    """
    # Imported here: the privacy accountant takes a second to load.
    from hanse.client.advice import advise as judge  # noqa: PLC0415
    from hanse.client.advice import measure, models_of, site_facts  # noqa: PLC0415

    agreement, site = read_agreement(file), MemberHome(home)
    trained = models_of(site, agreement, models or [])
    # The digest is the seed, so that the same model always gets the same figures.
    measured = [measure(m, np.random.default_rng(int(m.digest[:16], 16))) for m in trained]
    judged = judge(agreement, policy_here(agreement, home), measured, site_facts(site, agreement))
    below = agreement.cohort.suppress_below
    facts: list[dict[str, Any]] = [
        {
            "column": item.column,
            "class": item.classification,
            "share": None if item.contribution is None else item.contribution.share,
            "variance": None if item.contribution is None else item.contribution.variance,
            "noise": None if item.contribution is None else item.contribution.noise,
            "unused_runs": item.unused_runs,
            **suppress({"hidden": item.hidden, "subjects": item.subjects}, below),
            "task": item.is_task,
            "advice": [advice.value for advice in item.advice],
        }
        for item in judged
    ]
    references = [model.manifest.reference for model in trained]
    if as_json:
        print_json({"agreement": agreement.digest, "models": references, "columns": facts, "limits": LIMITS})
        return
    title = f"Columns of {agreement.id} {agreement.version}, by {', '.join(references) or 'no model yet'}"
    console().print(_table(title, facts))
    say(LIMITS)
    tasks = sum(item.is_task for item in judged)
    say(
        f"{tasks} columns for the data protection officer to decide about." if tasks else "Nothing to decide."
    )


def _table(title: str, facts: list[dict[str, Any]]) -> Table:
    built = Table(title=Text(title), title_justify="left", header_style="bold")
    for heading in ("column", "class", "contribution", "", "unused", "hidden", "advice"):
        built.add_column(heading, overflow="fold")
    longest = max((fact["share"] or 0.0 for fact in facts), default=0.0) or 1.0
    for fact in sorted(facts, key=lambda fact: -(fact["share"] or 0.0)):
        share = fact["share"]
        built.add_row(
            Text(fact["column"]),
            fact["class"] or "not in the agreement",
            "not measured" if share is None else f"{100 * share:.1f} %",
            Bar(longest, 0, share or 0.0, width=BAR_COLUMNS),
            f"{fact['unused_runs']} models",
            str(fact["hidden"]),
            Text("; ".join(fact["advice"]), style="yellow" if fact["task"] else ""),
        )
    return built
