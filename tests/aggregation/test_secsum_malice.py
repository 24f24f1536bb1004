"""A coordinator that lies is refused, with a code and the name of whom it lied about, and learns nothing."""

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement

import pytest
from tests.aggregation.secure_sums import (
    QUESTION,
    Federation,
    certified,
    edited,
    prepared,
    refused,
    staged,
    zeros,
)

from hanse.aggregation import SumTerms
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.crypto import SigningKey
from hanse.errors import HanseError, PolicyError

# Opening


@pytest.mark.parametrize(
    ("roster", "named"),
    [
        (["m0", "m1", "m2", "m3"], "m4"),
        (["m0", "m1", "m2", "m3", "m4", "m5"], ""),
        (["m0", "m1", "m2", "m3", "x"], "m4"),
        (["m1", "m0", "m2", "m3", "m4"], ""),
        (["m0", "m1", "m2", "m3", "m4", "m4"], ""),
    ],
)
def test_another_member_set_is_refused(roster: list[str], named: str) -> None:
    federation = Federation(5)
    opening = edited(federation.terms().opening(), pb.SumOpening, lambda m: m.ClearField("roster"))
    opening = edited(opening, pb.SumOpening, lambda m: m.roster.extend(roster))
    with refused("sum.roster", named):
        federation.member("m0").open(opening)


def test_who_was_said_to_have_left_may_be_missing_and_nobody_else() -> None:
    federation = Federation(5)
    whole = federation.terms()
    rest = {name: key for name, key in whole.roster.items() if name != "m4"}
    smaller = SumTerms(whole.agreement_digest, whole.run, 1, whole.purpose, rest, 3, 1)
    federation.member("m0", left=["m4"]).open(smaller.opening())
    with refused("sum.roster", "m4"):
        federation.member("m1").open(smaller.opening())
    with refused("sum.roster", "m4"):
        federation.member("m2", left=["m4"]).open(whole.opening())


def test_two_party_sums_are_refused() -> None:
    pair, federation = Federation(2), Federation(3)
    opening = pb.SumOpening(
        agreement_digest=pair.agreement, run=pair.run, epoch=1, purpose="marketing", roster=["m0", "m1"]
    )
    opening.minimum, opening.sums = 3, 1
    with refused("sum.too-few"):
        pair.member("m0").open(opening.SerializeToString())
    with refused("sum.too-few"):
        federation.member("m0", left=["m2"]).open(opening.SerializeToString())
    with pytest.raises(PolicyError, match=r"sum\.too-few"):
        pair.terms()


@pytest.mark.parametrize("minimum", [0, 2, 4])
def test_another_minimum_is_refused(minimum: int) -> None:
    federation = Federation(5)
    opening = edited(federation.terms().opening(), pb.SumOpening, lambda m: setattr(m, "minimum", minimum))
    with refused("sum.too-few"):
        federation.member("m0").open(opening)


@pytest.mark.parametrize("field", ["agreement_digest", "run", "purpose"])
def test_another_agreement_run_or_purpose_is_refused(field: str) -> None:
    federation = Federation(3)
    opening = edited(federation.terms().opening(), pb.SumOpening, lambda m: setattr(m, field, "other"))
    with refused("sum.foreign"):
        federation.member("m0").open(opening)


def test_an_epoch_is_opened_once() -> None:
    federation = Federation(3)
    opening = federation.terms(epoch=2).opening()
    member = federation.member("m0")
    member.open(opening)
    with refused("protocol.unexpected-step"):
        member.open(opening)
    with refused("sum.repeated", "epoch 2"):
        federation.member("m0").open(opening)
    with refused("sum.repeated", "epoch 1"):
        federation.member("m0").open(federation.terms(epoch=1).opening())


@pytest.mark.parametrize(("field", "value"), [("sums", 0), ("sums", 5000), ("epoch", 0)])
def test_numbers_out_of_range_are_refused(field: str, value: int) -> None:
    federation = Federation(3)
    opening = edited(federation.terms().opening(), pb.SumOpening, lambda m: setattr(m, field, value))
    with pytest.raises(HanseError):
        federation.member("m0").open(opening)


