"""The Flower app bundle of every run: configuration only, the same for all.

What a member runs is the ``hanse`` that it installed itself; what a run does is in the signed agreement
and in signed commands. Flower still wants a bundle, so it gets one that carries no code. A node refuses
any other (``hanse.client.flower.bundle``).
"""

from flwr.cli.build import build_fab_from_files

PYPROJECT = b"""\
[project]
name = "hanse-run"
version = "1.0.0"
description = "Configuration only: members run the hanse that they installed."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "hanse"

[tool.flwr.app.components]
serverapp = "hanse.server.flower.engine:server_app"
clientapp = "hanse.client.flower.app:client_app"

[tool.flwr.app.config]
"""


def build_bundle() -> bytes:
    """Returns the bundle: a zip with ``pyproject.toml`` and Flower's own manifest."""
    content, _ = build_fab_from_files({"pyproject.toml": PYPROJECT})
    return content
