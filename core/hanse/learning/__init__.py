"""Training, aggregation and use of models on tabular data, in pure functions; nothing here knows a network.

Importing this package loads no torch: a scorer needs only what is named below. Training is in
:mod:`hanse.learning.training`.

* :mod:`hanse.learning.transform`: rows to one-hot features over public cells.
* :mod:`hanse.learning.shapes`, :mod:`hanse.learning.models`: the models, in numpy and in torch.
* :mod:`hanse.learning.training`, :mod:`hanse.learning.dpsgd`: a member's part of a run.
* :mod:`hanse.learning.private`, :mod:`hanse.learning.private_gradients`: DP-SGD over members through sums;
  noise for any other sum.
* :mod:`hanse.learning.shared_run`: the private run over members that an agreement stands for.
* :mod:`hanse.learning.clipping`, :mod:`hanse.learning.ghost`: sums of clipped per-record gradients.
* :mod:`hanse.learning.grid_noise`, :mod:`hanse.learning.integer_noise`: noise for a ring, in shares.
* :mod:`hanse.learning.boosting`: boosted trees over members, and from sums of any kind.
* :mod:`hanse.learning.quantiles`: quantiles of all members' values.
* :mod:`hanse.learning.aggregation`: the coordinator's part.
* :mod:`hanse.learning.metrics`: how good a model is, from exact scores or from noisy counts.
* :mod:`hanse.learning.auditing`: what a training leaks at least, and who can be recognised in it.
* :mod:`hanse.learning.robustness`: updates that would spoil a model.
* :mod:`hanse.learning.games`, :mod:`hanse.learning.settlement`: what each member adds, and is paid.
* :mod:`hanse.learning.statements`: findings about a model as documents.
* :mod:`hanse.learning.counting`: how counts become integers that add up exactly.
* :mod:`hanse.learning.contribution`: what each column contributes to a model.
* :mod:`hanse.learning.artifact`, :mod:`hanse.learning.predictor`: model folders, and scores without torch.
* :mod:`hanse.learning.recipe`: the one schedule that is recommended.
* :mod:`hanse.learning.random_source`: noise that nobody can predict.
"""

from hanse.learning.aggregation import Update, aggregate, defect
from hanse.learning.artifact import (
    LoadedModel,
    ModelManifest,
    encode_weights,
    load_model,
    make_predictor,
    open_model,
    read_manifest,
    store_model,
    write_model,
)
from hanse.learning.codec import any_from_bytes, weights_from_bytes, weights_to_bytes
from hanse.learning.contribution import ColumnContribution, contributions
from hanse.learning.metrics import (
    SCORE_EDGES,
    ScoreHistogram,
    add_gaussian_noise,
    auc_from_histogram,
    auc_standard_error,
    log_loss_from_histogram,
    roc_auc,
    score_histogram,
)
from hanse.learning.predictor import Predictor, Predicts
from hanse.learning.random_source import SecureRandom
from hanse.learning.recipe import (
    PrivateSchedule,
    Recommended,
    recommend,
    recommend_for,
    recommend_honest_shares,
    recommend_private,
    recommend_shared,
    required_members,
)
from hanse.learning.shapes import initial_weights, layer_shapes, parameter_count
from hanse.learning.transform import Transform, count_cells, n_cells, rare_below

__all__ = [
    "SCORE_EDGES",
    "ColumnContribution",
    "LoadedModel",
    "ModelManifest",
    "Predictor",
    "Predicts",
    "PrivateSchedule",
    "Recommended",
    "ScoreHistogram",
    "SecureRandom",
    "Transform",
    "Update",
    "add_gaussian_noise",
    "aggregate",
    "any_from_bytes",
    "auc_from_histogram",
    "auc_standard_error",
    "contributions",
    "count_cells",
    "defect",
    "encode_weights",
    "initial_weights",
    "layer_shapes",
    "load_model",
    "log_loss_from_histogram",
    "make_predictor",
    "n_cells",
    "open_model",
    "parameter_count",
    "rare_below",
    "read_manifest",
    "recommend",
    "recommend_for",
    "recommend_honest_shares",
    "recommend_private",
    "recommend_shared",
    "required_members",
    "roc_auc",
    "score_histogram",
    "store_model",
    "weights_from_bytes",
    "weights_to_bytes",
    "write_model",
]