def test_a_member_without_the_key_of_the_agreement_does_not_start() -> None:
    federation = Federation(3)
    federation.keys["m0"] = SigningKey.generate("m0")
    agreed = Federation(3).agreed()
    with refused("identity.bad-key", "m0"):
        type(federation.member("m1"))(agreed, federation.keys["m0"], "m0", federation.histories["m0"], bytes)


# Keys


def test_keys_that_a_member_has_not_signed_are_refused() -> None:
    """The coordinator puts its own key in the place of a peer's, to read the shares and the masks."""
    for field in ("channel_key", "mask_keys", "seed_digests"):
        stage = staged(Federation(4))
        shown = stage.advertise()

        def swap(message: pb.SumAdvertisements, field: str = field) -> None:
            setattr(message.members[2], field, bytes(len(getattr(message.members[2], field))))

        with refused("identity.bad-signature", "m2"):
            stage.members["m0"].advertised(edited(shown["m0"], pb.SumAdvertisements, swap))
        stage.members["m0"].advertised(shown["m0"])


def test_a_members_own_keys_cannot_be_changed() -> None:
    stage = staged(Federation(4))
    shown = stage.advertise()
    change = edited(
        shown["m0"], pb.SumAdvertisements, lambda m: setattr(m.members[0], "signature", bytes(64))
    )
    with refused("sum.changed-keys", "m0"):
        stage.members["m0"].advertised(change)
    without = edited(shown["m0"], pb.SumAdvertisements, lambda m: m.members.__delitem__(0))
    with refused("sum.changed-keys", "m0"):
        stage.members["m0"].advertised(without)


def test_keys_are_shown_once() -> None:
    stage = staged(Federation(5))
    shown = stage.advertise()["m0"]
    stage.members["m0"].advertised(shown)
    with refused("protocol.replayed"):
        stage.members["m0"].advertised(shown)
    with refused("sum.changed-keys", "m3"):
        stage.members["m0"].advertised(
            edited(shown, pb.SumAdvertisements, lambda m: m.members.__delitem__(3))
        )


def test_keys_of_another_epoch_or_run_are_refused() -> None:
    federation, elsewhere = Federation(4), Federation(4, run="run-2")
    old = staged(federation).advertise()["m0"]
    for other in (old, staged(elsewhere).advertise()["m0"]):
        stage = staged(Federation(4), epoch=2)
        shown = stage.advertise()["m0"]
        spliced = pb.SumAdvertisements.FromString(shown)
        spliced.members[1].CopyFrom(pb.SumAdvertisements.FromString(other).members[1])
        with refused("sum.foreign", "m1"):
            stage.members["m0"].advertised(spliced.SerializeToString())


def test_a_stranger_keys_are_refused() -> None:
    stage = staged(Federation(4))
    shown = pb.SumAdvertisements.FromString(stage.advertise()["m0"])
    shown.members[3].member = "x"
    with refused("identity.unknown-signer"):
        stage.members["m0"].advertised(shown.SerializeToString())


def test_too_few_keys_are_refused() -> None:
    stage = staged(Federation(5))
    shown = stage.advertise()["m0"]
    for _ in range(2):
        shown = edited(shown, pb.SumAdvertisements, lambda m: m.members.__delitem__(4 - 1))
    with refused("sum.too-few"):
        stage.members["m0"].advertised(shown)


# Shares


def test_shares_of_another_sender_or_recipient_do_not_open() -> None:
    stage = staged(Federation(4))
    sealed = stage.share()

    def swap(message: pb.SumShares) -> None:
        message.members[0].sealed, message.members[1].sealed = (
            message.members[1].sealed,
            message.members[0].sealed,
        )

    with refused("sum.bad-share", "m1"):
        stage.members["m0"].shared(edited(sealed["m0"], pb.SumShares, swap))
    theirs = pb.SumShares.FromString(sealed["m3"]).members[1].sealed  # from m1 for m3
    with refused("sum.bad-share", "m1"):
        stage.members["m0"].shared(
            edited(sealed["m0"], pb.SumShares, lambda m: setattr(m.members[0], "sealed", theirs))
        )
    stage.members["m0"].shared(sealed["m0"])
    with refused("protocol.unexpected-step"):
        stage.members["m0"].shared(sealed["m0"])


