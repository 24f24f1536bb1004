"""The ``hanse`` command, and ``python -m hanse.cli``.

What a command imports stays until the process ends. Looking through it for garbage while it grows takes a
fifth of the time that importing takes, and would take it again at each full collection of a process that runs
for months.
"""

import gc


def main() -> None:
    """Imports the commands and runs one; see :func:`hanse.cli.main.main`."""
    gc.disable()
    from hanse.cli.main import main as run  # noqa: PLC0415 - not earlier

    gc.freeze()
    gc.enable()
    try:
        run()
    finally:
        gc.unfreeze()  # extensions complain of what is still there when all is over


if __name__ == "__main__":
    main()
