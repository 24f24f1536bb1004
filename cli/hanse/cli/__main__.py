"""The ``hanse`` command, and ``python -m hanse.cli``.

What a command imports stays until the process ends. Looking through it for garbage while it grows takes a
fifth of the time that importing takes, and would take it again at each full collection of a process that runs
for months.

Ctrl-C meanwhile ends the process at once: there is nothing to tidy up yet, and what is being imported may
catch a KeyboardInterrupt and go on.
"""

import gc
import signal


def main() -> None:
    """Imports the commands and runs one; see :func:`hanse.cli.main.main`."""
    gc.disable()
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:  # not if it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from hanse.cli.main import main as run  # noqa: PLC0415 - not earlier

    signal.signal(signal.SIGINT, interrupt)
    gc.freeze()
    gc.enable()
    try:
        run()
    finally:
        gc.unfreeze()  # extensions complain of what is still there when all is over


if __name__ == "__main__":
    main()