def test_shares_of_another_epoch_are_refused() -> None:
    federation = Federation(4)
    old = staged(federation).share()["m0"]
    stage = staged(federation, epoch=2)
    new = stage.share()["m0"]
    with refused("sum.foreign"):
        stage.members["m0"].shared(old)
    spliced = pb.SumShares.FromString(new)
    spliced.members[0].CopyFrom(pb.SumShares.FromString(old).members[0])
    with refused("sum.bad-share", "m1"):
        stage.members["m0"].shared(spliced.SerializeToString())


def test_shares_of_too_few_or_of_strangers_are_refused() -> None:
    stage = staged(Federation(4))
    sealed = stage.share()["m0"]
    few = edited(
        edited(sealed, pb.SumShares, lambda m: m.members.__delitem__(0)),
        pb.SumShares,
        lambda m: m.members.__delitem__(0),
    )
    with refused("sum.too-few"):
        stage.members["m0"].shared(few)
    with refused("sum.roster"):
        stage.members["m0"].shared(
            edited(sealed, pb.SumShares, lambda m: setattr(m.members[0], "member", "x"))
        )


def test_members_who_were_shown_different_sharers_do_not_add_up() -> None:
    stage = staged(Federation(4))
    sealed = stage.share()
    stage.members["m0"].shared(edited(sealed["m0"], pb.SumShares, lambda m: m.members.__delitem__(2)))
    for name in ("m1", "m2", "m3"):
        stage.members[name].shared(sealed[name])
    state = stage.coordinator.sum(0, QUESTION, zeros())
    with refused("sum.foreign", "m0"):
        state.take_input("m0", stage.members["m0"].mask(0, QUESTION, zeros()))


# Input


def test_one_input_in_a_sum() -> None:
    stage = prepared()
    member = stage.members["m0"]
    member.mask(0, QUESTION, zeros())
    for question in (QUESTION, b"another"):
        with refused("sum.repeated"):
            member.mask(0, question, zeros())


def test_no_input_after_the_reveal() -> None:
    stage = prepared()
    state = stage.gather()
    stage.finish(state)
    with refused("sum.repeated"):
        stage.members["m0"].mask(0, b"another", zeros())


def test_a_question_is_answered_once_in_a_run() -> None:
    """Otherwise two sums over the same data, one of them without a member, tell what that member sent."""
    stage = prepared()
    stage.finish(stage.gather())
    with refused("sum.repeated", "question"):
        stage.members["m0"].mask(1, QUESTION, zeros())
    later = staged(stage.federation, epoch=2)
    later.prepare()
    with refused("sum.repeated", "question"):
        later.members["m0"].mask(0, QUESTION, zeros())
    later.finish(later.gather(question=b"another"))


def test_a_sum_that_was_not_prepared_is_refused() -> None:
    stage = prepared(sums=2)
    with refused("sum.foreign"):
        stage.members["m0"].mask(2, QUESTION, zeros())
    with refused("protocol.unexpected-step"):
        stage.federation.member("m0").mask(0, QUESTION, zeros())


def test_members_who_are_asked_different_things_do_not_add_up() -> None:
    stage = prepared()
    state = stage.coordinator.sum(0, QUESTION, zeros())
    other = stage.members["m0"].mask(0, b"another", zeros())
    with refused("sum.foreign", "m0"):
        state.take_input("m0", other)
    # A coordinator that does not mind gets noise instead of a total of zeros.
    state.take_input("m0", edited(other, pb.SumInput, lambda m: setattr(m, "question", QUESTION)))
    for name in ("m1", "m2", "m3", "m4"):
        state.take_input(name, stage.members[name].mask(0, QUESTION, zeros()))
    total, _ = stage.finish(state)
    assert total.all()
    # And no certificate, if it says that somebody is missing.
    state = stage.coordinator.sum(1, QUESTION[::-1], zeros())
    masked = {name: stage.members[name].mask(1, QUESTION[::-1], zeros()) for name in ("m1", "m2", "m3")}
    masked["m0"] = stage.members["m0"].mask(1, b"something else", zeros())
    for name, data in masked.items():
        changed = edited(data, pb.SumInput, lambda m: setattr(m, "question", QUESTION[::-1]))
        state.take_input(name, changed)
    lists = state.close_inputs()
    for name, message in lists.items():
        state.take_confirmation(name, stage.members[name].survivors(message))
    with refused("sum.too-few", "m0"):
        stage.members["m1"].reveal(state.certify()["m1"])


