"""A partner that says nothing: an empty handler of grpc.aio behind mutual TLS. Argument: the members.

What a call to it takes through the relay is what any answer of a partner takes that far away.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from hanse.client.home import MemberHome
from hanse.demo.federation import CALLER
from vertical_scoring_parts.site import LABEL_HOLDER

METHOD = "/benchmark.Empty/Ask"


async def serve(folder: Path) -> None:
    """Serves for ever; answers every call with a byte."""
    home = MemberHome(folder / LABEL_HOLDER)

    async def ask(_body: bytes, _context: Any) -> bytes:  # noqa: ANN401 - of any call
        return b"\1"

    server = grpc.aio.server()
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {"Ask": grpc.unary_unary_rpc_method_handler(ask)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("benchmark.Empty", methods),))
    pair = home.serving_key.read_bytes(), home.serving_certificate.read_bytes()
    caller = (folder / "callers" / CALLER / "tls.crt").read_bytes()
    credentials = grpc.ssl_server_credentials([pair], caller, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    sys.stdout.write(f"ready 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(Path(sys.argv[1])))
