from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dcm_processor_service.dicom_network.conversion import transcoding
from dcm_processor_service.dicom_network.conversion.transcoding import convert, copy_of, lossless_encoders, part10
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from tests.unit.dicom_network.instances import make_ct

EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
PLAIN = [str(uid) for uid in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)]
LOSSLESS = [str(uid) for uid in (RLELossless, JPEGLSLossless, JPEG2000Lossless)]


def data_set(name: str) -> Dataset:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return dcmread(path)


def converted(dataset: Dataset, wanted: str) -> Dataset:
    own = str(dataset.file_meta.TransferSyntaxUID)
    return dcmread(BytesIO(part10(convert(copy_of(dataset, own), own, wanted))))


@pytest.mark.parametrize("wanted", PLAIN + LOSSLESS)
@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "693_J2KR.dcm", "image_dfl.dcm"]
)
def test_voxels_stay_the_same_bit_by_bit(name: str, wanted: str) -> None:
    dataset = data_set(name)
    result = converted(dataset, wanted)
    assert result.file_meta.TransferSyntaxUID == wanted
    assert result.SOPInstanceUID == dataset.SOPInstanceUID
    assert np.array_equal(result.pixel_array, dataset.pixel_array)
    assert result.pixel_array.dtype.itemsize == dataset.pixel_array.dtype.itemsize


def test_the_installed_encoders_are_those_expected() -> None:
    assert set(lossless_encoders()) == set(LOSSLESS)


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm", "test-SR.dcm"])
def test_documents_convert_between_uncompressed_syntaxes(name: str) -> None:
    dataset = data_set(name)
    for wanted in PLAIN:
        assert converted(dataset, wanted) == dataset


def test_a_document_cannot_be_compressed() -> None:
    with pytest.raises(UnsupportedTransferSyntaxError, match="only images can be compressed"):
        converted(data_set("rtplan.dcm"), str(RLELossless))


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cy+s2.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm"])
def test_colours_stay_as_they_were_coded_and_are_labelled_as_they_lie_there(name: str) -> None:
    dataset = data_set(name)
    assert dataset.PhotometricInterpretation in {"YBR_FULL", "YBR_FULL_422"}
    result = converted(dataset, PLAIN[0])
    assert result.PhotometricInterpretation == "YBR_FULL"
    assert len(result.PixelData) == dataset.Rows * dataset.Columns * 3
    assert result.PlanarConfiguration == 0
    assert result.LossyImageCompression == "01"


