"""Marks that tell frames apart, and the rescaling of stored values; with datasets and arrays made in memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedMRImageStorage, ParametricMapStorage

from dcm_processor_service.imaging.frames.frame import FrameInfo, frame_of_reference_uid, frames_of, mark, marks
from dcm_processor_service.imaging.frames.modality_lut import ModalityLut, modality_lut
from dcm_processor_service.imaging.frames.palette import palette_of
from dcm_processor_service.imaging.frames.pixel_format import (
    PixelFormat,
    in_place_rescaled,
    narrowest,
    predicted_type,
    smallest_exact,
)
from dcm_processor_service.imaging.frames.units import unit_of
from dcm_processor_service.imaging.frames.vendor import b_values, mosaic_count
from dcm_processor_service.imaging.headers.instance_file import read_instance
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile


def dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def stored(bits: int = 16, *, signed: bool | None = False, allocated: int = 16, float_bits: int = 0) -> PixelFormat:
    return PixelFormat(4, 5, allocated, bits, bits - 1, signed, 1, float_bits)


def frame(*places: Dataset, number: int = 1) -> FrameInfo:
    instance = cast("InstanceFile", SimpleNamespace(header=places[-1]))
    return FrameInfo(instance, number, places, stored(), None, None, None, 1.0, 0.0)


def within(macro: str, **values: Any) -> Dataset:
    return dataset(**{macro: [dataset(**values)]})


# ---- marks ----


@pytest.mark.parametrize(
    ("name", "macro", "inner", "values"),
    [
        ("EchoTime", "MREchoSequence", "EffectiveEchoTime", (0.0, 20.0, 30.0)),
        ("FlipAngle", "MRTimingAndRelatedParametersSequence", "FlipAngle", (10.0, 20.0, 30.0)),
        ("StackID", "FrameContentSequence", "StackID", ("a", "b", "c")),
        ("RescaleType", "PixelValueTransformationSequence", "RescaleType", ("HU", "OD", "US")),
        ("KVP", "CTXRayDetailsSequence", "KVP", (80.0, 100.0, 120.0)),
    ],
)
def test_the_mark_comes_from_the_nearest_dataset(
    name: str, macro: str, inner: str, values: tuple[Any, Any, Any]
) -> None:
    own, shared, header = values
    groups = (within(macro, **{inner: own}), within(macro, **{inner: shared}))
    top = dataset(**{name: header})
    assert mark(frame(*groups, top), name) == own
    assert mark(frame(Dataset(), groups[1], top), name) == shared
    assert mark(frame(Dataset(), Dataset(), top), name) == header
    assert mark(frame(within(macro), Dataset(), top), name) == header
    assert mark(frame(Dataset(), Dataset()), name) is None
    assert mark(frame(dataset(**{name: ""})), name) is None


def test_times_have_their_date_in_front_and_their_zone_behind() -> None:
    day = {"AcquisitionDate": "20240301", "ContentDate": "20240302"}
    top = dataset(AcquisitionTime="120000.5", ContentTime="130000", **day)
    assert mark(frame(top), "AcquisitionTime") == "20240301120000.5"
    assert mark(frame(top), "ContentTime") == "20240302130000"
    top.TimezoneOffsetFromUTC = "-0130"
    assert mark(frame(top), "AcquisitionTime") == "20240301120000.5-0130"
    assert mark(
        frame(dataset(AcquisitionDateTime="20240303140000", TimezoneOffsetFromUTC="+0100")), "AcquisitionTime"
    ) == ("20240303140000+0100")
    own = within("FrameContentSequence", FrameAcquisitionDateTime="20240304150000")
    assert mark(frame(own, top), "AcquisitionTime") == "20240304150000-0130"
    zoned = within("FrameContentSequence", FrameAcquisitionDateTime="20240304150000+0200")
    assert mark(frame(zoned, top), "AcquisitionTime") == "20240304150000+0200"
    assert mark(frame(dataset(**day)), "AcquisitionTime") is None
    # only times have a zone
    assert mark(frame(dataset(ConvolutionKernel="B30", TimezoneOffsetFromUTC="+0100")), "ConvolutionKernel") == "B30"
    kernel = within("CTReconstructionSequence", ConvolutionKernel="B70")
    assert mark(frame(kernel, top), "ConvolutionKernel") == "B70"


def test_a_time_point_may_stand_under_another_name() -> None:
    assert mark(frame(dataset(TemporalPositionIndex=3)), "TemporalPositionIdentifier") == 3
    assert (
        mark(frame(dataset(TemporalPositionIdentifier=2, TemporalPositionIndex=3)), "TemporalPositionIdentifier") == 2
    )
    own = within("FrameContentSequence", TemporalPositionIndex=4)
    assert mark(frame(own, dataset(TemporalPositionIndex=3)), "TemporalPositionIdentifier") == 4


def test_attributes_of_the_top_level_are_read_by_their_type() -> None:
    top = dataset(
        EchoTrainLength="7",
        AcquisitionMatrix=[0, 64, 32, 0],
        ActualFrameDuration="0",
        NominalPercentageOfCardiacPhase=12.5,
        ScanningSequence=["EP", "GR"],
        Modality="MR",
        FrameReferenceTime="0",
    )
    assert mark(frame(top), "AcquisitionMatrix") == (0, 64, 32, 0)
    assert mark(frame(top), "NominalPercentageOfCardiacPhase") == (12.5,)
    assert mark(frame(top), "ScanningSequence") == ("EP", "GR")
    assert mark(frame(top), "EchoTrainLength") == ("7",)
    assert mark(frame(top), "FrameReferenceTime") == (0.0,)  # as a number it would count as absent
    assert mark(frame(top), "Modality") == "MR"
    assert [mark(frame(Dataset()), name) for name in ("Modality", "FrameReferenceTime", "AcquisitionMatrix")] == [
        None
    ] * 3


def test_the_type_of_an_image_is_that_of_its_frame_with_its_part_of_a_complex_number() -> None:
    top = dataset(ImageType=["ORIGINAL", "PRIMARY"])
    assert mark(frame(top), "ImageType") == ("ORIGINAL", "PRIMARY")
    assert mark(frame(Dataset()), "ImageType") is None
    for macro in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
        own = within(macro, FrameType=["DERIVED", "PRIMARY"], ComplexImageComponent="PHASE")
        assert mark(frame(own, top), "ImageType") == ("DERIVED", "PRIMARY", "PHASE")
        plain = within(macro, FrameType=["DERIVED", "PRIMARY"])
        assert mark(frame(Dataset(), plain, top), "ImageType") == ("DERIVED", "PRIMARY")


def test_dimensions_that_count_positions_tell_no_volumes_apart() -> None:
    pointers = (0x00209057, 0x00180081, 0x00200032, 0x00201041, 0x00209128)
    top = dataset(DimensionIndexSequence=[dataset(DimensionIndexPointer=one) for one in pointers])
    own = within("FrameContentSequence", DimensionIndexValues=[1, 2, 3, 4, 5])
    assert mark(frame(own, top), "DimensionIndexValues") == (2, 5)
    longer = within("FrameContentSequence", DimensionIndexValues=[1, 2, 3, 4, 5, 6])
    assert mark(frame(longer, top), "DimensionIndexValues") is None
    assert mark(frame(Dataset(), top), "DimensionIndexValues") is None
    assert mark(frame(top), "DimensionIndexValues") is None


def test_a_gradient_is_that_of_the_frame() -> None:
    own = within(
        "MRDiffusionSequence", DiffusionGradientDirectionSequence=[dataset(DiffusionGradientOrientation=[0, 1, 0])]
    )
    top = dataset(DiffusionGradientOrientation=[1.0, 0.0, 0.0])
    assert mark(frame(own, top), "DiffusionGradientOrientation") == (0, 1, 0)
    assert mark(frame(within("MRDiffusionSequence"), top), "DiffusionGradientOrientation") == (1, 0, 0)
    assert mark(frame(Dataset()), "DiffusionGradientOrientation") is None
    for numbers in ([0, 1], [0, 1, 0, 0]):  # a gradient without a direction
        macro = {"DiffusionGradientDirectionSequence": [dataset(DiffusionGradientOrientation=numbers)]}
        assert mark(frame(within("MRDiffusionSequence", **macro), top), "DiffusionGradientOrientation") is None
        malformed = dataset(DiffusionGradientOrientation=numbers)
        assert mark(frame(malformed), "DiffusionGradientOrientation") is None


def test_ge_numbers_the_parts_of_a_complex_image() -> None:
    top = dataset(Manufacturer="GE MEDICAL SYSTEMS")
    top.add_new(0x00430010, "LO", "GEMS_PARM_01")
    top.add_new(0x0043102F, "SS", 3)
    assert mark(frame(top), "ComplexPart") == 3
    top.Manufacturer = "Maker"
    assert mark(frame(top), "ComplexPart") is None
    assert mark(frame(dataset(Manufacturer="GE")), "ComplexPart") is None


def test_frames_of_a_file_are_numbered_in_it() -> None:
    top = dataset(InstanceNumber="7")
    assert marks([frame(top), frame(top, number=2)], "InstanceNumber") == [(7, 1), (7, 2)]
    assert mark(frame(Dataset()), "InstanceNumber") == (0, 1)


# ---- b-values ----


def test_b_values_are_those_of_every_file() -> None:
    frames = []
    for text in ("1000000800\\8\\0\\0", "500\\8\\0\\0", "[0, 8]", "many", "1000000800"):
        top = dataset(Manufacturer="GE MEDICAL SYSTEMS")
        top.add_new(0x00430010, "LO", "GEMS_PARM_01")
        top.add_new(0x00431039, "LO", text.split("\\"))
        frames.append(frame(top))
    assert b_values(frames) == (0, 500, 800)
    assert b_values(frames[:1]) == (800,)
    assert b_values([frame(dataset(DiffusionBValue=1000.0)), *frames[1:2]]) == (500, 1000)
    assert b_values([frame(Dataset())]) == ()


# ---- numbers ----

INT16, UINT16, INT32, FLOAT = (np.dtype(name) for name in ("i2", "u2", "i4", "f4"))


@pytest.mark.parametrize(
    ("pixels", "scalings", "expected"),
    [
        (stored(12), {(1.0, 0.0, None)}, UINT16),
        (stored(12, signed=True), {(1.0, 0.0, None)}, INT16),
        (stored(16), {(1.0, 0.0, None)}, UINT16),
        (stored(8, allocated=8), {(1.0, 0.0, None)}, np.dtype("u1")),
        (stored(float_bits=64), {(1.0, 0.0, None)}, FLOAT),
        (stored(float_bits=64), {(2.0, 0.0, None)}, FLOAT),
        (stored(12), {(0.5, 0.0, None)}, FLOAT),
        (stored(12), {(1.0, 0.5, None)}, FLOAT),
        (stored(12), {(1.0, -1024.0, None)}, INT16),  # values from -1024 to 3071
        (stored(12), {(1.0, 61440.0, None)}, UINT16),  # to 65535
        (stored(12), {(1.0, 61441.0, None)}, INT32),  # to 65536
        (stored(15), {(1.0, -32768.0, None)}, INT16),  # -32768 to -1
        (stored(15), {(1.0, -32769.0, None)}, INT32),
        (stored(12, signed=True), {(16.0, 0.0, None)}, INT16),  # -32768 to 32752
        (stored(12, signed=True), {(16.0, 15.0, None)}, INT16),  # to 32767
        (stored(12, signed=True), {(16.0, 16.0, None)}, INT32),
        (stored(12, signed=True), {(16.0, -1.0, None)}, INT32),
        (stored(12, signed=True), {(-16.0, 0.0, None)}, INT32),  # to 32768
        (stored(12, signed=True), {(-16.0, -1.0, None)}, INT16),  # to 32767
        (stored(16), {(1.0, -1024.0, None)}, INT16),  # a CT, which uses less than it declares
        (stored(16), {(1.0, -1024.0, None), (2.0, 0.0, None)}, INT32),
        (stored(12), {(1.0, 0.0, None), (1.0, -1.0, None)}, INT16),
        (stored(12), {(2.0**20, 0.0, None)}, FLOAT),  # beyond 32 bits
        (stored(12), {(1.0, 0.0, ModalityLut(0, np.array([5, 40000], np.uint16)))}, UINT16),
        (stored(12, signed=True), {(1.0, 0.0, ModalityLut(0, np.array([5, 9], np.uint16)))}, INT16),
        (stored(16), {(1.0, 0.0, ModalityLut(0, np.array([5, 40000], np.uint16)))}, UINT16),
    ],
)
def test_the_type_of_rescaled_values_is_known_before_they_are_read(
    pixels: PixelFormat, scalings: set[Any], expected: np.dtype[Any]
) -> None:
    assert predicted_type(pixels, scalings) == expected


def test_the_narrowest_type_holds_both_ends() -> None:
    byte = np.dtype("u1")
    ends: dict[tuple[float, float], np.dtype[Any]] = {
        (0, 255): byte,
        (-1, 255): INT16,
        (0, 256): INT16,
        (-32768, 32767): INT16,
        (0, 32768): UINT16,
        (0, 65535): UINT16,
        (-1, 32768): INT32,
        (0, 65536): INT32,
        (-(2**31), 2**31 - 1): INT32,
        (0, 2**31): FLOAT,
    }
    for (low, high), expected in ends.items():
        assert narrowest(low, high, byte) == expected
    assert narrowest(0, 2**31, np.dtype("u4")) == np.dtype("u4")
    assert narrowest(0, 9, np.dtype("f8")) == INT16


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-1024.0, 3071.0], INT16),
        ([0.0, 40000.0], UINT16),
        ([0.5, 1.0], FLOAT),
        ([np.nan, 1.0], FLOAT),
        ([np.inf], FLOAT),
        ([0.0, 1e6], INT32),
        ([0.0, 1e12], FLOAT),
        ([], UINT16),
    ],
)
def test_floats_become_integers_only_where_these_are_equal(values: list[float], expected: np.dtype[Any]) -> None:
    array = np.array(values)
    found = smallest_exact(array, UINT16)
    assert found.dtype == expected
    np.testing.assert_array_equal(found, array.astype(np.float32) if expected == FLOAT else array)
    integers = np.array([1, 2], np.int64)
    assert smallest_exact(integers, UINT16) is integers


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "i4"])
@pytest.mark.parametrize(
    ("slope", "intercept"),
    [(1, 0), (1, -1024), (-1, 0), (2, 7), (-3, 50), (1000, -1), (70000, 3), (2**40, 5), (0, 9)],
)
def test_whole_rescales_are_exact_in_whatever_type(kind: str, slope: int, intercept: int) -> None:
    info = np.iinfo(kind)
    for ends in ((info.min, info.max), (max(info.min, -100), 100)):
        values = np.array([*ends, 0, 1, 17], kind)
        wanted = [int(value) * slope + intercept for value in values.tolist()]
        found = in_place_rescaled(values.copy(), float(slope), float(intercept), ends)
        assert found.dtype == narrowest(min(wanted), max(wanted), np.dtype(kind))
        if found.dtype.kind == "f":
            np.testing.assert_allclose(found, np.array(wanted, np.float64), rtol=1e-6)
        else:
            assert found.tolist() == wanted


# ---- units ----


def test_the_unit_of_a_parametric_map_is_that_of_its_mapping() -> None:
    mapping = within(
        "RealWorldValueMappingSequence", MeasurementUnitsCodeSequence=[dataset(CodeValue="mm2/s")], LUTLabel="ADC"
    )
    top = dataset(SOPClassUID=ParametricMapStorage, Modality="MR")
    assert unit_of(frame(mapping, top)) == "mm2/s"
    assert mark(frame(mapping, top), "LUTLabel") == ("ADC", "mm2/s")
    top.SOPClassUID = EnhancedMRImageStorage  # in other objects, a mapping is only one of several meanings
    assert unit_of(frame(mapping, top)) == ""
    assert mark(frame(mapping, top), "LUTLabel") is None


@pytest.mark.parametrize(
    ("slope", "intercept", "code", "unit"),
    [
        (2.0, -8.0, "Hz", "Hz"),
        (2.0 * (1 + 5e-6), -8.0 * (1 - 5e-6), "Hz", "Hz"),  # decimal strings round
        (2.0 * (1 + 5e-5), -8.0, "Hz", ""),
        (2.0, -8.0 * (1 + 5e-5), "Hz", ""),
        (2.0, 8.0, "Hz", ""),
        (None, -8.0, "Hz", ""),
        (2.0, None, "Hz", ""),
        (2.0, -8.0, "1", ""),  # the mapping has no unit
    ],
)
def test_values_without_a_unit_have_that_of_a_mapping_to_the_same_values(
    slope: float | None, intercept: float | None, code: str, unit: str
) -> None:
    mapping = dataset(MeasurementUnitsCodeSequence=[dataset(CodeValue=code)])
    if slope is not None:
        mapping.RealWorldValueSlope = slope
    if intercept is not None:
        mapping.RealWorldValueIntercept = intercept
    group = within("PixelValueTransformationSequence", RescaleType="US")
    group.RealWorldValueMappingSequence = [mapping]
    made = replace(frame(group, dataset(Modality="MR")), slope=2.0, intercept=-8.0)
    assert unit_of(made) == unit
    shared = replace(made, places=(within("PixelValueTransformationSequence", RescaleType="US"), *made.places))
    assert unit_of(shared) == unit
    group.PixelValueTransformationSequence[0].RescaleType = "HU"
    assert unit_of(made) == "HU"


def test_a_frame_of_reference_is_one_that_all_frames_have() -> None:
    one, other = dataset(FrameOfReferenceUID="1.2.3"), dataset(FrameOfReferenceUID="1.2.4")
    assert frame_of_reference_uid([frame(one), frame(Dataset(), one)]) == "1.2.3"
    for others in (other, Dataset()):
        assert frame_of_reference_uid([frame(one), frame(others)]) == ""


# ---- frames of one file ----


@pytest.mark.parametrize("has_place", [True, False])
def test_frames_of_a_film_are_numbered_and_lie_nowhere(tmp_path: Path, *, has_place: bool) -> None:
    [path] = single_frame(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    ds.NumberOfFrames = 3
    ds.PixelData *= 3
    if not has_place:
        del ds.ImagePositionPatient, ds.ImageOrientationPatient
    ds.save_as(path)
    found = frames_of(read_instance(path))
    assert [one.number for one in found] == [1, 2, 3]
    assert not any(one.has_geometry for one in found)
    assert {(one.orientation, one.position) for one in found} == {(None, None)}


def test_frames_of_a_dose_lie_at_their_offsets(tmp_path: Path) -> None:
    recipe = Recipe(slices=1, modality="RTDOSE", extra={"GridFrameOffsetVector": [0, 2, -3]})
    [path] = single_frame(recipe, tmp_path)
    ds = dcmread(path)
    ds.NumberOfFrames = 3
    ds.PixelData *= 3
    ds.save_as(path)
    x, y, z = recipe.origin
    found = frames_of(read_instance(path))
    assert [(one.number, one.position) for one in found] == [(1, (x, y, z)), (2, (x, y, z + 2)), (3, (x, y, z - 3))]


@pytest.mark.parametrize(
    ("maker", "creator", "tag", "value"),
    [("SIEMENS", "SIEMENS MR HEADER", 0x0019100A, b"\x24\1"), ("UIH", "Image Private Header", 0x00651050, b"292 ")],
)
def test_the_slices_of_a_mosaic_are_counted_in_bytes_of_unknown_type_too(
    maker: str, creator: str, tag: int, value: bytes
) -> None:
    top = dataset(Manufacturer=maker)
    top.add_new(tag >> 16 << 16 | 0x10, "LO", creator)
    top.add_new(tag, "UN", value)
    assert mosaic_count(top) == 0x124
    top.Manufacturer = "Maker"
    assert mosaic_count(top) is None


# ---- tables ----


@pytest.mark.parametrize(
    ("first", "signed", "meant"),
    [(0x7000, 1, 0x7000), (0x7FFF, 1, 0x7FFF), (0x8000, 1, -0x8000), (0xFFFF, 1, -1), (0xFFFF, 0, 0xFFFF)],
)
def test_a_table_begins_at_a_value_of_the_sign_of_the_pixels(first: int, signed: int, meant: int) -> None:
    table = dataset(LUTDescriptor=[3, first, 16], LUTData=[7, 8, 9])
    lut = modality_lut(dataset(ModalityLUTSequence=[table], PixelRepresentation=signed))
    assert lut is not None
    assert (lut.first, lut.entries.tolist()) == (meant, [7, 8, 9])
    two = dataset(ModalityLUTSequence=[table, table], PixelRepresentation=signed)
    assert modality_lut(two) is None


@pytest.mark.parametrize(
    ("size", "depth", "content", "entries"),
    [
        (3, 8, b"\1\2\3\0", [1, 2, 3]),  # bytes, with one that pads
        (4, 8, b"\1\2\3\4", [1, 2, 3, 4]),
        (3, 8, b"\1\0\2\0\xff\0", [1, 2, 255]),  # bytes in words
        (3, 12, b"\1\0\2\0\xff\x0f", [1, 2, 4095]),
        (3, 12, b"\1\0\2\0\0\x10", None),  # bits beyond the depth may count or not
        (3, 12, b"\1\2\3\0", None),
        (3, 16, b"\1\0\2\0", None),
        (3, 7, b"\1\0\2\0\3\0", None),
        (3, 17, b"\1\0\2\0\3\0", None),
        (0, 16, bytes(131072), [0] * 65536),  # the number of entries has 16 bits
    ],
    ids=["bytes", "even", "words", "twelve", "beyond twelve", "short words", "short", "seven", "seventeen", "most"],
)
def test_entries_of_a_table_have_the_depth_that_it_states(
    size: int, depth: int, content: bytes, entries: list[int] | None
) -> None:
    table = dataset(LUTDescriptor=[size, 0, depth])
    table.add_new(0x00283006, "OW", content)
    lut = modality_lut(dataset(ModalityLUTSequence=[table], PixelRepresentation=0))
    assert (None if lut is None else lut.entries.tolist()) == entries


# ---- palettes ----


@pytest.mark.parametrize(("size", "depth", "taken"), [(255, 8, True), (256, 8, True), (257, 8, False), (300, 16, True)])
def test_a_palette_in_segments_of_bytes_has_at_most_256_entries(size: int, depth: int, *, taken: bool) -> None:
    top = dataset(PixelRepresentation=0, PhotometricInterpretation="PALETTE COLOR")
    top.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding="ascii")
    first, second = size // 2, size - size // 2
    for colour, end in (("Red", 0), ("Green", 100), ("Blue", 255)):
        setattr(top, f"{colour}PaletteColorLookupTableDescriptor", [size, 0, depth])
        # discrete: one entry; linear from it to the end
        high = depth - 8
        parts = np.array([0, 1, 7 << high, 1, first - 1, end << high, 1, second, end << high])
        data = parts.astype("<u1" if depth == 8 else "<u2").tobytes()
        setattr(top, f"Segmented{colour}PaletteColorLookupTableData", data + bytes(len(data) % 2))
    palette = palette_of(top)
    assert (palette is not None) == taken
    if palette is not None:
        assert palette.entries[0].tolist() == [7, 7, 7]
        assert palette.entries[-1].tolist() == [0, 100, 255]
