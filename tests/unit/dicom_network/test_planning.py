from __future__ import annotations

from collections import Counter

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

from dcm_processor_service.dicom_network.dimse.negotiation import Agreement, ProposedContext
from dcm_processor_service.dicom_network.planning import Choice, Kind, Refusal, choose, plan

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
def test_every_class_has_a_way_in_the_default_syntax(found: list[Kind]) -> None:
    for batch in plan(found):
        for kind in batch.kinds:
            ways = [item for item in batch.contexts if item.sop_class_uid == kind.sop_class_uid]
            assert any(IMPLICIT in way.transfer_syntax_uids for way in ways)


def test_as_few_associations_as_contexts_need() -> None:
    assert len(plan(Kind(f"1.2.{number}", EXPLICIT) for number in range(64))) == 1
    assert len(plan(Kind(f"1.2.{number}", EXPLICIT) for number in range(65))) == 2


def test_without_transcoding_a_compressed_kind_has_one_context() -> None:
    assert plan([Kind(CT, J2K)], transcode=False)[0].contexts == (ProposedContext(CT, (J2K,)),)


def test_an_instance_goes_as_it_is_where_it_may() -> None:
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


def test_nothing_uncompressed_leads_to_a_lossless_compression() -> None:
    refused = choose(Kind(CT, EXPLICIT), agreed((CT, (EXPLICIT,), ""), (CT, (IMPLICIT,), "")))
    assert refused == Refusal("no", recompress=True)
    again = Kind(CT, EXPLICIT, recompress=True)
    assert choose(again, agreed((CT, (RLE,), RLE))) == Choice(1, RLE)
    assert choose(again, agreed((CT, (RLE,), ""))) == Refusal("no", recompress=False)


@pytest.mark.parametrize("kind", [Kind(CT, EXPLICIT), Kind(CT, EXPLICIT, recompress=True)])
def test_a_refused_class_is_not_tried_in_another_syntax(kind: Kind) -> None:
    answer = Agreement(
        ProposedContext(CT, (EXPLICIT,)), "", "the peer does not take this SOP class", class_refused=True
    )
    refusal = choose(kind, {1: answer})
    assert refusal == Refusal("the peer does not take this SOP class", recompress=False)
