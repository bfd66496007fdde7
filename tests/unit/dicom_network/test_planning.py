from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
)

from dcm_processor_service.dicom_network.conversion.transcoding import lossless_encoders
from dcm_processor_service.dicom_network.dimse.negotiation import Agreement, ProposedContext
from dcm_processor_service.dicom_network.planning import Choice, Kind, Refusal, choose, plan
from dcm_processor_service.dicom_network.sources import Outgoing, survey
from dcm_processor_service.models import Peer, SendOptions
from tests.unit.dicom_network.instances import make_ct

CT, MR = str(CTImageStorage), str(MRImageStorage)
EXPLICIT, IMPLICIT, J2K, RLE = map(str, (ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless))
SYNTAXES = [
    str(uid)
    for uid in (
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEGBaseline8Bit,
        JPEG2000Lossless,
        RLELossless,
    )
]
kinds = st.builds(Kind, st.sampled_from([f"1.2.3.{number}" for number in range(60)]), st.sampled_from(SYNTAXES))


def agreed(*answers: tuple[str, tuple[str, ...], str]) -> dict[int, Agreement]:
    return {
        2 * number + 1: Agreement(ProposedContext(sop_class, syntaxes), accepted, "" if accepted else "no")
        for number, (sop_class, syntaxes, accepted) in enumerate(answers)
    }


@given(st.lists(kinds, max_size=300))
def test_every_kind_finds_its_own_syntax_in_one_association_of_at_most_128_contexts(found: list[Kind]) -> None:
    batches = plan(found)
    assert Counter(kind for batch in batches for kind in batch.kinds) == Counter(set(found))
    for batch in batches:
        assert 0 < len(batch.contexts) <= 128
        assert len(set(batch.contexts)) == len(batch.contexts)
        for kind in batch.kinds:
            assert ProposedContext(kind.sop_class_uid, (kind.transfer_syntax_uid,)) in batch.contexts


@given(st.lists(kinds, min_size=1, max_size=50))
def test_every_class_has_a_context_in_the_default_syntax(found: list[Kind]) -> None:
    for batch in plan(found):
        for kind in batch.kinds:
            ways = [item for item in batch.contexts if item.sop_class_uid == kind.sop_class_uid]
            assert any(IMPLICIT in way.transfer_syntax_uids for way in ways)


def test_as_few_associations_as_contexts_need() -> None:
    assert len(plan(Kind(f"1.2.{number}", EXPLICIT) for number in range(64))) == 1
    assert len(plan(Kind(f"1.2.{number}", EXPLICIT) for number in range(65))) == 2


def test_without_transcoding_a_compressed_kind_has_one_context() -> None:
    assert plan([Kind(CT, J2K)], transcode=False)[0].contexts == (ProposedContext(CT, (J2K,)),)


def test_an_instance_is_sent_as_it_is_if_the_peer_accepts_its_syntax() -> None:
    answers = agreed((CT, (IMPLICIT,), IMPLICIT), (CT, (EXPLICIT,), EXPLICIT))
    assert choose(Kind(CT, EXPLICIT), answers) == Choice(3, EXPLICIT)


def test_contexts_of_another_class_do_not_count() -> None:
    assert isinstance(choose(Kind(CT, EXPLICIT), agreed((MR, (EXPLICIT,), EXPLICIT))), Refusal)


def test_a_refused_compression_goes_uncompressed() -> None:
    answers = agreed((CT, (J2K,), ""), (CT, (EXPLICIT, IMPLICIT), IMPLICIT))
    assert choose(Kind(CT, J2K), answers) == Choice(3, IMPLICIT)
    assert isinstance(choose(Kind(CT, J2K), answers, transcode=False), Refusal)


def test_an_uncompressed_instance_converts_even_without_transcoding() -> None:
    answers = agreed((CT, (EXPLICIT,), ""), (CT, (IMPLICIT,), IMPLICIT))
    assert choose(Kind(CT, EXPLICIT), answers, transcode=False) == Choice(3, IMPLICIT)


def test_a_kind_whose_contexts_are_refused_is_compressed_without_loss() -> None:
    refused = choose(Kind(CT, EXPLICIT), agreed((CT, (EXPLICIT,), ""), (CT, (IMPLICIT,), "")))
    assert refused == Refusal("no", recompress=True)
    again = Kind(CT, EXPLICIT, recompress=True)
    assert choose(again, agreed((CT, (RLE,), RLE))) == Choice(1, RLE)
    assert choose(again, agreed((CT, (RLE,), ""))) == Refusal("no", recompress=False)


@pytest.mark.parametrize("kind", [Kind(CT, EXPLICIT), Kind(CT, EXPLICIT, recompress=True)])
def test_a_refused_class_is_not_tried_in_another_syntax(kind: Kind) -> None:
    answer = Agreement(
        ProposedContext(CT, (EXPLICIT,)), "", "the peer does not accept this SOP class", class_refused=True
    )
    refusal = choose(kind, {1: answer})
    assert refusal == Refusal("the peer does not accept this SOP class", recompress=False)


