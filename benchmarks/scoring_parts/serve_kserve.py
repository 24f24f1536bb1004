"""KServe's Python server with the same weights, in a Python that has it. Arguments: weights, two ports."""

# It runs in another Python, whose packages are not installed here.
# mypy: ignore-errors
# pyright: reportMissingImports=false

import sys

import numpy as np
from kserve import InferOutput, InferResponse, Model, ModelServer

_weights = np.load(sys.argv[1])
_layers = [(_weights[f"w{number}"], _weights[f"b{number}"]) for number in range(len(_weights.files) // 2)]


class Propensity(Model):
    """The forward that ours has, in numpy, on features that need no transforming."""

    def __init__(self) -> None:
        super().__init__("propensity")
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):  # noqa: ANN001, ANN201, ARG002
        """Probabilities of the rows."""
        x = payload.inputs[0].as_numpy()
        for weight, bias in _layers[:-1]:
            x = np.maximum(x @ weight.T + bias, 0)
        weight, bias = _layers[-1]
        scores = (1 / (1 + np.exp(-(x @ weight.T + bias)))).astype(np.float32)[:, 0]
        output = InferOutput(name="score", shape=list(scores.shape), datatype="FP32")
        output.set_data_from_numpy(scores, binary_data=True)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), enable_latency_logging=False).start(
        [Propensity()]
    )
