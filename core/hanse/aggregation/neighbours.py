"""Who shares masks with whom: every member with as many others as the promise needs, not with all.

The sharers of an epoch, in order, stand in a circle. Each shares a mask with the nearest on both sides, and
if k is odd with the one opposite: Harary's graph, of which any k - 1 members can be taken away and the others
still hang together, and which has as few pairs as that allows (F. Harary, "The maximum connectivity of a
graph", PNAS 48, 1962). That masks between some pairs are enough as long as the honest survivors hang together
is from Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", CCS 2020. They draw
the pairs by chance, for thousands of members; this is certain. How many: :mod:`hanse.aggregation`.
"""

from collections.abc import Sequence


def neighbours(sharers: Sequence[str], apart: int) -> dict[str, tuple[str, ...]]:
    """With whom each member shares masks.

    Args:
        sharers: Of the epoch, sorted.
        apart: How many members must have to be taken away before two others share no mask, not even by way
            of further ones. With all others, if there are no more than that.

    Returns:
        By member, sorted; whoever is with one, that one is with them.
    """
    count = len(sharers)
    if apart >= count - 1:
        return {member: (*sharers[:place], *sharers[place + 1 :]) for place, member in enumerate(sharers)}
    # Of an odd number of members nobody stands opposite: one more, then.
    near = (apart + count % 2) // 2
    steps = {*range(1, near + 1), *range(count - near, count)}
    if 2 * near < apart:
        steps.add(count // 2)
    return {
        member: tuple(sorted(sharers[(place + step) % count] for step in steps))
        for place, member in enumerate(sharers)
    }
