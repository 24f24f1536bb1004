"""Sums of clipped per-record gradients in closed form, for linear layers and embeddings.

The gradient of one record with respect to the weight of a linear layer is the outer product of the layer's
input and of the error that comes back to its output, so its squared norm is the product of theirs, and that
of the bias is the error's (Goodfellow, "Efficient Per-Example Gradient Computations", 2015). One forward and
one backward pass to the layers' outputs give all norms; one more product per layer, with every error scaled
by its record's clipping factor, gives the sum of the clipped gradients. No per-record gradient is formed, and
no second backward pass is made, as ghost clipping needs for layers of any kind. In a stack of linear layers
the passes are written out; torch's own differentiation costs as much again there with batches of hundreds.

This is right only where records do not meet inside the model: :func:`has_closed_form` knows the modules for
which that is so, and nothing else is let in. A layer that normalises over the batch, for instance, would let
one record change the gradient of another, past every clipping norm.

The sum has the sensitivity of the clipping norm in real numbers. What floating point adds to it is bounded
in :mod:`hanse.learning.grid_noise`, for models in double precision.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn

from hanse.errors import TrainingError

OutputErrors: TypeAlias = Callable[[Tensor], Tensor]
"""From the model's outputs to the gradient of each record's own loss in them; of the same shape."""

_ATEN: Final = torch.ops.aten
_ELEMENTWISE: Final[
    dict[type[nn.Module], tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]]
] = {
    nn.Identity: (lambda values: values, lambda error, _: error),
    nn.ReLU: (
        torch.relu_,
        lambda error, values: _ATEN.threshold_backward.grad_input(error, values, 0, grad_input=error),
    ),
    nn.Sigmoid: (
        torch.sigmoid_,
        lambda error, values: _ATEN.sigmoid_backward.grad_input(error, values, grad_input=error),
    ),
    nn.Tanh: (
        torch.tanh_,
        lambda error, values: _ATEN.tanh_backward.grad_input(error, values, grad_input=error),
    ),
}
"""Element-wise functions, and the error before each from the error after it and its values. In place: with
batches of hundreds, a good part of the time would go into getting memory from the operating system.
"""

_CONTAINERS: Final = frozenset({nn.Sequential, nn.ModuleList, nn.ModuleDict})
# Modules of the product whose own ``forward`` was read: it adds, cuts and joins columns of a record only.
_OWN: Final = "hanse.learning."
_ROWS_AND_COLUMNS: Final = 2
_PLAIN_EMBEDDING: Final = {
    "padding_idx": None,
    "max_norm": None,
    "scale_grad_by_freq": False,
    "sparse": False,
}


def has_closed_form(model: nn.Module) -> bool:
    """Whether :class:`ClosedFormClipper` is right for a model.

    Args:
        model: Any module.

    Returns:
        True for our own modules, and for stacks of linear layers, plain embeddings and element-wise
        functions, in which no two layers share a parameter.
    """
    parameters = [parameter for module in model.modules() for parameter in module.parameters(recurse=False)]
    unshared = len({id(parameter) for parameter in parameters}) == len(parameters)
    return unshared and all(_is_known(module) for module in model.modules())


def _is_known(module: nn.Module) -> bool:
    kind = type(module)
    if kind is nn.Embedding:
        # The others scale gradients by the batch, or leave some out.
        return {name: getattr(module, name) for name in _PLAIN_EMBEDDING} == _PLAIN_EMBEDDING
    if kind is nn.Linear or kind in _ELEMENTWISE:
        return True
    own_parameters = any(True for _ in module.parameters(recurse=False))
    return (kind in _CONTAINERS or kind.__module__.startswith(_OWN)) and not own_parameters


@dataclass(slots=True)
class _Pass:
    """What one layer saw in one forward pass."""

    layer: nn.Linear | nn.Embedding
    inputs: Tensor
    outputs: Tensor


class ClosedFormClipper:
    """Sums of clipped gradients of one model.

    Args:
        model: A module of which :func:`has_closed_form` is true; it is given hooks that cost next to nothing.
        clip_norm: L2 bound of one record's gradient, over all parameters together.
    """

    def __init__(self, model: nn.Module, clip_norm: float) -> None:
        self._model = model
        self._clip_norm = clip_norm
        self._passes: dict[int, _Pass] | None = None
        self._is_stack = isinstance(model, nn.Sequential) and all(
            type(module) is nn.Linear or type(module) in _ELEMENTWISE for module in model
        )
        self._modules = list(model.children())
        self._parameters = [id(parameter) for parameter in model.parameters()]
        if not self._is_stack:
            for layer in model.modules():
                if isinstance(layer, nn.Linear | nn.Embedding):
                    layer.register_forward_hook(self._remember)

    def clipped_sum(self, inputs: Tensor, errors_of: OutputErrors) -> Tensor:
        """Sum over the records of their gradients, each shortened to the clipping norm.

        A record with which the arithmetic is not finite has no gradient.

        Args:
            inputs: One row per record; none is a batch too.
            errors_of: Gradient of the records' losses in the model's outputs.

        Returns:
            The sum as one vector, in the order of the model's parameters, in their precision.

        Raises:
            TrainingError: ``run.unsupported-model`` if a layer sees a record more than once, or never.
        """
        passes, errors = (self._through_stack if self._is_stack else self._through_graph)(inputs, errors_of)
        squares = _squared_norms(passes[0], errors[0])
        for seen, error in zip(passes[1:], errors[1:], strict=True):
            squares += _squared_norms(seen, error)
        norms = squares.sqrt_()
        factors = torch.clamp(self._clip_norm / norms, max=1.0)
        if not math.isfinite(norms.sum().item()):
            factors = _forget(norms.isfinite(), passes, errors, factors)
        of_parameter: dict[int, Tensor] = {}
        for seen, error in zip(passes, errors, strict=True):
            of_parameter |= _gradients(seen, error.mul_(_like(factors, error)))
        try:
            return torch.cat([of_parameter[each].reshape(-1) for each in self._parameters])
        except KeyError:
            raise TrainingError("run.unsupported-model", "a layer sees no record") from None

    def _through_stack(self, inputs: Tensor, errors_of: OutputErrors) -> tuple[list[_Pass], list[Tensor]]:
        """Forward through the stack, and back to every linear layer's output."""
        passes, errors = [], []
        with torch.no_grad():
            values = [inputs]
            for module in self._modules:
                values.append(_forward(module, values[-1], inputs))
            error = errors_of(values[-1]).clone()  # each is scaled in its place
            for number in reversed(range(len(self._modules))):
                module, before, after = self._modules[number], values[number], values[number + 1]
                if isinstance(module, nn.Linear):
                    passes.append(_Pass(module, before, after))
                    errors.append(error)
                    error = error @ module.weight if before is not inputs else error
                else:
                    error = _ELEMENTWISE[type(module)][1](error, after)
        return passes, errors

    def _through_graph(self, inputs: Tensor, errors_of: OutputErrors) -> tuple[list[_Pass], list[Tensor]]:
        """The same for layers in any arrangement, by torch's own differentiation."""
        self._passes = {}
        try:
            outputs = self._model(inputs)
            passes = list(self._passes.values())
        finally:
            self._passes = None
        errors = torch.autograd.grad(
            outputs, [seen.outputs for seen in passes], grad_outputs=errors_of(outputs.detach())
        )
        # Layers whose outputs are only added share one tensor, and each error is scaled in its place.
        return passes, [error.clone() for error in errors]

    def _remember(self, layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        if self._passes is None or not isinstance(layer, nn.Linear | nn.Embedding):
            return
        if id(layer) in self._passes or (isinstance(layer, nn.Linear) and outputs.dim() != _ROWS_AND_COLUMNS):
            raise TrainingError("run.unsupported-model", "a layer sees a record more than once")
        self._passes[id(layer)] = _Pass(layer, inputs[0].detach(), outputs)


def _forward(module: nn.Module, values: Tensor, inputs: Tensor) -> Tensor:
    """One module of a stack; nobody needs the values before an element-wise function but for the inputs'."""
    if isinstance(module, nn.Linear):
        outputs: Tensor = module(values)
        return outputs
    return _ELEMENTWISE[type(module)][0](values.clone() if values is inputs else values)


def _forget(finite: Tensor, passes: list[_Pass], errors: list[Tensor], factors: Tensor) -> Tensor:
    """Takes the other records out of what is summed, and gives the factors of those that stay.

    A factor of 0 would not do: 0 times infinity is no number.
    """
    for position, error in enumerate(errors):
        errors[position] = torch.where(_like(finite, error), error, 0.0)
    for seen in passes:
        if seen.inputs.is_floating_point():
            seen.inputs = torch.where(_like(finite, seen.inputs), seen.inputs, 0.0)
    return torch.where(finite, factors, 0.0)


def _like(per_record: Tensor, error: Tensor) -> Tensor:
    """One number per record, beside every number of its error."""
    return per_record.reshape(-1, *(1,) * (error.dim() - 1))


def _squared_norms(seen: _Pass, error: Tensor) -> Tensor:
    """Squared norm of each record's gradient in one layer."""
    if isinstance(seen.layer, nn.Linear):
        inputs = torch.linalg.vector_norm(seen.inputs, dim=1).square_()
        errors = torch.linalg.vector_norm(error, dim=1).square_()
        squares: Tensor = errors.addcmul_(errors, inputs) if _has_bias(seen.layer) else errors.mul_(inputs)
        return squares
    if seen.inputs.dim() == 1:
        of_word: Tensor = torch.linalg.vector_norm(error, dim=1).square_()
        return of_word
    # Words that a record has twice share a row of the table, so their errors add up before they are squared.
    same = seen.inputs[:, :, None] == seen.inputs[:, None, :]
    of_words: Tensor = torch.einsum("rie,rje,rij->r", error, error, same.to(error.dtype))
    return of_words


def _has_bias(layer: nn.Linear) -> bool:
    return isinstance(layer.bias, nn.Parameter)  # None without one, whatever torch's types say


def _gradients(seen: _Pass, error: Tensor) -> dict[int, Tensor]:
    """Sums over the records of one layer, by the identity of the parameter."""
    layer = seen.layer
    if isinstance(layer, nn.Linear):
        gradients = {id(layer.weight): error.T @ seen.inputs}
        return gradients | {id(layer.bias): error.sum(0)} if _has_bias(layer) else gradients
    table = torch.zeros_like(layer.weight)
    table.index_add_(0, seen.inputs.reshape(-1), error.reshape(-1, layer.embedding_dim))
    return {id(layer.weight): table}
