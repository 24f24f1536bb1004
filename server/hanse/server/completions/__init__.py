"""A gRPC server, and a client, whose events one event loop takes itself, from gRPC's completion queue.

``grpc.aio`` takes some 120 to 170 µs of processor time for a call, most of it for tasks, futures and
coroutines of its own for each step of a call. Here a step is a callback, and the loop takes all steps that
are ready at once (docs/adr/0054).
"""

from hanse.server.completions.call import IncomingCall
from hanse.server.completions.client import CallClient, CallEnd
from hanse.server.completions.server import CallServer, Handler
from hanse.server.completions.starting import Meanwhile, begin, start

__all__ = ["CallClient", "CallEnd", "CallServer", "Handler", "IncomingCall", "Meanwhile", "begin", "start"]
