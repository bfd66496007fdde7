"""The page of a job, in every store: it needs only the platform's documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.contract.test_deriving import opened
from tests.unit.test_hypertext import Seen

if TYPE_CHECKING:
    from tests.contract.worlds import World


async def test_the_page_of_a_job_shows_its_labels_over_the_scan(world: World) -> None:
    session, series = await opened(world)
    volume = await series.volume()
    mask = np.zeros(volume.shape, np.uint8)
    mask[1:3, 1:3, 1:3] = 1
    image = volume.like(mask).to_nifti()
    await session.files.save("mask.nii.gz", image, metadata={"labels": {"1": "liver"}})
    await session.data.set("volume_ml", 12.5)
    await session.dicom.derive.segmentation({"liver": mask > 0}, like=series)
    stored = await session.report()
    words = Seen((await session.files.read(stored.name)).decode()).words
    for part in (
        "Run of j",
        "halver 1.2",
        "liver 0.016 ml",
        "over CT · 2 of 4 slices",
        "12.5",
        "Segmentation",
        "mask.nii.gz",
    ):
        assert part in words
    assert stored.content_type == "text/html"


async def test_the_page_of_a_job_without_files_shows_its_scan(world: World) -> None:
    session, _series = await opened(world)
    stored = await session.report("pages/own.html")
    words = Seen((await session.files.read(stored.name)).decode()).words
    assert "CT · 4 of 4 slices" in words
