"""Derived objects of a session are read alike in both modes, with the images that they need."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dcm_processor_service.errors import InvalidSeriesError, SeriesNotFoundError
from dcm_processor_service.testing import fake_async_context, fake_context, synthetic_series
from tests.unit.derived.structure_sets import contour, rectangle, structure_set

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service import AsyncRuntimeContext

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SERIES = "1.2.826.0.1.3680043.8.498.1.1"


def mask() -> Any:
    found = np.zeros((16, 16, 4), bool)
    found[3:6, 4:9, 1:3] = True
    return found


def objects() -> list[Dataset]:
    """A series of images and, in this order: SEG, SR with numbers, SR with words, PDF, RTSTRUCT."""
    images = synthetic_series(slices=4)
    derive = fake_context(series=images).session.dicom.derive
    structures = structure_set(
        {"liver": [contour(AFFINE, k, rectangle(3, 4, 5, 8)) for k in (1, 2)]},
        series=(SERIES,),
        space="1.2.826.0.1.3680043.8.498.1.2",
    )
    structures.StudyInstanceUID = images[0].StudyInstanceUID
    structures.PatientID, structures.PatientName = "SYNTHETIC", "Synthetic^Series"
    return [
        *images,
        derive.segmentation({"liver": mask()}, like=images),
        derive.measurement_report({"liver": {"Volume": (1.5, "ml")}}, like=images),
        derive.text_report("No nodules.", like=images),
        derive.pdf(b"%PDF-1.4 x", like=images),
        structures,
    ]


async def asynchronously(ctx: AsyncRuntimeContext) -> list[Any]:
    ct, seg, numbers, words, pdf, structures = await ctx.session.dicom.series()
    volume = await ct.volume()
    segments = [
        *(await seg.segments()),
        *(await seg.segments(ct)),
        *(await structures.segments()),
        *(await structures.segments(volume)),
    ]
    return [segments, await numbers.measurements(), await words.text(), await pdf.documents()]


def test_blocking_and_async_read_the_same() -> None:
    ct, seg, numbers, words, pdf, structures = fake_context(series=objects()).session.dicom.series()
    segments = [*seg.segments(), *seg.segments(ct), *structures.segments(), *structures.segments(ct.volume())]
    others = asyncio.run(asynchronously(fake_async_context(series=objects())))
    assert others == [segments, numbers.measurements(), words.text(), pdf.documents()]
    own, *rest = segments
    assert own.mask().shape == (16, 16, 2)
    for segment in rest:
        assert np.array_equal(segment.mask().array, mask())


def test_a_volume_of_the_images_keeps_its_slices_sources_in_a_mask() -> None:
    ct, seg, *_others = fake_context(series=objects()).session.dicom.series()
    volume = ct.volume()
    for like in (ct, volume):
        (liver,) = seg.segments(like)
        assert liver.mask().sources == volume.sources
        assert (liver.mask().name, liver.mask().modality) == ("liver", "SEG")


def test_images_that_are_gone_are_named() -> None:
    structures = fake_context(series=objects()[-1:]).session.dicom.get_series()
    with pytest.raises(SeriesNotFoundError, match=f"drawn on the series {SERIES}, which is not stored"):
        structures.segments()


def test_a_series_of_images_has_no_segments() -> None:
    ct = fake_context(series=synthetic_series(slices=2)).session.dicom.get_series()
    with pytest.raises(InvalidSeriesError, match="holds no segments, its kind is image"):
        ct.segments()
