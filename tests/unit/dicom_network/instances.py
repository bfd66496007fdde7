"""Instances made by hand, without a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

if TYPE_CHECKING:
    from pathlib import Path


def make_ct(seed: int = 0, *, rows: int = 32, transfer_syntax_uid: str = str(ExplicitVRLittleEndian)) -> Dataset:
    """Returns a square slice of noise, 16 bits signed, of ``rows`` rows and columns."""
    noise = np.random.default_rng(seed)
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["slice", str(seed)])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
    dataset.PatientID = "TEST"
    dataset.PatientName = "Test^Case"
    dataset.Modality = "CT"
    dataset.InstanceNumber = seed + 1
    dataset.Rows = dataset.Columns = rows
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.PixelData = noise.integers(-1000, 3000, (rows, rows), dtype=np.int16).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return dataset


def write_series(folder: Path, count: int, *, rows: int = 32) -> list[Path]:
    """Writes slices as files; returns their paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        path = folder / f"{number:04}.dcm"
        make_ct(number, rows=rows).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_dicomdir(folder: Path, *names: tuple[str, ...]) -> Path:
    """Writes a DICOMDIR that lists files by the parts of their names, below one patient's record."""
    directory = Dataset()
    directory.SOPClassUID = MediaStorageDirectoryStorage
    directory.SOPInstanceUID = generate_uid(entropy_srcs=["directory"])
    directory.FileSetID = "TEST"
    patient = Dataset()
    patient.DirectoryRecordType = "PATIENT"
    directory.DirectoryRecordSequence = [patient]
    for parts in names:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.RecordInUseFlag = 0xFFFF
        record.ReferencedFileID = list(parts) if len(parts) > 1 else parts[0]
        directory.DirectoryRecordSequence.append(record)
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"