@pytest.mark.parametrize("left_out", ["gdcm", "pillow"])
@pytest.mark.parametrize("wanted", [PLAIN[0], str(RLELossless)])
def test_adobes_marker_does_not_change_what_colours_are(
    wanted: str, left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = data_set("SC_rgb_jpeg_dcmtk.dcm")
    monkeypatch.delitem(get_decoder(JPEGBaseline8Bit)._available, left_out)
    [frame] = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData, dataset.NumberOfFrames = encapsulate([frame, frame]), 2
    before = converted(dataset, wanted)
    marked = b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1" + frame[2:]
    dataset.PixelData, *tables = encapsulate_extended([marked, marked])
    dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = tables
    result = converted(dataset, wanted)
    assert "ExtendedOffsetTable" not in result
    assert result.PhotometricInterpretation == before.PhotometricInterpretation == "YBR_FULL"
    np.testing.assert_array_equal(pixel_array(result, raw=True), pixel_array(before, raw=True))


def test_a_lossy_image_is_marked_as_lossy_when_decoded() -> None:
    dataset = data_set("JPEGLSNearLossless_08.dcm")
    assert "LossyImageCompression" not in dataset
    encoded_bytes = len(dataset.PixelData)
    result = converted(dataset, PLAIN[0])
    assert result.LossyImageCompression == "01"
    assert result.LossyImageCompressionMethod == "ISO_14495_1"
    assert result.LossyImageCompressionRatio == pytest.approx(len(result.PixelData) / encoded_bytes, abs=0.01)


def test_an_image_compressed_without_loss_is_not_marked_as_lossy() -> None:
    assert "LossyImageCompression" not in converted(data_set("MR_small_RLE.dcm"), PLAIN[0])


@pytest.mark.parametrize("wanted", LOSSLESS)
@pytest.mark.parametrize("planar", [0, 1])
def test_colours_of_an_odd_size_can_be_compressed(planar: int, wanted: str) -> None:
    dataset = make_ct()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 35, 33, 3
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", planar
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes(number * number % 251 for number in range(35 * 33 * 3)) + b"\0"
    dataset["PixelData"].VR = "OB"
    expected = dataset.pixel_array
    assert expected.shape == (35, 33, 3)
    assert np.array_equal(converted(dataset, wanted).pixel_array, expected)


@pytest.mark.parametrize("wanted", LOSSLESS)
def test_colours_that_share_their_chrominance_can_be_compressed(wanted: str) -> None:
    dataset = data_set("SC_ybr_full_422_uncompressed.dcm")
    assert dataset.PhotometricInterpretation == "YBR_FULL_422"
    expected = pixel_array(dataset, raw=True)
    result = converted(dataset, wanted)
    assert result.PhotometricInterpretation == "YBR_FULL"
    assert np.array_equal(pixel_array(result, raw=True), expected)


def test_a_document_whose_meta_names_a_compressed_syntax_is_only_renamed() -> None:
    dataset = data_set("rtplan.dcm")
    dataset.file_meta.TransferSyntaxUID = RLELossless
    result = converted(dataset, PLAIN[0])
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert result == data_set("rtplan.dcm")


def test_samples_of_eight_bits_in_big_endian_words_change_places_in_pairs() -> None:
    dataset = data_set("MR_small_bigendian.dcm")
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 2, 4, 8, 8, 7
    dataset.PixelData = bytes((1, 0, 3, 2, 5, 4, 7, 6))
    dataset["PixelData"].VR = "OW"
    assert converted(dataset, PLAIN[0]).PixelData == bytes(range(8))


def test_a_video_is_no_image_that_could_be_decoded() -> None:
    dataset = make_ct(transfer_syntax_uid="1.2.840.10008.1.2.4.102")
    with pytest.raises(UnsupportedTransferSyntaxError, match="not a still image"):
        converted(dataset, PLAIN[0])


def test_faulty_pixel_data_says_so() -> None:
    dataset = data_set("693_J2KR.dcm")
    dataset.PixelData = dataset.PixelData[:60]
    with pytest.raises(UnsupportedTransferSyntaxError, match="pixel data is faulty"):
        converted(dataset, PLAIN[0])


def test_deflated_to_plain_and_back() -> None:
    dataset = data_set("CT_small.dcm")
    deflated = converted(dataset, str(DeflatedExplicitVRLittleEndian))
    assert len(part10(deflated)) < len(part10(dataset))
    assert np.array_equal(converted(deflated, PLAIN[1]).pixel_array, dataset.pixel_array)


@pytest.mark.parametrize(
    ("vr", "keyword", "word_bytes"), [("OW", "RedPaletteColorLookupTableData", 2), ("OF", "FloatPixelData", 4)]
)
def test_bulk_data_of_big_endian_is_swapped(vr: str, keyword: str, word_bytes: int) -> None:
    dataset = data_set("MR_small_bigendian.dcm")
    if vr == "OF":
        del dataset.PixelData
        dataset.BitsAllocated = 32
    item = Dataset()
    for owner in (dataset, item):
        setattr(owner, keyword, bytes(range(8)))
        owner[keyword].VR = vr
    dataset.ReferencedImageSequence = [item]
    turned = b"".join(bytes(range(start, start + word_bytes))[::-1] for start in range(0, 8, word_bytes))
    result = converted(dataset, PLAIN[0])
    assert result[keyword].value == turned
    assert result.ReferencedImageSequence[0][keyword].value == turned


@pytest.mark.parametrize("own", [EXPLICIT, IMPLICIT, str(RLELossless)])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_samples_in_big_endian_are_what_they_were(own: str, bits: int) -> None:
    dataset = make_ct(rows=6)
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelData = (np.arange(36) * 7 - (1 << bits - 1)).clip(max=(1 << bits - 1) - 1).astype("<i2").tobytes()
    dataset.RedPaletteColorLookupTableDescriptor = [4, 0, 16]
    dataset.RedPaletteColorLookupTableData = bytes(range(8))
    expected = dcmread(BytesIO(part10(copy_of(dataset, EXPLICIT)))).pixel_array
    source = convert(copy_of(dataset, EXPLICIT), EXPLICIT, own)
    found = dcmread(BytesIO(part10(convert(copy_of(source, own), own, str(ExplicitVRBigEndian)))))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    assert (found.pixel_array == expected).all()
    assert found.PixelData[:2] == (-(1 << bits - 1)).to_bytes(2, "big", signed=True)
    assert found.RedPaletteColorLookupTableData == bytes([1, 0, 3, 2, 5, 4, 7, 6])


def test_a_conversion_whose_result_some_programs_misread_is_refused() -> None:
    dataset = make_ct(rows=6)
    dataset.BitsStored, dataset.HighBit = 8, 7
    with pytest.raises(UnsupportedTransferSyntaxError, match="samples, which have 8 bits stored in 16"):
        convert(copy_of(dataset, EXPLICIT), EXPLICIT, str(JPEGLSLossless))
    dataset.BitsAllocated = dataset.BitsStored = 32
    dataset.PixelData = bytes(6 * 6 * 4)
    with pytest.raises(UnsupportedTransferSyntaxError, match="samples, which have 32 bits stored in 32"):
        convert(copy_of(dataset, EXPLICIT), EXPLICIT, str(ExplicitVRBigEndian))


def test_private_elements_are_copied_undecoded() -> None:
    dataset = data_set("CT_small.dcm")
    copy = copy_of(dataset, PLAIN[0])
    private = [tag for tag in copy.keys() if tag.is_private]  # noqa: SIM118  elements would be decoded
    assert private
    assert all(isinstance(copy.get_item(tag), tuple) for tag in private)
    assert dcmread(BytesIO(part10(copy))) == data_set("CT_small.dcm")


@pytest.mark.parametrize("wanted", LOSSLESS)
def test_frames_that_share_their_chrominance_can_be_compressed(wanted: str) -> None:
    dataset = data_set("SC_ybr_full_422_uncompressed.dcm")
    dataset.NumberOfFrames, dataset.PixelData = 3, dataset.PixelData * 3
    expected = pixel_array(dataset, raw=True)
    assert len(expected) == 3
    assert np.array_equal(pixel_array(converted(dataset, wanted), raw=True), expected)


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "693_J2KR.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_native_pixels_come_without_a_table_of_where_encoded_frames_begin(name: str) -> None:
    dataset = data_set(name)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    result = converted(dataset, str(ExplicitVRLittleEndian))
    assert not [keyword for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths") if keyword in result]
    assert not result["PixelData"].is_undefined_length
    assert len(result.PixelData) % 2 == 0


@pytest.mark.parametrize("available", [("gdcm", "pydicom"), ("gdcm", "pylibjpeg", "pydicom")])
def test_run_lengths_are_never_encoded_by_the_library_that_ends_the_process(
    available: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []

    def compress(_dataset: Dataset, _uid: str, *, encoding_plugin: str, **_options: object) -> None:
        named.append(encoding_plugin)

    monkeypatch.setattr(transcoding, "get_encoder", lambda _uid: SimpleNamespace(available_plugins=available))
    monkeypatch.setattr(Dataset, "compress", compress)
    for wanted in (RLELossless, JPEG2000Lossless):
        convert(copy_of(make_ct(rows=4), EXPLICIT), EXPLICIT, str(wanted))
    assert named == ["pylibjpeg" if "pylibjpeg" in available else "pydicom", ""]
