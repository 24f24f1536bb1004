"""The ClientApp: takes a signed command out of a Flower message, and puts the signed reply into one."""

from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from hanse.errors import ProtocolError

RECORD = "hanse"
FIELD = "signed"

Handler = Callable[[bytes], bytes]

_handler: list[Handler] = []

client_app = ClientApp()


def install(handler: Handler) -> None:
    """Sets what answers commands in this process: serialised ``SignedMessage`` in, the same out."""
    _handler[:] = [handler]


@client_app.train("step")
def _step(message: Message, context: Context) -> Message:
    del context
    record = message.content.config_records.get(RECORD)
    body = None if record is None else record.get(FIELD)
    if not isinstance(body, bytes):
        raise ProtocolError("protocol.malformed", "a Flower message without a signed command")
    reply = _handler[0](body)
    return Message(RecordDict({RECORD: ConfigRecord({FIELD: reply})}), reply_to=message)
