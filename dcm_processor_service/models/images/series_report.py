"""The report of an inspection of a series."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.hypertext import Html, chip, element, join, notebook
from dcm_processor_service.models.images.series_kinds import SeriesKind

__all__ = ["OrderCertificate", "SeriesFinding", "SeriesPart", "SeriesReport", "TransferSyntax"]


class SeriesFinding(BaseModel):
    """One thing that an inspection found, with a code that a program can test.

    Example:
        >>> finding = SeriesFinding(code="MISSING_SLICES", message="2 slices are missing after slice 5: get them")
        >>> print(finding)
        MISSING_SLICES: 2 slices are missing after slice 5: get them
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    code: str = Field(description="Such as MISSING_SLICES")
    message: str = Field(description="What, where and what to do; holds no patient attribute")
    blocking: bool = Field(default=True, description="Whether the policy strict refuses the series for it")
    positions_mm: tuple[float, ...] = Field(default=(), description="Where it was found, along the slices' normal")
    sop_instance_uids: tuple[str, ...] = Field(default=(), description="Of the instances concerned, at most 20")
    attribute: str = Field(default="", description="Keyword of the attribute that tells volumes apart")
    count: int | None = Field(default=None, description="How many: slices missing, volumes, instances")

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class TransferSyntax(BaseModel):
    """How pixels are encoded, and whether they can be decoded here.

    Example:
        >>> TransferSyntax(uid="1.2.840.10008.1.2.1", name="Explicit VR Little Endian").is_decodable
        True
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    uid: str
    name: str
    is_compressed: bool = False
    is_decodable: bool = True
    needs: str = Field(default="", description="What to install when it cannot be decoded")


class OrderCertificate(BaseModel):
    """Which attributes order the slices and volumes of an array, and what confirms this order.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> (part,) = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().inspect().parts
        >>> part.order.slices_by, part.order.volumes_by, part.order.plan
        ('ImagePositionPatient', '', 'volume by volume')
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    slices_by: str = Field(
        default="ImagePositionPatient", description="Keyword of the attribute that orders slices, along their normal"
    )
    volumes_by: str = Field(
        default="", description="Keyword of the attribute that tells volumes apart; empty for one volume"
    )
    ordered_by: str = Field(
        default="", description="Keyword of the attribute that orders volumes; empty for one volume"
    )
    plan: str = Field(
        default="",
        description="Order that InstanceNumber follows: volume by volume, slice by slice, or empty for neither",
    )
    varies: tuple[str, ...] = Field(
        default=(), description="Keywords of attributes that differ between slices of one volume"
    )
    passes_by: str = Field(
        default="",
        description="Keyword of a time that goes through the slices several times, which is taken for several passes "
        "over one volume; empty where no such assumption is made",
    )


