"""The client app: trains and evaluates when asked to."""

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from tiny import model

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Trains on this member's rows."""
    weights, bias = model.train(*_arrays(message), _member(context))
    arrays = ArrayRecord({"weights": Array(weights), "bias": Array(bias)})
    return Message(RecordDict({"arrays": arrays, "metrics": _metrics()}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluates on this member's rows."""
    loss = model.evaluate(*_arrays(message), _member(context))
    return Message(RecordDict({"metrics": _metrics(loss=loss)}), reply_to=message)


def _arrays(message: Message) -> tuple[model.Array, model.Array]:
    arrays = message.content.array_records["arrays"]
    return arrays["weights"].numpy(), arrays["bias"].numpy()


def _metrics(**metrics: float) -> MetricRecord:
    return MetricRecord({"num-examples": model.ROWS, **metrics})


def _member(context: Context) -> int:
    return int(context.node_config["member"])
