"""Calls the session without blocking: several reads and writes at once.

Try it::

    dcm-processor-service run examples/async_report.py --sample
"""

from __future__ import annotations

import asyncio

from dcm_processor_service import AsyncRuntimeContext


async def run(ctx: AsyncRuntimeContext) -> dict[str, object]:
    """Inspects the series while a note is stored."""
    series = await ctx.session.dicom.get_series()
    report, _note = await asyncio.gather(
        series.inspect(),
        ctx.session.files.put("note.txt", b"inspected"),
    )
    await ctx.session.data.set("report", report.model_dump(mode="json", exclude={"description"}))
    return {"kind": report.kind.value, "shape": report.shape, "findings": sorted(report.codes)}
