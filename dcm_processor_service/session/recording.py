"""Records of a job for its report: sendings, derived objects, steps and log lines."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.models import SendReport, StepRecord
    from dcm_processor_service.models.log_lines import LogLine
    from dcm_processor_service.models.run_report import DerivedObject

__all__ = ["Recording"]

_MOST_LINES = 1000
_MOST = 10_000
"""The most records of each kind, so that the report of a busy job does not run out of memory."""


_MOST_PIXEL_BYTES = 64 << 20


class Recording:
    """The records of one job so far; several threads may add to it at once."""

    def __init__(self) -> None:
        self.started_s = time.perf_counter()
        self.started_at = datetime.now(timezone.utc)
        self._sent: deque[SendReport] = deque(maxlen=_MOST)
        self._derived: deque[DerivedObject] = deque(maxlen=_MOST)
        self._steps: deque[StepRecord] = deque(maxlen=_MOST)
        self._segmentations: list[Dataset] = []
        self._spare_bytes = _MOST_PIXEL_BYTES
        self._log: deque[LogLine] = deque(maxlen=_MOST_LINES)

    def add_sent(self, report: SendReport) -> None:
        """Records a sending's outcome, without paths, which may hold a patient's name."""
        records = tuple(record.model_copy(update={"path": ""}) for record in report.records)
        left_out = tuple(file.model_copy(update={"path": ""}) for file in report.left_out)
        self._sent.append(report.model_copy(update={"records": records, "left_out": left_out}))

    def add_derived(self, made: DerivedObject, dataset: Dataset) -> None:
        """Records a derived object, unless it is recorded already.

        Keeps the datasets of segmentations, up to 64 MiB of pixels in all, so that the report can show pictures.
        """
        if made in self._derived:
            return
        self._derived.append(made)
        size_bytes = len(dataset.get("PixelData") or b"")
        if made.modality == "SEG" and size_bytes <= self._spare_bytes:
            self._spare_bytes -= size_bytes
            self._segmentations.append(dataset)

    def add_step(self, record: StepRecord) -> None:
        """Records how a step ended."""
        self._steps.append(record)

    def add_line(self, line: LogLine) -> None:
        """Records a line of the log; the last thousand are kept."""
        self._log.append(line)

    @property
    def sent(self) -> tuple[SendReport, ...]:
        """The reports of sendings, in order."""
        return tuple(self._sent)

    @property
    def derived(self) -> tuple[DerivedObject, ...]:
        """The derived objects, in the order in which they were made."""
        return tuple(self._derived)

    @property
    def segmentations(self) -> tuple[Dataset, ...]:
        """The datasets of segmentations; the callback may have changed them since they were recorded."""
        return tuple(self._segmentations)

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """The steps, in the order in which they ended."""
        return tuple(self._steps)

    @property
    def log(self) -> tuple[LogLine, ...]:
        """The lines of the log, in order."""
        return tuple(self._log)
