"""What a source's headers tell: frames, grid, order."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from dcm_processor_service.derived.objects.image import derive_image
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source


def enhanced(slices: int = 3, volumes: int = 2) -> Dataset:
    """An enhanced MR whose frames are stored with the time varying fastest and the slices downwards."""
    header = make_headers(shape=(5, 4, slices), SOPClassUID=EnhancedMRImageStorage, Modality="MR")[0]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(header, keyword)
    header.NumberOfFrames = slices * volumes
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.75, 0.5], 2.5
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    header.SharedFunctionalGroupsSequence = [shared]
    header.PerFrameFunctionalGroupsSequence = []
    for k in reversed(range(slices)):
        for _ in range(volumes):
            groups, position = Dataset(), Dataset()
            position.ImagePositionPatient = [0, 0, 2.5 * k]
            groups.PlanePositionSequence = [position]
            header.PerFrameFunctionalGroupsSequence.append(groups)
    return header


def test_frames_of_an_enhanced_source_are_found_in_their_groups() -> None:
    (stack,) = SourceSeries.from_headers([enhanced()]).grids
    assert stack.shape == (5, 4, 3)
    assert np.allclose(stack.affine_lps(), PLAIN)
    assert [[frame.number for frame in line] for line in stack.grid] == [[5, 3, 1], [6, 4, 2]]


def test_an_enhanced_source_gives_the_single_frame_class_and_refers_to_its_frames() -> None:
    source = SourceSeries.from_headers([enhanced()])
    made = derive_image(np.zeros((5, 4, 3, 2), np.int16), source, make_recipe())
    first = made.datasets[0]
    assert (first.SOPClassUID, first.Modality) == (MRImageStorage, "MR")
    assert [each.SourceImageSequence[0].ReferencedFrameNumber for each in made.datasets] == [5, 3, 1, 6, 4, 2]
    assert "PerFrameFunctionalGroupsSequence" not in first
    assert (first.ScanningSequence, first.SequenceVariant) == ("RM", "NONE")


def test_the_order_of_headers_does_not_matter() -> None:
    (stack,) = SourceSeries.from_headers(make_headers(volumes=2)[::-1]).grids
    assert [[frame.instance.sop_instance_uid for frame in line] for line in stack.grid] == [
        [f"1.2.3.{t}.{k}" for k in (1, 2, 3)] for t in (1, 2)
    ]


def test_a_gap_parts_a_stack_into_grids_and_a_header_given_twice_counts_once() -> None:
    headers = [header for header in make_headers(shape=(5, 4, 6)) if header.InstanceNumber != 3]
    source = SourceSeries.from_headers([*headers, headers[0]])
    assert len(source.uids) == 5
    assert sorted(grid.shape for grid in source.grids) == [(5, 4, 2), (5, 4, 3)]


def test_each_orientation_is_a_grid_of_its_own() -> None:
    turned = make_headers(shape=(5, 4, 4))
    turned[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    assert [grid.shape for grid in SourceSeries.from_headers(turned).grids] == [(5, 4, 3), (5, 4, 1)]


def test_what_lies_nowhere_has_no_grid() -> None:
    planar = make_headers()
    for header in planar:
        del header.ImagePositionPatient
    source = SourceSeries.from_headers(planar)
    assert source.grids == ()
    with pytest.raises(DerivedObjectError, match="no regular grid"):
        derive_image(np.zeros((5, 4, 3), np.int16), source, make_recipe())


def test_a_header_without_uids_is_refused() -> None:
    header = make_headers()[0]
    del header.SOPInstanceUID
    with pytest.raises(DerivedObjectError, match="no SOPInstanceUID"):
        SourceSeries.from_headers([header])


def test_further_sources_are_referred_to_as_well() -> None:
    other = make_headers(SeriesInstanceUID="1.2.3.77")
    for header in other:
        header.SOPInstanceUID += ".7"
    prior = make_headers(StudyInstanceUID="9.9", SeriesInstanceUID="9.9.1")
    for header in prior:
        header.SOPInstanceUID += ".8"
    source = SourceSeries.from_headers(make_headers(), [*other, *prior])
    first = derive_image(np.zeros((5, 4, 3), np.int16), source, make_recipe()).datasets[0]
    assert len(first.SourceImageSequence) == 7
    assert [each.SeriesInstanceUID for each in first.ReferencedSeriesSequence] == ["1.2.3.0", "1.2.3.77"]
    (study,) = first.StudiesContainingOtherReferencedInstancesSequence
    assert study.StudyInstanceUID == "9.9"


def test_series_numbers_are_the_sources_and_the_role() -> None:
    def number(source: SourceSeries, role: str) -> int:
        return int(derive_image(np.zeros((5, 4, 3), np.int16), source, make_recipe(role)).datasets[0].SeriesNumber)

    assert number(make_source(), "a") // 1000 == 4
    assert number(make_source(), "a") != number(make_source(), "b")
    assert 9000 < number(make_source(SeriesNumber=2_147_483_647), "a") < 10_000
    given = derive_image(np.zeros((5, 4, 3), np.int16), make_source(), make_recipe(series_number=12))
    assert given.datasets[0].SeriesNumber == 12


def test_several_frames_of_reference_are_none() -> None:
    headers = make_headers()
    assert SourceSeries.from_headers(headers).frame_of_reference_uid == "1.2.3.9"
    headers[1].FrameOfReferenceUID = "1.2.3.10"
    assert SourceSeries.from_headers(headers).frame_of_reference_uid == ""
    for header in headers:
        del header.FrameOfReferenceUID
    assert SourceSeries.from_headers(headers).frame_of_reference_uid == ""
