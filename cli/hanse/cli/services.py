"""``hanse server`` and ``hanse client``: the long-running processes of a federation."""

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.common import Home, stop_on_signals
from hanse.cli.output import say
from hanse.client.home import MemberHome


def server(
    home: Home = Path(),
    fleet_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port for the members' nodes.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port for people and tools (gRPC).")
    ] = None,
) -> None:
    """Run the coordinator: Flower over TLS for the nodes, gRPC over mutual TLS for people.

    Example: [bold]hanse server --home hub[/]

    It sees no row and no label. Ctrl-C ends it; an active run goes on when it is started again.
    """
    # Imported here: the other commands need not wait for it.
    from hanse.server.main import run_coordinator  # noqa: PLC0415
    from hanse.server.settings import ServerSettings  # noqa: PLC0415

    settings = ServerSettings.load(home, fleet_port=fleet_port, port=port)
    run_coordinator(
        home,
        settings,
        lambda: say(
            f"ready: nodes on {settings.host}:{settings.fleet_port}, "
            f"people on {settings.host}:{settings.port}"
        ),
        stop_on_signals(),
    )


def client(home: Home = Path()) -> None:
    """Run this member's node: it connects to the coordinator and answers what its own policy allows.

    Example: [bold]hanse client --home brand[/]

    The node opens outbound connections only, and runs only the code that is installed here.
    """
    from hanse.client.main import run_node  # noqa: PLC0415
    from hanse.client.settings import NodeSettings  # noqa: PLC0415

    settings = NodeSettings.load(home)
    run_node(
        home,
        settings,
        lambda: _ready(home, f"{settings.name} at {settings.fleet_address}"),
        stop_on_signals(),
    )


def _ready(home: Path, where: str) -> None:
    """Says that the node works, and whether it is in a run that is not over."""
    from hanse.client.kept import RunFile  # noqa: PLC0415

    kept = RunFile(MemberHome(home).run).load()
    if kept is not None:
        say(f"{kept.run} is not over here: this node takes part again when it is asked to")
    say(f"ready: {where}")
