"""``ctx.step``: a part of a job that happens once, however often the job is run again.

Each run of a step stores its outputs under a key of its own. A record, changed only by compare-and-set, points to the
outputs of the run that ended the step. So these become visible together, and outputs of two runs are never mixed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcm_processor_service.codec import check_name, check_text
from dcm_processor_service.errors import ConfigurationError, StepBusyError, UnsupportedValueError
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.steps.inputs import input_digest
from dcm_processor_service.runtime.steps.lease import StepLease, overtaken
from dcm_processor_service.runtime.steps.outputs import StepDataRepository, StepFileRepository
from dcm_processor_service.session.data import AsyncData, Data
from dcm_processor_service.session.files import Files
from dcm_processor_service.session.jobs import AsyncJobs
from dcm_processor_service.session.peak_memory import peak_memory_bytes

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from dcm_processor_service.models.steps import StepRecord
    from dcm_processor_service.runtime.steps.tools import StepTools
    from dcm_processor_service.session.files import AsyncFiles

__all__ = ["AsyncStep", "Step"]

_OUTSIDE = "a step has no record and no outputs before its with block has begun; write: with ctx.step(…) as step"
_FULL_PERCENT = 100
_GIVING_UP_S = 0.4


class AsyncStep:
    """A part of a job that happens once, for asynchronous callbacks; :class:`Step` explains it.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def run(ctx):
        ...     async with ctx.step("measure", {"threshold": 0.5}) as step:
        ...         if not step.done:
        ...             await step.data.set("volume_ml", 12.5)
        ...     return await step.data.get("volume_ml")
        >>> asyncio.run(run(fake_async_context()))
        12.5
    """

    def __init__(self, tools: StepTools, name: str, inputs: Mapping[str, object], code: str) -> None:
        self._tools = tools
        self._name = check_name(name, "step")
        if not isinstance(inputs, Mapping):
            raise UnsupportedValueError(
                f"inputs of a step must be a dict of names and values, not a {type(inputs).__name__}"
            )
        self._inputs = inputs
        self._code = check_text(code, "version of a step's code")
        self._lease: StepLease | None = None
        self._open = False
        self._progress_fields: dict[str, Any] = {}
        self._started_s = 0.0
        self._beating: asyncio.Task[None] | None = None
        self._ended = threading.Event()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    @property
    def done(self) -> bool:
        """Whether the step is done: by an earlier run, or by this one once the block has ended."""
        return self.record.state == "done"

    @property
    def record(self) -> StepRecord:
        """The record of the step; see :attr:`Step.record`."""
        return self._held().record

    @property
    def data(self) -> AsyncData:
        """Named values of the step; see :attr:`Step.data`."""
        tools, lease = self._tools, self._held()
        return AsyncData(
            AsyncJobs(lease.outputs, tools.jobs, tools.job), StepDataRepository(tools.data, self._writable)
        )

    @property
    def files(self) -> AsyncFiles:
        """Named files of the step; see :attr:`Step.files`."""
        tools, lease = self._tools, self._held()
        repository = StepFileRepository(tools.files, self._writable)
        return tools.make_files(AsyncJobs(lease.outputs, tools.jobs, tools.job), repository)

    async def progress(self, fraction: float, message: str = "") -> None:
        """Reports how far the step is; see :meth:`Step.progress`."""
        await self._tools.progress(fraction, message)
        percent = min(max(int(fraction * _FULL_PERCENT), 0), _FULL_PERCENT)
        self._progress_fields = {"progress_percent": percent, "progress_message": self._tools.scrubber.text(message)}

    def _held(self) -> StepLease:
        if self._lease is None:
            raise ConfigurationError(_OUTSIDE)
        return self._lease

    def _writable(self) -> bool:
        if self._open and self._held().lost:
            raise StepBusyError(overtaken(self._name))
        return self._open

    async def __aenter__(self) -> Self:
        tools = self._tools
        parts = {"name": self._name, "service": tools.service, "code": self._code, "inputs": dict(self._inputs)}
        digest = await input_digest(parts, tools.offload)
        in_loop = tools.mode == "async"
        lease = StepLease(tools.key, self._name, digest, tools.data, tools.files, tools.timing, in_loop)
        await lease.take()
        self._lease = lease
        if lease.record.state == "done":
            tools.on_end(lease.record)
        else:
            self._open, self._started_s = True, tools.timing.clock()
            # the block of a step that failed may be entered again
            self._progress_fields, self._ended = {}, threading.Event()
            if in_loop:
                self._beating = asyncio.ensure_future(self._beat_in_loop(lease))
            else:
                threading.Thread(
                    target=self._beat_in_thread, args=(lease, self._ended), daemon=True, name="step"
                ).start()
        return self

    async def _beat_in_loop(self, lease: StepLease) -> None:
        while True:
            await asyncio.sleep(self._tools.timing.beat_s)
            if not await lease.beat(**self._progress_fields):
                return

    def _beat_in_thread(self, lease: StepLease, ended: threading.Event) -> None:
        while not ended.wait(self._tools.timing.beat_s):
            if not run_inline(lease.beat(**self._progress_fields)):
                return

    async def _stop_beating(self) -> None:
        """Ends the renewal of the lease.

        If this task is cancelled, CancelledError is raised. The cancellation of the renewal, which this method
        requests, raises nothing: ``asyncio.wait`` keeps the two apart.
        """
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait({self._beating})
            if not self._beating.cancelled():
                self._beating.exception()  # marks it as retrieved; the next write fails for the same reason

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        lease = self._held()
        self._ended.set()
        self._open = False
        try:
            await self._stop_beating()
            await (self._end(lease) if error is None else self._give_up(lease, error))
        except asyncio.CancelledError as cancelled:
            await self._give_up(lease, cancelled)
            raise
        finally:
            self._tools.on_end(lease.record)

    async def _end(self, lease: StepLease) -> None:
        if not await lease.change(
            state="done",
            duration_s=round(self._tools.timing.clock() - self._started_s, 3),
            peak_memory_bytes=peak_memory_bytes(),
            **{**self._progress_fields, "progress_percent": _FULL_PERCENT},
        ):
            await lease.adopt()

    async def _give_up(self, lease: StepLease, error: BaseException) -> None:
        """Removes the outputs of this run; in a cancelled task, does not wait long for a store that hangs."""
        if self._tools.mode == "blocking" or not isinstance(error, asyncio.CancelledError):
            await lease.give_up()
            return
        giving_up = asyncio.ensure_future(lease.give_up())
        await asyncio.wait({giving_up}, timeout=_GIVING_UP_S)  # after that, the lease expires by itself


class Step:
    """A part of a job that happens once: its outputs are kept even if the job is killed later.

    Within a job, a step is the same if name, inputs, code, service name and service version are the same. When a job is
    run again, a step that is done has the outputs that it stored in the earlier run. Outputs become visible together
    when the block ends; the outputs of a block that fails or is killed never become visible. While the block runs, it
    renews a lease that keeps another run of the job from beginning the step; the lease of a killed run expires after a
    minute.

    The block itself may run more than once. It runs again if it was killed before its end, so what it does besides
    writing to ``step.data`` and ``step.files``, such as sending, may happen twice. A run whose process, or
    event loop, stood still for longer than a minute may be overtaken: then both compute, and the outputs of the run
    that ends first apply to both. Changes of code in other modules than the calling file are not noticed. Outputs
    belong to the job and are removed with its session; other jobs read what the callback stores in ``session.data``.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> ctx = fake_context(series=synthetic_series(slices=3))
        >>> series = ctx.session.dicom.get_series()
        >>> def volume_ml() -> float:
        ...     with ctx.step("segment", {"threshold": 0.5, "series": series}) as step:
        ...         if not step.done:  # an hour on a GPU
        ...             step.files.put("mask.txt", b"a mask")
        ...             step.data["volume_ml"] = 12.5
        ...     return step.data["volume_ml"]
        >>> volume_ml(), volume_ml()
        (12.5, 12.5)
    """

    def __init__(self, step: AsyncStep) -> None:
        self._async = step

    def __repr__(self) -> str:
        return repr(self._async).removeprefix("Async")

    @property
    def done(self) -> bool:
        """Whether the step is done: by an earlier run, or by this one once the block has ended."""
        return self._async.done

    @property
    def record(self) -> StepRecord:
        """State, number of attempts, progress, duration and peak memory.

        Raises:
            ConfigurationError: The block has not begun.
        """
        return self._async.record

    @property
    def data(self) -> Data:
        """Named values of the step, which are not values of the job; written in the block, read in it and after it.

        Raises:
            ConfigurationError: The block has not begun.
        """
        return Data(self._async.data)

    @property
    def files(self) -> Files:
        """Named files of the step, which are not files of the job; written in the block, read in it and after it.

        Raises:
            ConfigurationError: The block has not begun.
        """
        return Files(self._async.files)

    def progress(self, fraction: float, message: str = "") -> None:
        """Reports to the queue how far the job is, as ``ctx.progress`` does, and keeps it in the step's record.

        Raises:
            UnsupportedValueError: The fraction is below 0, above 1 or not a number.
        """
        run_inline(self._async.progress(fraction, message))

    def __enter__(self) -> Self:
        run_inline(self._async.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_inline(self._async.__aexit__(kind, error, trace))
