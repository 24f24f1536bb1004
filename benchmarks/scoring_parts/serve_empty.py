"""An empty handler of grpc.aio with TLS: what Python's transport costs by itself. Argument: the site."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from hanse.api.inference import open_inference_grpc_pb2 as oip
from scoring_parts.site import CALLER


async def serve(root: Path) -> None:
    """Serves for ever; answers every request with the same response."""
    response = oip.ModelInferResponse(model_name="propensity", model_version="1")
    response.outputs.add(name="score", datatype="FP32", shape=[1])
    response.raw_output_contents.append(bytes(4))

    async def infer(_request: oip.ModelInferRequest, _context: Any) -> oip.ModelInferResponse:  # noqa: ANN401
        return response

    handler: Any = grpc.unary_unary_rpc_method_handler(
        infer, oip.ModelInferRequest.FromString, oip.ModelInferResponse.SerializeToString
    )
    server = grpc.aio.server()
    methods = {"ModelInfer": handler}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods),)
    )
    key, certificate, caller = (
        (root / name).read_bytes() for name in ("server.key", "server.crt", f"{CALLER}.crt")
    )
    credentials = grpc.ssl_server_credentials([(key, certificate)], caller, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    sys.stdout.write(f"ready 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


uvloop.install()
asyncio.run(serve(Path(sys.argv[1])))
