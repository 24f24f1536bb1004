"""A network in halves: bottoms at the parties, the top at the label holder, a channel to each feature holder.

* :mod:`hanse.learning.vertical.split.settings`: what a run does; a defence of the labels is part of it.
* :mod:`hanse.learning.vertical.split.inputs`: a party's own columns as numbers.
* :mod:`hanse.learning.vertical.labels`: randomised response.
* :mod:`hanse.learning.vertical.split.label_holder`, :mod:`hanse.learning.vertical.split.feature_holder`: the
  two parts.
* :mod:`hanse.learning.vertical.split.joint`: the passes that they make together.
* :mod:`hanse.learning.vertical.split.greeting`, :mod:`hanse.learning.vertical.split.coin`,
  :mod:`hanse.learning.vertical.messages`: how they talk.
* :mod:`hanse.learning.vertical.split.networks`, :mod:`hanse.learning.vertical.split.checkpoints`: the halves,
  and where a run goes on.
* :mod:`hanse.learning.vertical.split.parts`, :mod:`hanse.learning.vertical.split.description`,
  :mod:`hanse.learning.vertical.split.states`: what is kept of a half.

Importing this package loads no torch.
"""
