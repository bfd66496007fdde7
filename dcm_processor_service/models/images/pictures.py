"""Pictures of scans and results, as a report shows them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LabelEntry", "ResultPicture"]


class LabelEntry(BaseModel):
    """One label of a picture's legend.

    Example:
        >>> LabelEntry(number=1, name="liver", colour="#e69f00", volume_ml=1500.0).name
        'liver'
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    number: int = Field(description="The value of its voxels")
    name: str = Field(description="As the file, or who stored it, says; else 'label 1'")
    colour: str = Field(description="Of its outline, #rrggbb")
    volume_ml: float = Field(description="Its voxels times the volume of a voxel")


class ResultPicture(BaseModel):
    """A contact sheet of a scan or of a file that a job stored, with what it shows.

    Example:
        >>> ResultPicture(name="mask.nii.gz", png=b"", caption="8 of 60 slices").legend
        ()
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    name: str = Field(description="Of the file; or the SeriesInstanceUID of the scan")
    shows: Literal["series", "file"] = "file"
    png: bytes = Field(repr=False)
    caption: str = Field(default="", description="What is shown and how; holds no patient attribute")
    legend: tuple[LabelEntry, ...] = ()
