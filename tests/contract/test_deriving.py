"""Results become DICOM objects from a session, in every store; a retry makes the same ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.models import Instance, Job, SeriesRecord
from dcm_processor_service.models.derived import StudyIdentity
from dcm_processor_service.testing import synthetic_series
from tests.contract.worlds import SESSION_ID

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.session.images.series_async import AsyncDicomSeries
    from dcm_processor_service.session.session import AsyncSession
    from tests.contract.worlds import World


async def opened(world: World) -> tuple[AsyncSession, AsyncDicomSeries]:
    datasets = synthetic_series(slices=4, rows=6, columns=5)
    instances = [Instance(id=f"{n:024x}", sop_instance_uid=ds.SOPInstanceUID) for n, ds in enumerate(datasets, 1)]
    series = SeriesRecord(id="51" * 12, instance_ids=tuple(instance.id for instance in instances))
    world.seed.subject(series)
    for instance, dataset in zip(instances, datasets, strict=True):
        content = io.BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        world.seed.instance(series.id, instance, content.getvalue())
    world.seed.job(Job(id="10" * 12, session_id=SESSION_ID, name="j", subject=series))
    session = world.session("10" * 12, service_name="halver", service_version="1.2")
    return session, await session.dicom.get_series()


async def test_a_volume_an_image_and_an_array_make_the_same_series(world: World) -> None:
    session, series = await opened(world)
    volume = await series.volume()
    half = (volume.array // 2).astype(np.int16)
    derive = session.dicom.derive
    from_volume = await derive(volume.like(half), like=series, role="half")
    from_array = await derive(half, like=series, role="half")
    image = nibabel.Nifti1Image(half, volume.affine("RAS"))
    from_image = await derive(image, like=series, role="half")
    for made in (from_volume, from_array, from_image):
        assert [dataset.SOPInstanceUID for dataset in made] == [dataset.SOPInstanceUID for dataset in from_volume]
        assert [dataset.PixelData for dataset in made] == [dataset.PixelData for dataset in from_volume]
        assert made[0].ContributingEquipmentSequence[0].SoftwareVersions == "1.2"
        assert await derive.validate(made[0]) == ()


async def test_every_kind_of_object_has_uids_of_its_own_and_the_same_on_a_retry(world: World, tmp_path: Path) -> None:
    session, series = await opened(world)
    derive = session.dicom.derive
    volume = await series.volume()
    mask = volume.array > volume.array.mean()

    async def make() -> list[str]:
        objects = [
            (await derive(volume, like=series, role="r"))[0],
            (await derive(volume, like=series, role="r", kind="sc"))[0],
            (await derive([np.zeros((8, 8), np.uint8)], like=series, role="r"))[0],
            await derive.segmentation({"liver": mask}, like=series, role="r"),
            await derive.segmentation({"liver": np.zeros_like(mask)}, like=series, role="empty"),
            await derive.rtstruct({"liver": mask}, like=series, role="r"),
            await derive.rtstruct(mask.astype(np.uint8), labels={1: "liver"}, like=series, role="of labels"),
            (await derive.overlay(volume, {"liver": mask}, like=series, role="r"))[0],
            (await derive.presentation({"liver": mask}, like=series, role="r"))[0],
            await derive.parametric_map(volume.array / 3, like=series, role="r", units="mm"),
            await derive.measurement_report({"liver": {"Volume": (12.5, "ml")}}, like=series, role="r"),
            await derive.text_report("nothing found", like=series, role="r"),
            await derive.pdf(b"%PDF-1.4\n%%EOF", like=series, role="r", title="Report"),
        ]
        for made in objects:
            assert await derive.validate(made) == ()
        paths = await derive.save(objects, tmp_path)
        assert len(set(paths)) == len(objects)
        return [str(made.SOPInstanceUID) for made in objects]

    first = await make()
    assert len(set(first)) == len(first)
    assert await make() == first
    assert len(list(tmp_path.glob("*.dcm"))) == len(first)


async def test_a_mask_of_a_resampled_volume_is_brought_to_the_slices_of_its_series(world: World) -> None:
    session, series = await opened(world)
    volume = await series.volume()
    fine = volume.resample(0.5, "nearest")
    mask = await series.to_source(fine.like((fine.array > volume.array.mean()).astype(np.uint8)))
    assert np.array_equal(mask.array, volume.array > volume.array.mean())
    made = await session.dicom.derive.segmentation(mask, labels={1: "liver"}, like=series)
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == volume.series_instance_uid


async def test_masks_on_different_grids_and_results_without_a_place_are_refused(world: World) -> None:
    session, series = await opened(world)
    derive = session.dicom.derive
    volume = await series.volume()
    mask = (volume.array > 0).astype(np.uint8)
    elsewhere = nibabel.Nifti1Image(mask, np.diag([2.0, 2, 2, 1]))
    with pytest.raises(TypeError, match="different grids"):
        await derive.segmentation({"liver": mask, "spleen": elsewhere}, like=series)
    with pytest.raises(DerivedObjectError):
        await derive(np.zeros((2, 2, 2), np.int16), like=series, role="r")
    with pytest.raises(DerivedObjectError):
        await derive.segmentation({"no such organ": mask}, like=series)


async def test_without_a_source_identity_and_geometry_are_given(world: World) -> None:
    session, _series = await opened(world)
    who = StudyIdentity(patient_id="P", study_instance_uid="2.25.7")
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    made = await session.dicom.derive(array, like=who, role="r", kind="ct", affine_lps=np.diag([1.0, 1, 2, 1]))
    assert len(made) == 4
    assert {dataset.StudyInstanceUID for dataset in made} == {"2.25.7"}
    with pytest.raises(DerivedObjectError):
        await session.dicom.derive(array, like=who, role="r", kind="ct")


async def test_the_recipe_sets_fields_and_an_unknown_field_is_refused(world: World) -> None:
    session, series = await opened(world)
    pdf = session.dicom.derive.pdf
    made = await pdf(b"%PDF-1.4", like=series, recipe={"series_description": "For the referrer", "series_number": 7})
    assert (made.SeriesDescription, made.SeriesNumber) == ("For the referrer", 7)
    with pytest.raises(UnsupportedValueError, match=r"no field 'series_descripton'; it has series_description"):
        await pdf(b"%PDF-1.4", like=series, recipe={"series_descripton": "x"})  # type: ignore[typeddict-unknown-key]
    for own in ({"role": "x"}, {"producer": None}, {"object_kind": "SEG"}):
        with pytest.raises(UnsupportedValueError, match="no field"):
            await pdf(b"%PDF-1.4", like=series, recipe=own)  # type: ignore[arg-type]


async def test_every_option_reaches_the_object(world: World) -> None:
    session, series = await opened(world)
    derive, volume = session.dicom.derive, await series.volume()
    source = (await series.headers())[0]
    image = (await derive(volume, like=series, role="r", kind="ct", units="US", window=(40, 400), same_frame=False))[0]
    assert (image.Modality, image.RescaleType) == ("CT", "US")
    assert (image.WindowCenter, image.WindowWidth) == (40, 400)
    assert image.FrameOfReferenceUID != source.FrameOfReferenceUID
    (frames,) = await derive(abs(volume.array), like=series, role="r", kind="sc", multi_frame=True)
    assert (frames.Modality, frames.NumberOfFrames) == ("CT", 4)
    seg = await derive.segmentation(
        {"liver": volume.array > volume.array.mean()},
        like=series,
        kind="fractional",
        algorithm_type="SEMIAUTOMATIC",
        algorithm_name="watershed",
        algorithm_family="Artificial Intelligence",
        content_label="LIVER",
    )
    (segment,) = seg.SegmentSequence
    assert (seg.SegmentationType, seg.ContentLabel) == ("FRACTIONAL", "LIVER")
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "watershed")
    made = await derive.parametric_map(
        volume.array / 7,
        like=series,
        role="r",
        units="mm2/s",
        quantity="Apparent Diffusion Coefficient",
        label="ADC",
        window=(2, 3),
        recognizable_face=True,
    )
    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert (mapping.LUTLabel, mapping.MeasurementUnitsCodeSequence[0].CodeValue) == ("ADC", "mm2/s")
    assert made.RecognizableVisualFeatures == "YES"
    document = await derive.pdf(b"%PDF-1.4", like=series, title="T", shows_identity=False, modality="OT")
    assert (document.DocumentTitle, document.BurnedInAnnotation, document.Modality) == ("T", "NO", "OT")


async def test_pages_take_no_options_of_volumes_and_volumes_none_of_pages(world: World) -> None:
    session, series = await opened(world)
    derive, page = session.dicom.derive, np.zeros((8, 8), np.uint8)
    (made,) = await derive([page, page], like=series, role="r", multi_frame=True, shows_identity=False)
    assert (made.NumberOfFrames, made.BurnedInAnnotation) == (2, "NO")
    with pytest.raises(DerivedObjectError, match="multi_frame and shows_identity only"):
        await derive([page], like=series, role="r", units="HU")
    with pytest.raises(DerivedObjectError, match="multi_frame and shows_identity only"):
        await derive([page], like=series, role="r", affine_lps=np.eye(4))
    with pytest.raises(DerivedObjectError, match="shows_identity is an option of pages"):
        await derive(await series.volume(), like=series, role="r", shows_identity=False)
