"""Runs under the Python that `HANSE_KSERVE_PYTHON` names: KServe's own client calls the scorer.

Arguments: address, authority, key and certificate of the caller, purpose, then subjects. Prints JSON.
"""

import asyncio
import json
import sys
from typing import Any

import grpc
import kserve  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]
import numpy as np

AGE, JOB = 41.0, "admin"


def make_request(purpose: str, subjects: list[str], *, raw: bool) -> Any:
    rows = len(subjects)
    inputs = [
        kserve.InferInput("subject_id", [rows], "BYTES"),
        kserve.InferInput("age", [rows], "FP64"),
        kserve.InferInput("job", [rows], "BYTES"),
    ]
    values = [subjects, [AGE] * rows, [JOB] * rows]
    for made, column in zip(inputs, values, strict=True):
        dtype = np.float64 if made.name == "age" else np.object_
        made.set_data_from_numpy(np.array(column, dtype=dtype), binary_data=raw)
    return kserve.InferRequest(
        model_name="propensity", infer_inputs=inputs, parameters={"purpose": purpose}, request_id="kserve-1"
    )


async def main(
    address: str, authority: str, key: str, certificate: str, purpose: str, *subjects: str
) -> None:
    client = kserve.InferenceGRPCClient(
        address,
        use_ssl=True,
        root_certificates=authority,
        private_key=key,
        certificate_chain=certificate,
        timeout=20,
    )
    async with client:
        said: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model": await client.is_model_ready("propensity"),
        }
        for form in ("raw", "typed"):
            answer = await client.infer(make_request(purpose, list(subjects), raw=form == "raw"))
            said[form] = [answer.id, answer.outputs[0].as_numpy().tolist()]
            said[f"{form} decisions"] = [_text(one) for one in answer.outputs[1].as_numpy().tolist()]
        try:
            await client.infer(make_request("scoring.pricing", list(subjects), raw=True))
        except grpc.RpcError as error:
            said["refused"] = [error.code().name, error.details()]
    sys.stdout.write(json.dumps(said))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


asyncio.run(main(*sys.argv[1:]))
