"""The node's Flower adapter: with its twin at the coordinator, the only code that imports flwr."""

import os
from pathlib import Path

# Nothing is reported to anybody, and nothing is fetched or installed at run time.
QUIET_ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def prepare_environment(home: Path) -> None:
    """Sets what Flower reads when it is first imported; call this before any other module of this package.

    Args:
        home: Folder that Flower may write its own files to.
    """
    os.environ.update(QUIET_ENVIRONMENT)
    os.environ["FLWR_HOME"] = str(home)
