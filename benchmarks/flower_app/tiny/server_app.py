"""The server app: Flower's FedAvg, with a gate before every round."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from typing_extensions import override

from tiny import model
from tiny.gate import Gate

app = ServerApp()


class GatedFedAvg(FedAvg):  # type: ignore[misc, unused-ignore]
    """FedAvg that starts a round when it is told to, and says how long it took."""

    def __init__(self, gate: Gate, nodes: int) -> None:
        super().__init__(min_available_nodes=nodes)
        self._gate = gate
        self._started_s = 0.0

    @override
    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Starts a round."""
        self._gate.wait_until_open(server_round)
        self._started_s = time.perf_counter()
        return super().configure_train(server_round, arrays, config, grid)

    @override
    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Ends a round."""
        metrics = super().aggregate_evaluate(server_round, replies)
        if metrics is None:
            raise RuntimeError("a round without an evaluation")
        self._gate.report(server_round, time.perf_counter() - self._started_s)
        return metrics


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Runs as many rounds as the benchmark asks for."""
    initial = ArrayRecord(
        {
            "weights": Array(np.zeros(model.FEATURES, dtype=np.float32)),
            "bias": Array(np.zeros(1, dtype=np.float32)),
        }
    )
    strategy = GatedFedAvg(Gate(Path(str(context.run_config["gate"]))), nodes=2)
    strategy.start(grid=grid, initial_arrays=initial, num_rounds=int(context.run_config["rounds"]))