def preferring(peer_syntax: str | None, own: str, *, transcode: bool = True) -> str:
    dataset = make_ct(transfer_syntax_uid=EXPLICIT)
    (instance,) = survey(dataset)
    assert isinstance(instance, Outgoing)
    instance = replace(instance, transfer_syntax_uid=own)
    peer = Peer(name="P", ae_title="P", host="h", port=104, transfer_syntax_uid=peer_syntax)
    kind = Kind.of(instance, peer, SendOptions(transcode=transcode))
    assert (kind.sop_class_uid, kind.transfer_syntax_uid, kind.recompress) == (CT, own, False)
    assert kind.without_preference() == Kind(CT, own)
    return kind.preferred


def test_what_a_peer_prefers_counts_where_it_can_be_had_without_a_second_compression() -> None:
    assert preferring(None, EXPLICIT) == ""
    assert preferring(RLE, EXPLICIT) == RLE
    assert preferring(EXPLICIT, EXPLICIT) == ""
    assert preferring(EXPLICIT, J2K) == EXPLICIT
    assert preferring(IMPLICIT, EXPLICIT) == IMPLICIT
    assert preferring(RLE, J2K) == ""
    assert preferring(RLE, EXPLICIT, transcode=False) == ""


def test_the_preferred_syntax_is_proposed_first_and_goes_before_the_own_one() -> None:
    kind = Kind(CT, EXPLICIT, preferred=RLE)
    (batch,) = plan([kind])
    assert [item.transfer_syntax_uids for item in batch.contexts] == [(RLE,), (EXPLICIT,), (IMPLICIT,)]
    assert choose(kind, agreed((CT, (RLE,), RLE), (CT, (EXPLICIT,), EXPLICIT))) == Choice(1, RLE)
    assert choose(kind, agreed((CT, (RLE,), ""), (CT, (EXPLICIT,), EXPLICIT))) == Choice(3, EXPLICIT)


def test_what_is_to_be_compressed_is_proposed_in_lossless_compressions_alone() -> None:
    (batch,) = plan([Kind(CT, EXPLICIT, recompress=True)])
    assert [item.transfer_syntax_uids for item in batch.contexts] == [(syntax,) for syntax in lossless_encoders()]
    assert RLE in lossless_encoders()


def test_both_default_syntaxes_share_the_context_that_is_left_of_them() -> None:
    (compressed,) = plan([Kind(CT, J2K)])
    assert [item.transfer_syntax_uids for item in compressed.contexts] == [(J2K,), (EXPLICIT, IMPLICIT)]
    (both,) = plan([Kind(CT, EXPLICIT), Kind(CT, IMPLICIT), Kind(CT, EXPLICIT)])
    assert [item.transfer_syntax_uids for item in both.contexts] == [(EXPLICIT,), (IMPLICIT,)]
    assert both.kinds == [Kind(CT, EXPLICIT), Kind(CT, IMPLICIT)]
    (plain,) = plan([Kind(CT, EXPLICIT)], transcode=False)
    assert [item.transfer_syntax_uids for item in plain.contexts] == [(EXPLICIT,), (IMPLICIT,)]


@given(st.lists(kinds, min_size=1, max_size=12), st.integers(2, 20))
def test_a_smaller_association_holds_no_more_contexts_than_asked_for(several: list[Kind], most: int) -> None:
    found = list(dict.fromkeys(several))
    batches = plan(found, most_contexts=most)
    assert [kind for batch in batches for kind in batch.kinds if kind not in found] == []
    assert Counter(kind for batch in batches for kind in batch.kinds) == Counter(found)
    for batch in batches:
        assert len(batch.contexts) <= most or len(batch.kinds) == 1


def test_a_later_kind_fills_the_room_of_an_earlier_association() -> None:
    several = [Kind("1.2.1", EXPLICIT), Kind("1.2.2", J2K), Kind("1.2.3", EXPLICIT), Kind("1.2.1", IMPLICIT)]
    batches = plan(several, most_contexts=4)
    assert [[kind.sop_class_uid for kind in batch.kinds] for batch in batches] == [
        ["1.2.1", "1.2.2", "1.2.1"],
        ["1.2.3"],
    ]


def test_of_several_reasons_each_is_told_once_and_without_any_there_is_one() -> None:
    answers = {
        number: Agreement(ProposedContext(CT, (EXPLICIT,)), "", reason)
        for number, reason in ((1, "no"), (3, "never"), (5, "no"))
    }
    assert choose(Kind(CT, EXPLICIT), answers) == Refusal("no; never", recompress=True)
    assert choose(Kind(CT, EXPLICIT), answers, transcode=False) == Refusal("no; never", recompress=False)
    nothing = choose(Kind(CT, J2K), agreed((CT, (RLE,), RLE)), transcode=False)
    assert nothing == Refusal("the peer accepted no transfer syntax in which it can be sent", recompress=False)


def test_what_the_peer_takes_uncompressed_is_chosen_explicit_first() -> None:
    answers = agreed((CT, (IMPLICIT,), IMPLICIT), (CT, (EXPLICIT,), EXPLICIT))
    assert choose(Kind(CT, J2K), answers) == Choice(3, EXPLICIT)
    big = str(ExplicitVRBigEndian)
    assert choose(Kind(CT, J2K), agreed((CT, (big,), big))) == Choice(1, big)
