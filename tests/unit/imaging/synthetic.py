"""Synthetic series whose correct result is known by construction; uses nothing of the package under test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

if TYPE_CHECKING:
    from pathlib import Path

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def all_orientations() -> list[tuple[float, ...]]:
    """The 24 ways in which rows and columns can lie along patient axes; with reversed slices that makes 48 volumes."""
    axes = np.vstack([np.eye(3), -np.eye(3)])
    return [
        (*map(float, row), *map(float, column)) for row, column in itertools.permutations(axes, 2) if row @ column == 0
    ]


def rotated(orientation: tuple[float, ...], degrees: tuple[float, float, float]) -> tuple[float, ...]:
    """Turns an orientation about the patient's axes, x then y then z."""
    a, b, c = np.radians(degrees)
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turn = turn_z @ turn_y @ turn_x
    # headers hold decimal strings of 16 characters: the affine that they define is that of the rounded numbers
    return tuple(round(float(value), 10) for part in (orientation[:3], orientation[3:]) for value in turn @ part)


@dataclass(frozen=True)
class Recipe:
    """The description of a series to make."""

    columns: int = 5
    rows: int = 4
    slices: int = 6
    volumes: int = 1
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    origin: tuple[float, float, float] = (-12.5, 40.25, -7.0)
    row_distance: float = 0.8
    column_distance: float = 0.6
    step: float = 2.5
    shear: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bits_allocated: int = 16
    bits_stored: int = 16
    signed: bool = True
    rescale: tuple[str, str] | None = None
    rescale_per_slice: tuple[tuple[str, str], ...] = ()
    modality: str = "CT"
    syntax: str = ExplicitVRLittleEndian
    reversed_numbers: bool = False
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def positions(self) -> np.ndarray[Any, Any]:
        """Origins of the slices, shape (slices, 3), rounded as the header rounds them."""
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        step = self.step * normal + np.asarray(self.shear)
        origins: np.ndarray[Any, Any] = np.round(np.asarray(self.origin) + np.arange(self.slices)[:, None] * step, 6)
        return origins

    @property
    def affine_lps(self) -> np.ndarray[Any, Any]:
        """The affine, written out cell by cell (PS3.3, section C.7.6.2.1.1)."""
        affine = np.zeros((4, 4))
        positions = self.positions
        for axis in range(3):
            affine[axis, 0] = self.orientation[axis] * self.column_distance
            affine[axis, 1] = self.orientation[axis + 3] * self.row_distance
            affine[axis, 2] = (positions[-1][axis] - positions[0][axis]) / (self.slices - 1)
            affine[axis, 3] = positions[0][axis]
        affine[3, 3] = 1
        return affine

    @property
    def stored(self) -> np.ndarray[Any, Any]:
        """Stored values, shape (volumes, slices, rows, columns), using the whole range of the bits stored."""
        random = np.random.default_rng(self.seed)
        low, high = (
            (-(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1)) if self.signed else (0, 2**self.bits_stored)
        )
        shape = (self.volumes, self.slices, self.rows, self.columns)
        values = random.integers(low, high, shape, dtype=np.int64)
        values.flat[0], values.flat[-1] = low, high - 1
        return values

    @property
    def values(self) -> np.ndarray[Any, Any]:
        """Rescaled values in double precision, axes (column, row, slice, volume)."""
        result = self.stored.astype(np.float64)
        for index in range(self.slices):
            slope, intercept = self.rescale_of(index) or ("1", "0")
            result[:, index] = result[:, index] * float(slope) + float(intercept)
        turned: np.ndarray[Any, Any] = result.transpose(3, 2, 1, 0)
        return turned

    def rescale_of(self, index: int) -> tuple[str, str] | None:
        return self.rescale_per_slice[index] if self.rescale_per_slice else self.rescale


def _pixel_bytes(recipe: Recipe, frames: np.ndarray[Any, Any]) -> bytes:
    masked = frames & (2**recipe.bits_stored - 1)
    order = ">" if recipe.syntax == "1.2.840.10008.1.2.2" else "<"
    content: bytes = masked.astype(f"{order}u{recipe.bits_allocated // 8}").tobytes()
    return content


