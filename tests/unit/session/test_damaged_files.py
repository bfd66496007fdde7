"""Damaged files of other programs: a read returns the value or raises an error of this package."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from dcm_processor_service.errors import DcmProcessorError, StoredValueError
from dcm_processor_service.testing import fake_context

MUTANTS = 60
GIB = 1 << 30


def image(shape: tuple[int, ...] = (2, 3, 4)) -> bytes:
    return bytes(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)).to_bytes())


def array(*, of: Any = (1.0, 2.0), pickled: bool = False) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(of), allow_pickle=pickled)
    return content.getvalue()


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made:
        for name, member in members.items():
            made.writestr(f"{name}.npy", member)
    return content.getvalue()


def dicom(name: str) -> bytes:
    with open(str(get_testdata_file(name)), "rb") as file:  # noqa: PTH123
        return file.read()


SEEDS = {
    "v.nii": image(),
    "v.nii.gz": gzip.compress(image(), mtime=0),
    "a.npy": array(),
    "record.npy": array(of=np.zeros(2, dtype=[("x", "i4"), ("y", "U3")])),
    "a.npz": archive(x=array(), y=array()),
    "ct.dcm": dicom("CT_small.dcm"),
    "plan.dcm": dicom("rtplan.dcm"),
    "deflated.dcm": dicom("image_dfl.dcm"),
    "report.dcm": dicom("reportsi.dcm"),
    "j.json": json.dumps({"a": [1, 2.5, {"b": "ä"}], "c": None}).encode(),
    "t.csv": "a,b\n1,ä\n".encode(),
}


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Cuts content off, or changes, overwrites or inserts some bytes, more often in the header than in the rest."""
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        place = chance.randrange(min(len(changed), chance.choice([600, len(changed)])))
        kind = chance.random()
        if kind < 0.4:
            changed[place] ^= 1 << chance.randrange(8)
        elif kind < 0.7:
            changed[place] = chance.choice([0, 9, 127, 128, 255, *b"-9[{("])
        elif kind < 0.85:
            changed[place : place + 4] = chance.choice([b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\xc0\x7f"])
        else:
            changed[place:place] = chance.randbytes(chance.randrange(1, 9))
    return bytes(changed)


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_content_is_read_or_refused_by_an_error_of_this_package(name: str) -> None:
    chance = random.Random(20_240_607)
    files = fake_context().session.files
    refusals: list[DcmProcessorError] = []
    for _ in range(MUTANTS):
        files.put(name, mutated(SEEDS[name], chance), content_type="application/octet-stream")
        try:
            files.load(name)
        except DcmProcessorError as error:
            refusals.append(error)
    assert {type(error) for error in refusals} == {StoredValueError}
    assert all(error.__cause__ for error in refusals)


def oversized_image() -> bytes:
    content = bytearray(image())
    content[40:56] = np.array([3, 32767, 32767, 32767, 1, 1, 1, 1], "<i2").tobytes()
    return bytes(content)


def negative_image() -> bytes:
    content = bytearray(image())
    content[40:48] = np.array([3, -2, 3, 4], "<i2").tobytes()
    return bytes(content)


def oversized_array(size: int) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({size},), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def encrypted() -> bytes:
    content = bytearray(archive(x=array()))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("eight-gib.npy", oversized_array(GIB)),
        ("all-memory.npy", oversized_array(2**58)),
        ("beyond-64-bits.npy", oversized_array(2**80)),
        ("unclosed.npy", array().replace(b"}", b"(")),
        ("deep.npy", array().replace(b"(2,)", b"(2,)" + b"," * 4)),
        ("pickled.npy", array(of=[{"a": 1}], pickled=True)),
        ("archive.npy", archive(x=array())),
        ("pickled.npz", archive(x=array(of=[{"a": 1}], pickled=True))),
        ("eight-gib.npz", archive(x=oversized_array(GIB))),
        ("all-memory.npz", archive(x=oversized_array(2**58))),
        ("array.npz", array()),
        ("text.npz", archive(x=b"no array")),
        ("encrypted.npz", encrypted()),
        ("oversized.nii", oversized_image()),
        ("oversized.nii.gz", gzip.compress(oversized_image(), mtime=0)),
        ("negative.nii", negative_image()),
        ("deep.json", b"[" * 200_000),
        ("digits.json", b"9" * 10_000),
        ("utf-16.json", b"\xff\xfe{\0"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_content_that_lies_about_its_size_or_kind_is_refused(name: str, content: bytes) -> None:
    files = fake_context().session.files
    files.put(name, content)
    with pytest.raises(StoredValueError) as caught:
        files.load(name)
    assert name in str(caught.value) or "the archive holds" in str(caught.value)
