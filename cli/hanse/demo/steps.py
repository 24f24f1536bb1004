"""What a person sees while the demo works: one line per step, with how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from hanse.demo.interruption import heed


class Steps:
    """Prints steps as they begin and end.

    Args:
        console: Where to print.
        quiet: Print nothing; for ``--json -``.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self._quiet = quiet

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step; its line gets a tick and the seconds when it is done. It heeds a lost Ctrl-C."""
        heed()
        started_s = time.monotonic()
        if self._quiet:
            yield
            return
        with self.console.status(f"{title} …"):
            yield
        heed()
        self.console.print(
            f"[green]✓[/] {title} [dim]{time.monotonic() - started_s:.1f} s[/]", highlight=False
        )

    def say(self, text: str) -> None:
        """A remark below a step."""
        if not self._quiet:
            self.console.print(f"  [dim]{text}[/]", highlight=False)