# Survivors


@pytest.mark.parametrize(
    ("survivors", "code", "named"),
    [
        (["m0", "m1", "m2"], "sum.too-few", ""),
        (["m0", "m1"], "sum.too-few", ""),
        (["m1", "m2", "m3", "m4"], "sum.roster", "m0"),
        (["m0", "m1", "m2", "x"], "sum.roster", "m3"),
        (["m1", "m0", "m2", "m3"], "sum.roster", ""),
        (["m0", "m1", "m2", "m2", "m3"], "sum.roster", ""),
        ([], "sum.too-few", ""),
    ],
)
def test_impossible_survivors_are_refused(survivors: list[str], code: str, named: str) -> None:
    stage = prepared()
    message = pb.SumSurvivors.FromString(stage.gather(silent=["m4"]).close_inputs()["m0"])
    del message.members[:]
    message.members.extend(survivors)
    with refused(code, named):
        stage.members["m0"].survivors(message.SerializeToString())


def test_fewer_survivors_than_the_agreements_minimum_are_refused() -> None:
    stage = prepared(size=7, minimum=6)
    message = pb.SumSurvivors.FromString(stage.gather(silent=["m6"]).close_inputs()["m0"])
    message.members.remove("m5")
    with refused("sum.too-few"):
        stage.members["m0"].survivors(message.SerializeToString())


def test_one_list_of_survivors_in_a_sum() -> None:
    stage = prepared()
    data = stage.gather(silent=["m4"]).close_inputs()["m0"]
    stage.members["m0"].survivors(data)
    with refused("protocol.replayed"):
        stage.members["m0"].survivors(data)
    with refused("sum.equivocation", "m3"):
        stage.members["m0"].survivors(edited(data, pb.SumSurvivors, lambda m: m.members.remove("m3")))


def test_nothing_is_confirmed_without_an_input() -> None:
    stage = prepared()
    state = stage.coordinator.sum(0, QUESTION, zeros())
    for name in ("m1", "m2", "m3", "m4"):
        state.take_input(name, stage.members[name].mask(0, QUESTION, zeros()))
    message = pb.SumSurvivors.FromString(state.close_inputs()["m1"])
    message.members.insert(0, "m0")
    with refused("protocol.unexpected-step"):
        stage.members["m0"].survivors(message.SerializeToString())


def test_lists_and_certificates_of_another_sum_epoch_or_run_are_refused() -> None:
    stage = prepared(sums=2)
    first, second = stage.gather(0, ["m4"]), stage.gather(1, ["m4"], question=b"another")
    lists = [first.close_inputs()["m0"], second.close_inputs()["m0"]]
    others = [staged(Federation(5), 2, epoch=2), staged(Federation(5, run="run-2"), 2)]
    for other in others:
        other.prepare()
        other_list = other.gather(silent=["m4"]).close_inputs()["m0"]
        with refused("sum.foreign"):
            stage.members["m0"].survivors(other_list)
    stage.members["m0"].survivors(lists[0])
    # The list of the second sum under the number of the first, and the other way round.
    with refused("protocol.replayed"):
        stage.members["m0"].survivors(edited(lists[1], pb.SumSurvivors, lambda m: setattr(m, "sum", 0)))
    with refused("sum.foreign"):
        stage.members["m0"].survivors(edited(lists[0], pb.SumSurvivors, lambda m: setattr(m, "sum", 2)))


# Reveal


def test_both_share_kinds_of_one_peer_are_never_given() -> None:
    """A member has given its share of m4's seed; now the coordinator wants that of m4's key."""
    stage, certificates = certified()
    stage.members["m0"].reveal(certificates["m0"])
    without = edited(certificates["m0"], pb.SumCertificate, lambda m: m.survivors.members.remove("m4"))
    with refused("sum.equivocation", "m4"):
        stage.members["m0"].reveal(without)


