"""What the kinds that hold out the same people share: who these are, and a model of own columns."""

import numpy as np

from hanse.client.vertical.kinds.kind import Site
from hanse.client.vertical.records import CommonRows
from hanse.learning.vertical.own_model import OwnModel
from hanse.learning.vertical.runs.terms import last_of_order, own_binning


def hold_out_last(site: Site, rows: CommonRows) -> CommonRows:
    """Marks the last of the common order, which all members know, as held out."""
    return rows.holding_out(last_of_order(rows.rows, site.agreement.training.holdout_fraction))


def fit_own(site: Site, rows: CommonRows) -> OwnModel:
    """The label holder's model of its own columns, of those who are not held out."""
    taught = rows.of(~rows.held_out)
    binning = own_binning(site.columns, taught.columns)
    targets = taught.labels.astype(np.float64)
    return OwnModel.fit(binning, taught.columns, targets, site.vertical.minimum_bin_rows)