def new_instance(recipe: Recipe, series_uid: str, sop_class: str) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = UID(recipe.syntax)
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = series_uid[:60] + ".1", series_uid
    ds.FrameOfReferenceUID = series_uid[:60] + ".2"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Secret^Person", "SECRET-ID", "19700101"
    ds.Modality, ds.SeriesNumber, ds.SeriesDescription = recipe.modality, 3, "made up"
    ds.Rows, ds.Columns = recipe.rows, recipe.columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = recipe.bits_allocated, recipe.bits_stored, recipe.bits_stored - 1
    ds.PixelRepresentation = int(recipe.signed)
    return ds


def _set_pixels(ds: Dataset, recipe: Recipe, frames: np.ndarray[Any, Any]) -> None:
    content = _pixel_bytes(recipe, frames)
    ds.PixelData = content + b"\0" * (len(content) % 2)
    ds["PixelData"].VR = "OB" if recipe.bits_allocated == 8 else "OW"
    for keyword, value in recipe.extra.items():
        setattr(ds, keyword, value)


def save(ds: Dataset, path: Path) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def single_frame(recipe: Recipe, folder: Path) -> list[Path]:
    """Writes one file for each slice, under meaningless names; returns the paths in random order."""
    series_uid = generate_uid()
    stored, paths = recipe.stored, []
    for volume, index in itertools.product(range(recipe.volumes), range(recipe.slices)):
        ds = new_instance(recipe, series_uid, MR if recipe.modality == "MR" else CT)
        ds.ImageOrientationPatient = list(recipe.orientation)
        ds.ImagePositionPatient = [float(value) for value in recipe.positions[index]]
        ds.PixelSpacing = [recipe.row_distance, recipe.column_distance]
        ds.SliceThickness = 99.0  # never equal to the step between slices
        number = volume * recipe.slices + index
        ds.InstanceNumber = recipe.volumes * recipe.slices - number if recipe.reversed_numbers else number + 1
        ds.AcquisitionNumber = 1
        if recipe.volumes > 1:
            ds.TemporalPositionIdentifier = volume + 1
        rescale = recipe.rescale_of(index)
        if rescale:
            ds.RescaleSlope, ds.RescaleIntercept = rescale
        _set_pixels(ds, recipe, stored[volume, index])
        paths.append(save(ds, folder / f"{generate_uid()}.dcm"))
    random = np.random.default_rng(recipe.seed)
    return [paths[index] for index in random.permutation(len(paths))]


def _frame_groups(recipe: Recipe, volume: int, index: int) -> Dataset:
    groups, position, content, transformation = Dataset(), Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [float(value) for value in recipe.positions[index]]
    groups.PlanePositionSequence = [position]
    content.StackID, content.InStackPositionNumber = "1", index + 1
    content.TemporalPositionIndex = volume + 1
    content.DimensionIndexValues = [volume + 1, index + 1]
    groups.FrameContentSequence = [content]
    rescale = recipe.rescale_of(index)
    if rescale:
        transformation.RescaleSlope, transformation.RescaleIntercept = rescale
        transformation.RescaleType = "US"
        groups.PixelValueTransformationSequence = [transformation]
    return groups


def _dimension(keyword: str) -> Dataset:
    dimension = Dataset()
    dimension.DimensionIndexPointer = tag_for_keyword(keyword)
    dimension.FunctionalGroupPointer = tag_for_keyword("FrameContentSequence")
    return dimension


def multi_frame(recipe: Recipe, folder: Path) -> list[Path]:
    """Writes one enhanced object whose frames are shuffled; geometry and rescale lie in the functional groups."""
    ds = new_instance(recipe, generate_uid(), ENHANCED_MR)
    ds.NumberOfFrames = recipe.volumes * recipe.slices
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [recipe.row_distance, recipe.column_distance]
    measures.SliceThickness = 99.0
    orientation.ImageOrientationPatient = list(recipe.orientation)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.DimensionIndexSequence = [_dimension("TemporalPositionIndex"), _dimension("InStackPositionNumber")]
    order = list(itertools.product(range(recipe.volumes), range(recipe.slices)))
    order = [order[index] for index in np.random.default_rng(recipe.seed).permutation(len(order))]
    ds.PerFrameFunctionalGroupsSequence = [_frame_groups(recipe, volume, index) for volume, index in order]
    stored = recipe.stored
    _set_pixels(ds, recipe, np.stack([stored[volume, index] for volume, index in order]))
    return [save(ds, folder / f"{generate_uid()}.dcm")]