def test_another_list_than_the_confirmed_one_is_not_opened() -> None:
    """Even if as many members as needed had confirmed it, or nobody were missing from it."""
    stage, certificates = certified(silent=("m4",))
    twin = prepared()
    other = pb.SumCertificate.FromString(twin.confirm(twin.gather(silent=["m3"]))["m0"])
    own = pb.SumCertificate.FromString(certificates["m0"])
    other.survivors.session = own.survivors.session
    with refused("sum.equivocation", "m3"):
        stage.members["m0"].reveal(other.SerializeToString())
    with refused("sum.equivocation", "m4"):
        stage.members["m0"].reveal(
            edited(certificates["m0"], pb.SumCertificate, lambda m: m.survivors.members.append("m4"))
        )
    stage.members["m0"].reveal(certificates["m0"])


def test_who_has_shown_shares_of_all_seeds_confirms_no_other_list() -> None:
    stage, certificates = certified()
    stage.members["m0"].reveal(certificates["m0"])
    survivors = pb.SumCertificate.FromString(certificates["m0"]).survivors
    with refused("protocol.replayed"):
        stage.members["m0"].survivors(survivors.SerializeToString())
    survivors.members.remove("m4")
    with refused("sum.equivocation", "m4"):
        stage.members["m0"].survivors(survivors.SerializeToString())


def test_a_reveal_is_made_once() -> None:
    stage, certificates = certified()
    stage.members["m0"].reveal(certificates["m0"])
    with refused("protocol.replayed"):
        stage.members["m0"].reveal(certificates["m0"])


def test_nothing_is_revealed_without_enough_genuine_codes() -> None:
    stage, certificates = certified(7, silent=("m6",))
    data = certificates["m0"]
    few = edited(data, pb.SumCertificate, lambda m: m.codes.__delitem__(slice(3, None)))
    with refused("sum.too-few"):
        stage.members["m0"].reveal(few)
    again = edited(few, pb.SumCertificate, lambda m: m.codes.extend([m.codes[1]] * 5))
    with refused("sum.too-few"):
        stage.members["m0"].reveal(again)

    def invent(message: pb.SumCertificate) -> None:
        message.codes[3].code = message.codes[2].code  # of another member
        message.codes[4].code = b""

    with refused("sum.too-few", "m4", "m5"):
        stage.members["m0"].reveal(edited(data, pb.SumCertificate, invent))
    to_another = pb.SumCertificate.FromString(certificates["m1"])
    del to_another.codes[0]  # that of m0
    with refused("sum.too-few", "m2, m3, m4, m5"):
        stage.members["m0"].reveal(to_another.SerializeToString())

    def stranger(message: pb.SumCertificate) -> None:
        message.codes[3].member = "x"

    with refused("sum.roster"):
        stage.members["m0"].reveal(edited(data, pb.SumCertificate, stranger))
    # One that is not genuine is one confirmation less, and there are enough without it.
    stage.members["m0"].reveal(
        edited(data, pb.SumCertificate, lambda m: setattr(m.codes[0], "code", bytes(32)))
    )


def test_codes_of_another_sum_are_not_taken() -> None:
    stage = prepared(sums=2)
    first, second = stage.gather(0, ["m4"]), stage.gather(1, ["m4"], question=b"another")
    data, other = (stage.confirm(state)["m0"] for state in (first, second))
    spliced = pb.SumCertificate.FromString(data)
    spliced.codes[0].CopyFrom(pb.SumCertificate.FromString(other).codes[0])
    with refused("sum.too-few", "m1"):
        stage.members["m0"].reveal(spliced.SerializeToString())


def test_codes_need_a_channel_key_of_the_pair() -> None:
    """A second epoch with the same members and identity keys: the same list, other codes."""
    stage, certificates = certified(silent=("m4",))
    twin = prepared()
    theirs = pb.SumCertificate.FromString(twin.confirm(twin.gather(silent=["m4"]))["m0"]).codes
    own = pb.SumCertificate.FromString(certificates["m0"]).survivors
    with refused("sum.too-few", "m1", "m2", "m3"):
        stage.members["m0"].reveal(pb.SumCertificate(survivors=own, codes=theirs).SerializeToString())


