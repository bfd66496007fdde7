"""Measures all series of a study, a few at the same time; a series that is not a volume does not stop the others.

Try it on a scan that comes with pydicom, or on a study of your own with ``--dicom DIR``::

    dcm-processor-service run examples/async_fan_out.py --sample --event stable-study
"""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from dcm_processor_service import AsyncDicomSeries, AsyncRuntimeContext
from dcm_processor_service.errors import InvalidSeriesError


class Params(BaseModel, extra="forbid"):
    """The params, which the service's manifest or ``--param`` sets."""

    at_once: int = Field(default=4, ge=1, description="How many series are in memory at the same time")


class SeriesResult(BaseModel):
    """The result of a series: its mean, or the reason why it has none."""

    description: str
    mean: float | None = None
    refused: str = ""


async def run(ctx: AsyncRuntimeContext, params: Params) -> dict[str, int]:
    """Stores a result for each series of the study."""
    turns = asyncio.Semaphore(params.at_once)
    done: list[str] = []
    series = await ctx.session.dicom.series()

    async def measure(one: AsyncDicomSeries) -> SeriesResult:
        async with turns:
            result = await measured(one)
        done.append(one.id)
        await ctx.progress(len(done) / len(series), "measuring")
        return result

    results = await asyncio.gather(*map(measure, series))
    await ctx.session.data.set("results", results)
    return {
        "measured": sum(one.mean is not None for one in results),
        "refused": sum(bool(one.refused) for one in results),
    }


async def measured(series: AsyncDicomSeries) -> SeriesResult:
    """Returns the mean of a series, or the reason why it is not a volume."""
    description = str(series.info.metadata.get("SeriesDescription", ""))
    try:
        volume = await series.volume()
    except InvalidSeriesError as refused:
        return SeriesResult(description=description, refused=str(refused))
    return SeriesResult(description=description, mean=float(volume.array.mean()))
