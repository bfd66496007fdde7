"""Reads the results of the jobs of a study's series, and adds them up.

Run the job of the series first, then the summary, in one workspace::

    dcm-processor-service run examples/threshold_segmentation.py --sample
    dcm-processor-service run examples/study_summary.py --sample --event stable-study
"""

from __future__ import annotations

from dcm_processor_service import JobState, RuntimeContext


def run(ctx: RuntimeContext) -> dict[str, float]:
    """Stores the sum over the series, and which of them failed."""
    outputs = ctx.session.data.collect("volume_ml", job="threshold_segmentation", as_type=float)
    failed = [job_id for job_id, output in outputs.items() if output.job.state is JobState.FAILED]
    total_ml = sum(output.value for output in outputs.values() if output.found)
    ctx.session.data["failed_jobs"] = failed
    ctx.session.files.save("summary.md", f"# Summary\n\n{len(outputs)} series, {total_ml:.1f} ml\n")
    return {"series": len(outputs), "total_ml": total_ml}