def test_nothing_is_revealed_before_a_list_was_confirmed() -> None:
    stage, certificates = certified(silent=("m4",))
    with refused("protocol.unexpected-step"):
        stage.members["m4"].reveal(certificates["m0"])


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7])
def test_two_lists_cannot_both_be_certified(size: int) -> None:
    """However the coordinator divides the members, one word each is not enough for two certificates."""
    threshold = Federation(size).terms().threshold
    colluding = 2 * threshold - size - 1
    assert 3 * (colluding + 1) > size
    assert all(
        min(honest, size - colluding - honest) + colluding < threshold
        for honest in range(size - colluding + 1)
    )


def test_lists_for_two_camps_open_nothing() -> None:
    """Half are told that nobody is missing, and show their shares; the others that one is."""
    stage = prepared(size=6)
    state = stage.gather()
    state.close_inputs()
    complete = state.certify()["m0"]
    without = pb.SumCertificate.FromString(complete).survivors
    without.members.remove("m5")
    for name in ("m3", "m4", "m5"):
        state.take_reveal(name, stage.members[name].reveal(complete))
    camp = ("m0", "m1", "m2")
    codes = {
        name: pb.SumConfirmation.FromString(stage.members[name].survivors(without.SerializeToString())).codes
        for name in camp
    }
    for name in camp:
        given = [
            pb.SumCode(member=peer, code=code_for(name, codes[peer], peer)) for peer in camp if peer != name
        ]
        with refused("sum.too-few"):
            stage.members[name].reveal(pb.SumCertificate(survivors=without, codes=given).SerializeToString())
        with refused("sum.equivocation", "m5"):
            stage.members[name].reveal(complete)
    for name in ("m3", "m4"):
        with refused("sum.equivocation", "m5"):
            stage.members[name].survivors(without.SerializeToString())
    with refused("run.insufficient-members"):
        state.total()


def code_for(recipient: str, codes: bytes, sender: str) -> bytes:
    """The code for one of m0 to m4 among those that a sender has made for the others."""
    place = [name for name in ("m0", "m1", "m2", "m3", "m4") if name != sender].index(recipient)
    return codes[32 * place : 32 * (place + 1)]


def opened(terms: SumTerms, colluding: int, told: Sequence[frozenset[int]]) -> tuple[set[int], set[int]]:
    """Whose seeds and whose mask keys a coordinator gets that tells each honest member another list.

    A member shows shares under the complete list at once, and under another if enough have confirmed it.
    """
    threshold, complete = terms.threshold, frozenset(range(len(terms.roster)))
    reveals = [each for each in told if each == complete or told.count(each) + colluding >= threshold]
    seeds = {peer for peer in complete if colluding + sum(peer in each for each in reveals) >= threshold}
    keys = {peer for peer in complete if colluding + sum(peer not in each for each in reveals) >= threshold}
    return seeds, keys


@pytest.mark.parametrize(("size", "cases"), [(3, 3), (4, 105), (5, 434), (6, 1680)])
def test_whatever_the_members_are_told_one_list_is_opened(size: int, cases: int) -> None:
    """All choices of possible lists, for every number of colluding members that the promise allows."""
    terms = Federation(size).terms()
    lists = [
        frozenset(chosen)
        for count in range(terms.required, size + 1)
        for chosen in combinations(range(size), count)
    ]
    count = 0
    for colluding in range(min(2 * terms.threshold - size, size)):
        for told in combinations_with_replacement(lists, size - colluding):
            count += 1
            seeds, keys = opened(terms, colluding, told)
            assert not seeds & keys
            assert seeds | keys != set(range(size)) or seeds in told
    assert count == cases
    one_more = 2 * terms.threshold - size
    if one_more < size:
        camps = combinations_with_replacement(lists, size - one_more)
        assert any(set.intersection(*opened(terms, one_more, told)) for told in camps)
