"""The federations of real processes that the drills kill."""

from tests.federation.conftest import start

__all__ = ["start"]
