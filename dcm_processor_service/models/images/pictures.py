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

    number: int = Field(description="Value of the label's voxels")
    name: str = Field(description="From the file, or from the job that stored the file; otherwise such as 'label 1'")
    colour: str = Field(description="Colour of the outline, #rrggbb")
    volume_ml: float = Field(description="Number of voxels times the volume of one voxel")


class ResultPicture(BaseModel):
    """A contact sheet of a scan or of a file that a job stored, with what it shows.

    Example:
        >>> ResultPicture(name="mask.nii.gz", png=b"", caption="8 of 60 slices").legend
        ()
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    name: str = Field(description="Name of the file, or SeriesInstanceUID of the scan")
    shows: Literal["series", "file"] = "file"
    png: bytes = Field(repr=False)
    caption: str = Field(default="", description="What is shown and how; holds no patient attribute")
    legend: tuple[LabelEntry, ...] = ()
