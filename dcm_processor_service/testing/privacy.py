"""Checks that a text holds no attributes of the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.models.network.identifying import DATES, IDS, NAMES
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.context import RuntimeContext
from dcm_processor_service.runtime.logs.scrubbing import Scrubber

if TYPE_CHECKING:
    from dcm_processor_service.models import Patient, SeriesRecord, Study
    from dcm_processor_service.runtime.context import AsyncRuntimeContext
    from dcm_processor_service.session.images.dicom_async import AsyncDicom

__all__ = ["assert_no_phi"]


def assert_no_phi(text: str | bytes, ctx: RuntimeContext | AsyncRuntimeContext) -> None:
    """Asserts that a text holds no name, id or date from the headers of the job's patient, studies and series.

    Values are found in every spelling that is removed from the log, such as ``DOE_jane`` and ``31.1.1979``. A value
    that may be an ordinary word counts only where it is written as a name. The message names attributes, never values.

    Args:
        text: Text that a callback printed, stored or sent; bytes are read as UTF-8.
        ctx: The context that it ran with.

    Raises:
        AssertionError: The text holds such a value; or the context has no such values, so that none could be found.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> ctx = fake_context(series=synthetic_series())
        >>> assert_no_phi("liver: 1500 ml", ctx)
        >>> assert_no_phi("liver of patient SYNTHETIC: 1500 ml", ctx)
        Traceback (most recent call last):
        AssertionError: the text holds the patient's PatientID: leave that out of what is printed, stored and sent; ...
    """
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    known = _known_values(ctx)
    if not known:  # raised, not asserted: pytest would add the values to the message
        raise AssertionError(
            "the context knows no patient, so nothing could be found: give it series=synthetic_series()"
        )
    found = [keyword for keyword, subjects in known.items() if _holds(shown, subjects)]
    if found:
        raise AssertionError(
            f"the text holds the patient's {', '.join(found)}: leave that out of what is printed, stored and sent; "
            "ctx.log removes it from its lines"
        )


def _holds(text: str, subjects: list[Patient | Study | SeriesRecord]) -> bool:
    scrubber = Scrubber()
    for subject in subjects:
        scrubber.learn(subject)
    return scrubber.text(text) != text


def _known_values(ctx: RuntimeContext | AsyncRuntimeContext) -> dict[str, list[Patient | Study | SeriesRecord]]:
    """Returns, for each attribute that identifies a person, the subjects reduced to that attribute."""
    known: dict[str, list[Patient | Study | SeriesRecord]] = {}
    for subject in _subjects(ctx):
        for keyword, value in subject.metadata.items():
            if keyword in NAMES or keyword in IDS or keyword in DATES:
                reduced = subject.model_copy(update={"metadata": {keyword: value}, "patient_uid": ""})
                known.setdefault(keyword, []).append(reduced)
    return known


def _subjects(ctx: RuntimeContext | AsyncRuntimeContext) -> list[Patient | Study | SeriesRecord]:
    if isinstance(ctx, RuntimeContext):
        dicom = ctx.session.dicom
        if ctx.job.headers is None:
            return []
        return [dicom.patient(), *dicom.studies(), *(series.info for series in dicom.series())]
    if run_inline(ctx.job.read()).subject is None:
        return []
    return run_inline(_all_of(ctx.session.dicom))


async def _all_of(dicom: AsyncDicom) -> list[Patient | Study | SeriesRecord]:
    """Returns all subjects; the store is in memory, so this never suspends."""
    return [await dicom.patient(), *await dicom.studies(), *(series.info for series in await dicom.series())]
