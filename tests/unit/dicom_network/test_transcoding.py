from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dcm_processor_service.dicom_network.transcoding import convert, copy_of, lossless_encoders, part10
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from tests.unit.dicom_network.instances import make_ct

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


def test_colours_stay_as_they_were_coded() -> None:
    dataset = data_set("SC_rgb_jpeg_dcmtk.dcm")
    assert dataset.PhotometricInterpretation.startswith("YBR")
    assert converted(dataset, PLAIN[0]).PhotometricInterpretation.startswith("YBR")


def test_a_video_is_no_image_that_could_be_decoded() -> None:
    dataset = make_ct(transfer_syntax_uid="1.2.840.10008.1.2.4.102")
    with pytest.raises(UnsupportedTransferSyntaxError, match="no still image"):
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
def test_bulk_data_of_big_endian_is_turned_around(vr: str, keyword: str, word_bytes: int) -> None:
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


def test_private_elements_are_copied_undecoded() -> None:
    dataset = data_set("CT_small.dcm")
    copy = copy_of(dataset, PLAIN[0])
    private = [tag for tag in copy.keys() if tag.is_private]  # noqa: SIM118  elements would be decoded
    assert private
    assert all(isinstance(copy.get_item(tag), tuple) for tag in private)
    assert dcmread(BytesIO(part10(copy))) == data_set("CT_small.dcm")
