"""MLServer's runtime with the same weights, run by a Python that has it."""

# It runs in another Python, whose packages are not installed here.
# mypy: ignore-errors
# pyright: reportMissingImports=false

import os

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Propensity(MLModel):
    """The forward that ours has, in numpy, on features that need no transforming."""

    async def load(self) -> bool:
        """Reads the weights."""
        weights = np.load(os.environ["WEIGHTS"])
        self.layers = [
            (weights[f"w{number}"], weights[f"b{number}"]) for number in range(len(weights.files) // 2)
        ]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Probabilities of the rows."""
        x = NumpyCodec.decode_input(payload.inputs[0])
        for weight, bias in self.layers[:-1]:
            x = np.maximum(x @ weight.T + bias, 0)
        weight, bias = self.layers[-1]
        scores = (1 / (1 + np.exp(-(x @ weight.T + bias)))).astype(np.float32)[:, 0]
        output = NumpyCodec.encode_output("score", scores)
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
