"""The coordinator's process answers the exchange on the port where it answers everything else."""

from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest

from hanse.client.exchange import open_exchange
from hanse.errors import HanseError
from hanse.exchange import Timing
from hanse.server.ports import free_port

pytestmark = pytest.mark.federation


def test_the_running_coordinator_knows_its_members_and_counts_what_it_refuses(
    start: Callable[..., Any],
) -> None:
    running = start(members=2, nodes=False)
    federation, metrics = running.federation, f"127.0.0.1:{free_port()}"
    ports = ["--fleet-port", str(federation.ports.fleet), "--port", str(federation.ports.people)]
    running.processes.start(
        "hub",
        ["server", "--home", str(federation.hub), *ports],
        {"HANSE_SERVER_METRICS_ADDRESS": metrics},
    )
    running.processes.wait_until_ready("hub")
    address = f"127.0.0.1:{federation.ports.people}"
    channel = open_exchange(
        federation.sites[0].home, address, "no such run", "sum", timing=Timing(resume_s=20)
    )
    with channel, pytest.raises(HanseError) as refused:
        channel.receive(30)
    assert refused.value.code == "run.unknown"
    with urlopen(f"http://{metrics}/metrics") as answer:
        text = answer.read().decode()
    assert 'hanse_exchange_refusals_total{code="run.unknown"} 1.0' in text
    assert "hanse_exchange_sessions 0.0" in text
