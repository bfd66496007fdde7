"""The same entry as a callback: ``ctx`` has all that it needs, params are a model, and no file is written by hand."""

from __future__ import annotations

from pydantic import BaseModel, Field

from dcm_processor_service import RuntimeContext, entrypoint


class Params(BaseModel, extra="forbid"):
    """The params, which the manifest sets."""

    digits: int = Field(default=2, ge=0, description="Digits after the decimal point")


def run(ctx: RuntimeContext, params: Params) -> dict[str, float]:
    """Stores the mean of the job's series, also as a file, and returns its difference from that of the old entry."""
    volume = ctx.session.dicom.get_series().volume()
    mean = round(float(volume.array.mean()), params.digits)
    ctx.session.data["mean"] = mean
    ctx.session.files.save("mean.json", {"mean": mean})
    before = ctx.session.data.get("mean", float, job="mean-before")
    return {"mean": mean, "difference": mean - before}


after = entrypoint(run)