class SeriesPart(BaseModel):
    """One volume that the series holds.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> (part,) = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().inspect().parts
        >>> part.shape, part.spacing_mm, part.orientation, part.voxel_type
        ((16, 16, 3), (1.0, 1.0, 2.0), 'axial', 'int16')
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    name: str = Field(default="", description="Tells it apart from the others, such as echo-2; empty for the only one")
    shape: tuple[int, ...] = Field(description="(i, j, k) or (i, j, k, t): columns, rows, slices, volumes")
    spacing_mm: tuple[float, float, float] = Field(description="Along i, j, k; along k from slice positions")
    orientation: str = Field(description="axial, coronal, sagittal or oblique")
    nearest_plane: str = Field(description="axial, coronal or sagittal")
    orientation_angles_deg: tuple[float, float, float] = Field(
        description="Between the slice normal and the sagittal, coronal and axial normals"
    )
    tilt_deg: float = Field(default=0.0, description="Between the normal and the line through the slices' origins")
    voxel_type: str = Field(description="Such as int16; float32 where the rescale demands it")
    memory_bytes: int = Field(description="Size of the array that a conversion makes")
    time_attribute: str = Field(default="", description="Keyword of the attribute along the fourth axis")
    first_position_mm: tuple[float, float, float] = Field(description="Centre of the first voxel, LPS")
    order: OrderCertificate = Field(default=OrderCertificate(), description="Which attributes order slices and volumes")


class SeriesReport(BaseModel):
    """The report of an inspection of a series; ``str()`` returns it as text, ``model_dump_json()`` as JSON.

    Example:
        >>> report = SeriesReport(series_instance_uid="1.2.3", kind=SeriesKind.NON_IMAGE)
        >>> print(report)
        Series 1.2.3: non-image, 0 instances
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    series_instance_uid: str = ""
    modality: str = ""
    description: str = Field(default="", repr=False, description="SeriesDescription, as the staff wrote it")
    body_part: str = ""
    kernel: str = ""
    series_number: int | None = None
    kind: SeriesKind = SeriesKind.UNKNOWN
    is_diffusion: bool = False
    instance_count: int = 0
    frame_count: int = 0
    parts: tuple[SeriesPart, ...] = Field(
        default=(), description="Every volume found; those of the largest group first"
    )
    transfer_syntaxes: tuple[TransferSyntax, ...] = ()
    findings: tuple[SeriesFinding, ...] = ()

    @property
    def is_convertible(self) -> bool:
        """Whether the policy ``strict`` makes a volume of the series: it is one uniform volume or a clean 4D stack."""
        return bool(self.parts) and not any(finding.blocking for finding in self.findings)

    @property
    def codes(self) -> frozenset[str]:
        """The codes of all findings."""
        return frozenset(finding.code for finding in self.findings)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the first volume, (i, j, k) or (i, j, k, t); None without a volume."""
        return self.parts[0].shape if self.parts else None

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Voxel spacing of the first volume in mm, along i, j, k; None without a volume."""
        return self.parts[0].spacing_mm if self.parts else None

    @property
    def orientation(self) -> str:
        """Orientation of the first volume: axial, coronal, sagittal or oblique; empty without a volume."""
        return self.parts[0].orientation if self.parts else ""

    @property
    def memory_bytes(self) -> int:
        """Size of all arrays that a conversion makes, in bytes."""
        return sum(part.memory_bytes for part in self.parts)

    def _repr_html_(self) -> str:
        return notebook(series_html(self))

    def __str__(self) -> str:
        head = f"Series {self.series_instance_uid}: {self.kind.value}, {_count(self.instance_count, 'instance')}"
        if self.frame_count > self.instance_count:
            head += f", {_count(self.frame_count, 'frame')}"
        if self.modality:
            head += f", {self.modality}"
        lines = [head, *(f"  {_describe(part)}" for part in self.parts)]
        lines += [f"  {syntax.name}" for syntax in self.transfer_syntaxes if syntax.is_compressed]
        lines += [f"  {'!' if finding.blocking else '-'} {finding}" for finding in self.findings]
        return "\n".join(lines)


def series_html(report: SeriesReport) -> Html:
    """Returns the report of an inspection as HTML, for the page of ``inspect`` and for a notebook."""
    head, *lines = str(report).splitlines()
    state = chip("one clean volume", "ok") if report.is_convertible else chip("not one clean volume", "bad")
    paragraphs = [element("p", line.strip()) for line in lines if line.strip()[:1] not in "!-"]
    findings = [
        element(
            "li",
            element("code", finding.code),
            f" {finding.message}",
            class_="blocking" if finding.blocking else "note",
        )
        for finding in report.findings
    ]
    listed = [element("ul", *findings)] if findings else []
    return join([element("div", element("h2", head), state, class_="head"), *paragraphs, *listed])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _describe(part: SeriesPart) -> str:
    shape = " x ".join(str(size) for size in part.shape)
    spacing = " x ".join(f"{distance:.4g}" for distance in part.spacing_mm)
    plane = part.orientation
    if plane == "oblique":
        plane = f"oblique, {min(part.orientation_angles_deg):.1f} degrees from {part.nearest_plane}"
    name = f"{part.name}: " if part.name else ""
    return f"{name}{shape} voxels of {spacing} mm, {plane}, {part.voxel_type}, {part.memory_bytes / 2**20:.1f} MiB"
