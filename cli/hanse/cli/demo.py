"""``hanse demo``: a whole federation on this machine, on real data, with one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.common import model_kind
from hanse.cli.output import console
from hanse.demo.interruption import Interruption
from hanse.errors import ConfigurationError

if TYPE_CHECKING:
    from hanse.learning.vertical.recipe import VerticalModel


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with a data set (NAME.csv.gz, split.csv.gz, spec.json); default: bundled bank data. "
            "With --vertical its columns are divided between two members, sensitive ones left out; default: "
            "a made-up story.",
            file_okay=False,
        ),
    ] = None,
    members: Annotated[int, typer.Option(min=2, max=40, help="How many members share the data.")] = 3,
    epsilon: Annotated[float, typer.Option(help="Privacy budget per record and member.")] = 3.0,
    *,
    no_privacy: Annotated[
        bool,
        typer.Option(
            "--no-privacy",
            help="Train without differential privacy. Rule P18 refuses that for sets with sensitive columns.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="logistic (default), mlp or trees: boosted, between three members or more, without a "
            "privacy budget and therefore without sensitive columns. With --vertical: trees (default) "
            "scorecard, late_fusion or split_network."
        ),
    ] = None,
    vertical: Annotated[
        bool,
        typer.Option(
            "--vertical",
            help="Members know different things about the same people: align privately, train a model on "
            "everybody's columns.",
        ),
    ] = False,
    people: Annotated[
        int, typer.Option(min=1000, help="With --vertical, without --data: customers of the brand.")
    ] = 6000,
    trees: Annotated[int, typer.Option(min=1, max=1000, help="With --vertical: trees of the model.")] = 40,
    folder: Annotated[
        Path, typer.Option(help="Folder for the sites, the logs and the report; replaced by each demo.")
    ] = Path("hanse-demo"),
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write all results to this JSON file.", dir_okay=False)
    ] = None,
) -> None:
    """Train one model between a brand and its partners: real processes, real data, real logs, on loopback.

    Example: [bold]hanse demo[/], or with your own number of members:
    [bold]hanse demo --members 6 --epsilon 1[/], or with boosted trees:
    [bold]hanse demo --model trees --members 4[/], or between members that know different things about the
    same people: [bold]hanse demo --vertical[/]

    Identifiers and consent events are generated and labelled so; everything else is what a deployment does.
    Ends with a summary, a report in HTML, and exit code 0. Ctrl-C and SIGTERM stop all processes, with exit
    code 130.
    """
    with Interruption():
        if vertical:
            kind = vertical_kind(model or "trees")
            _vertical(data, members, people, trees, folder, json_path, kind)
        else:
            budget = None if no_privacy else epsilon
            _horizontal(data, members, budget, model or "logistic", folder, json_path)


def _horizontal(
    data: Path | None, members: int, epsilon: float | None, model: str, folder: Path, json_path: Path | None
) -> None:
    # Imported here: charts and training are needed by this command only.
    from hanse.demo.orchestrate import DemoOptions, run_demo  # noqa: PLC0415

    options = DemoOptions(
        data=data,
        members=members,
        epsilon=None if model == "trees" else epsilon,
        model=model_kind(model),
        folder=folder,
        json_path=json_path,
    )
    run_demo(options, console())


def vertical_kind(name: str) -> "VerticalModel":
    """The kind of a vertical model by its name.

    Raises:
        ConfigurationError: ``config.invalid`` if there is none.
    """
    from hanse.learning.vertical.recipe import STEPS  # noqa: PLC0415 - as below

    for kind in STEPS:
        if kind == name:
            return kind
    raise ConfigurationError("config.invalid", f"--model with --vertical is one of {', '.join(STEPS)}")


def _vertical(
    data: Path | None,
    members: int,
    people: int,
    trees: int,
    folder: Path,
    json_path: Path | None,
    kind: "VerticalModel",
) -> None:
    if members > 3:  # noqa: PLR2004 - the story has three parties
        raise ConfigurationError("config.invalid", "--vertical has 2 members, or 3 with the media house")
    # Imported here, as above.
    from hanse.demo.vertical.orchestrate import VerticalOptions, run_vertical  # noqa: PLC0415

    run_vertical(VerticalOptions(data, members, people, trees, folder, json_path, kind), console())
