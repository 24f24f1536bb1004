"""Both worlds, and the sites of the one that has them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.exchange.exchange_tools import GrpcWorld, MemoryWorld, Sites

MEMBERS = ("ann", "bob", "cat")


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Sites:
    made = Sites(tmp_path_factory.mktemp("exchange"))
    made.make((*MEMBERS, "dan"), strangers=("eve",))
    return made


@pytest.fixture
def make_world(sites: Sites) -> Iterator[Callable[..., Any]]:
    """Makes a world: ``make_world("grpc", limits=…)``."""
    with ExitStack() as stack:

        def make(kind: str, members: tuple[str, ...] = MEMBERS, **options: Any) -> Any:
            world = (
                GrpcWorld(sites, members, **options) if kind == "grpc" else MemoryWorld(members, **options)
            )
            stack.callback(world.close)
            return world

        yield make


@pytest.fixture(params=["memory", "grpc"])
def world(request: pytest.FixtureRequest, make_world: Callable[..., Any]) -> Any:
    return make_world(request.param)
