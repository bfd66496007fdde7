"""Compressed instances are converted in a child process, whose crash costs only one instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGExtended12Bit, RLELossless

from dcm_processor_service.child_processes.process import ChildPool, ChildProcess
from dcm_processor_service.dicom_network.conversion import in_processes as conversion
from dcm_processor_service.dicom_network.conversion.in_processes import converted
from dcm_processor_service.dicom_network.conversion.transcoding import convert, copy_of
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.decoding import decoders
from dcm_processor_service.models.images.limits import Limits
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPLICIT, IMPLICIT, RLE = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(RLELossless)


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    conversion.CHILDREN.close()
    yield
    conversion.CHILDREN.close()


def jpeg_of_12_bits() -> Dataset:
    return dcmread(str(get_testdata_file("JPGExtended.dcm")))


def compressed() -> Dataset:
    dataset = make_ct()
    dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset


@pytest.mark.parametrize("wanted", [EXPLICIT, IMPLICIT])
def test_pixels_are_the_same_before_and_after(wanted: str) -> None:
    dataset = compressed()
    again = dcmread(converted(copy_of(dataset, RLE), RLE, wanted))
    assert again.file_meta.TransferSyntaxUID == wanted
    np.testing.assert_array_equal(again.pixel_array, dataset.pixel_array)
    assert again.SOPInstanceUID == dataset.SOPInstanceUID


def test_a_process_gets_the_memory_and_the_time_that_the_pixels_need(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Noting:
        def ask(self, request: dict[str, Any], content: bytes) -> None:
            asked.append(request | {"content": content})

        def answer(self) -> dict[str, Any]:
            return {"bytes": 4}

        def read_exactly(self, into: memoryview) -> None:
            into[:] = b"DICM"

    child, returned = Noting(), list[object]()
    monkeypatch.setattr(conversion.CHILDREN, "borrow", lambda _count: [child])
    monkeypatch.setattr(conversion.CHILDREN, "give_back", lambda given, _most: returned.extend(given))
    dataset = compressed()
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 100, 300, 7
    dataset.SamplesPerPixel, dataset.BitsAllocated = 3, 16
    assert converted(dataset, RLE, EXPLICIT).getvalue() == b"DICM"
    limits, (request,) = Limits(), asked
    assert (request["own"], request["wanted"], request["bytes"]) == (RLE, EXPLICIT, len(request["content"]))
    assert request["seconds"] == 7 * limits.decoder_seconds
    decoded = 7 * 100 * 300 * 3 * 2
    assert request["memory_bytes"] == limits.decoder_memory_bytes + 8 * decoded + 4 * request["bytes"]
    assert returned == [child]
    dataset.Rows = dataset.Columns = 65_535
    dataset.NumberOfFrames = 100_000
    converted(dataset, RLE, EXPLICIT)
    most = limits.decoder_memory_bytes + 8 * limits.volume_bytes + 4 * asked[1]["bytes"]
    assert asked[1]["memory_bytes"] == most


def test_plain_instances_need_no_process() -> None:
    dcmread(converted(copy_of(make_ct(), EXPLICIT), EXPLICIT, IMPLICIT))
    assert conversion.CHILDREN._idle == []


def test_grey_jpeg_of_12_bits_is_converted_by_the_one_library_that_has_it() -> None:
    dataset = jpeg_of_12_bits()
    own = str(dataset.file_meta.TransferSyntaxUID)
    again = dcmread(converted(copy_of(dataset, own), own, EXPLICIT))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    np.testing.assert_array_equal(again.pixel_array, imagecodecs.jpeg_decode(frame))
    assert again.LossyImageCompression == "01"


def test_without_a_library_for_12_bits_the_remedy_is_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    decoders.decoders_of.cache_clear()
    monkeypatch.setitem(decoders.DECODERS, JPEGExtended12Bit, ())
    dataset = jpeg_of_12_bits()
    own = str(JPEGExtended12Bit)
    with pytest.raises(UnsupportedTransferSyntaxError, match=r"dcm-processor-service\[codecs\]"):
        convert(copy_of(dataset, own), own, EXPLICIT)
    decoders.decoders_of.cache_clear()


def test_a_process_is_kept_for_the_next_instance() -> None:
    converted(copy_of(compressed(), RLE), RLE, EXPLICIT)
    [first] = conversion.CHILDREN._idle
    converted(copy_of(compressed(), RLE), RLE, EXPLICIT)
    assert conversion.CHILDREN._idle == [first]


def test_faulty_pixel_data_is_a_refusal_and_the_process_goes_on() -> None:
    dataset = compressed()
    dataset.PixelData = dataset.PixelData[:40] + bytes(len(dataset.PixelData) - 40)
    with pytest.raises(UnsupportedTransferSyntaxError, match="its pixel data is faulty"):
        converted(copy_of(dataset, RLE), RLE, EXPLICIT)
    assert len(conversion.CHILDREN._idle) == 1


def test_a_library_that_aborts_ends_its_own_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    aborting = ChildPool(lambda: ChildProcess("tests.unit.dicom_network.aborting_child", "abort"))
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "CHILDREN", aborting)
        with pytest.raises(UnsupportedTransferSyntaxError, match="RLE Lossless cannot be converted") as caught:
            converted(copy_of(compressed(), RLE), RLE, EXPLICIT)
    assert "SIGABRT" in str(caught.value.__cause__)
    assert aborting._idle == []
    assert (
        dcmread(converted(copy_of(compressed(), RLE), RLE, EXPLICIT)).pixel_array.shape == make_ct().pixel_array.shape
    )
