"""``session.data``: named values of a job, and of the jobs before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from dcm_processor_service.codec import check_name, check_text, from_normal, to_normal
from dcm_processor_service.errors import DataNotFoundError, StoredValueError, UnsupportedValueError
from dcm_processor_service.ports import ABSENT, ANY, MISSING
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.name_lists import listed_names
from dcm_processor_service.session.network.journal_names import is_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.models import Job, JobOutput
    from dcm_processor_service.ports import DataRepository, Sentinel
    from dcm_processor_service.session.jobs import AsyncJobs

__all__ = ["AsyncData", "Data"]

T = TypeVar("T")
D = TypeVar("D")


def _typed(output: JobOutput, as_type: Any, name: str) -> JobOutput:
    """Returns the output with its value read as ``as_type``, or, if that fails, with ``problem`` and no value."""
    try:
        return output.model_copy(update={"value": from_normal(output.value, as_type, name)})
    except StoredValueError as error:
        return output.model_copy(update={"found": False, "value": None, "problem": str(error)})


class AsyncData:
    """Named values, for asynchronous callbacks; :class:`Data` explains them.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def count(ctx):
        ...     await ctx.session.data.increment("runs")
        ...     return await ctx.session.data.get("runs", int)
        >>> asyncio.run(count(fake_async_context()))
        1
    """

    def __init__(self, jobs: AsyncJobs, repository: DataRepository) -> None:
        self._jobs = jobs
        self._repository = repository

    @overload
    async def get(self, name: str, *, job: str | Job | None = None) -> Any: ...
    @overload
    async def get(self, name: str, *, default: D, job: str | Job | None = None) -> Any | D: ...
    @overload
    async def get(self, name: str, as_type: type[T], *, job: str | Job | None = None) -> T: ...
    @overload
    async def get(self, name: str, as_type: type[T], *, default: D, job: str | Job | None = None) -> T | D: ...
    async def get(self, name: str, as_type: Any = None, *, default: Any = MISSING, job: str | Job | None = None) -> Any:
        """Returns a value; see :meth:`Data.get`."""
        check_name(name, "data")
        required = default is MISSING
        key = await (self._jobs.output_key(job) if required else self._jobs.output_key_if_any(job))
        found = None if key is None else await self._repository.find(key, name)
        if found is not None:
            return found.value if as_type is None else from_normal(found.value, as_type, name)
        if required:
            whose = "this job" if job is None else f"the job {getattr(job, 'name', job)!r}"
            names = listed_names(await self.keys(job=job))
            raise DataNotFoundError(
                f"{whose} has no data named {name!r}; it has: {names}; give a default, or correct the name"
            )
        return default

    async def set(self, name: str, value: object) -> None:
        """Stores a value; see :meth:`Data.set`."""
        await self._repository.put(self._jobs.key, check_name(name, "data"), to_normal(value), ANY)

    async def has(self, name: str, *, job: str | Job | None = None) -> bool:
        """Returns whether there is a value; see :meth:`Data.has`."""
        check_name(name, "data")
        key = await self._jobs.output_key_if_any(job)
        return key is not None and await self._repository.find(key, name) is not None

    async def delete(self, name: str) -> bool:
        """Removes a value; see :meth:`Data.delete`."""
        return await self._repository.delete(self._jobs.key, check_name(name, "data"))

    async def keys(self, *, job: str | Job | None = None) -> list[str]:
        """Lists the names; see :meth:`Data.keys`."""
        rows = await self._repository.scan(await self._jobs.output_key(job), values=False)
        return [name for name, _value in rows if not is_journal(name)]

    async def items(self, *, job: str | Job | None = None) -> list[tuple[str, Any]]:
        """Lists names with values; see :meth:`Data.items`."""
        rows = await self._repository.scan(await self._jobs.output_key(job), values=True)
        return [(name, value) for name, value in rows if not is_journal(name)]

    async def increment(self, name: str, by: float = 1) -> float:
        """Adds to a number; see :meth:`Data.increment`."""
        step = to_normal(by)
        if isinstance(step, bool) or not isinstance(step, (int, float)):
            raise UnsupportedValueError("the step of an increment must be a number")
        total: float | None = await self._repository.increment(self._jobs.key, check_name(name, "data"), step)
        if total is None:
            raise StoredValueError(f"the data {name!r} is not a number, so nothing can be added to it; set it first")
        return total

    async def compare_and_set(self, name: str, expected: object | Sentinel, value: object) -> bool:
        """Stores a value unless it was changed meanwhile; see :meth:`Data.compare_and_set`."""
        wanted = expected if expected is ABSENT else to_normal(expected)
        return await self._repository.put(self._jobs.key, check_name(name, "data"), to_normal(value), wanted)

    async def collect(self, name: str, *, job: str, as_type: Any = None) -> dict[str, JobOutput]:
        """Returns the values that all jobs of one name stored; see :meth:`Data.collect`."""
        check_name(name, "data")
        check_text(job, "name of a job")
        found = await self._jobs.repository.collect(self._jobs.key.session_id, job, name)
        outputs = await self._jobs.of_own_study(found) if found else ()
        if as_type is not None:
            outputs = tuple(_typed(output, as_type, name) if output.found else output for output in outputs)
        return {output.job.id: output for output in outputs}


class Data:
    """Named values of this job, and of the jobs before it.

    A value is anything that :mod:`dcm_processor_service.codec` can store: JSON values, bytes, datetimes; also pydantic
    models, dataclasses, enums, sets, dates, UUIDs, decimals, paths, numpy scalars and small arrays, which a typed read
    restores. A read returns a copy. A value larger than one MongoDB document is refused: store it with
    ``session.files.save``.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> data = fake_context().session.data
        >>> data["volume_ml"] = 1480.5
        >>> data.get("volume_ml", float), "note" in data, data.get("note", default="none")
        (1480.5, False, 'none')
    """

    def __init__(self, data: AsyncData) -> None:
        self._async = data

    @overload
    def get(self, name: str, *, job: str | Job | None = None) -> Any: ...
    @overload
    def get(self, name: str, *, default: D, job: str | Job | None = None) -> Any | D: ...
    @overload
    def get(self, name: str, as_type: type[T], *, job: str | Job | None = None) -> T: ...
    @overload
    def get(self, name: str, as_type: type[T], *, default: D, job: str | Job | None = None) -> T | D: ...
    def get(self, name: str, as_type: Any = None, *, default: Any = MISSING, job: str | Job | None = None) -> Any:
        """Returns a value; takes one round trip to the store.

        If ``job`` is a name, the job is looked up first, which takes at least one more, and another at the first call.

        Args:
            name: Its name.
            as_type: The type to read the value as: a pydantic model, a dataclass, ``list[float]``…
            default: Returned if there is no such value, in place of an error. Also returned if no job of that name
                exists for this job's subject, because the registry function may have declined it.
            job: The job whose value is read: a name, or a job from ``session.jobs(…)``; None means this job. A name
                means the job of that name that this job depends on, directly or through others. If there is none,
                it means the job with the same subject, or else for the only job of that name. It never means
                a job of another series, study or patient.

        Raises:
            DataNotFoundError: There is no value of that name.
            StoredValueError: The value cannot be read as ``as_type``.
            JobNotFoundError: This job's subject has no such job; AmbiguousJobError if several jobs match.
            UpstreamFailedError: The other job failed; its output is never replaced by a default.
        """
        return run_inline(self._async.get(name, as_type, default=default, job=job))

    def set(self, name: str, value: object) -> None:
        """Stores a value and replaces an earlier one; atomic, one round trip.

        Raises:
            InvalidNameError: The name is not allowed.
            UnsupportedValueError: The value, or something in it, cannot be stored.
        """
        run_inline(self._async.set(name, value))

    def has(self, name: str, *, job: str | Job | None = None) -> bool:
        """Returns whether there is a value of that name; raises the errors that :meth:`get` with a default raises."""
        return run_inline(self._async.has(name, job=job))

    def delete(self, name: str) -> bool:
        """Removes a value; returns whether there was one."""
        return run_inline(self._async.delete(name))

    def keys(self, *, job: str | Job | None = None) -> list[str]:
        """Lists the names in order; reads no values."""
        return run_inline(self._async.keys(job=job))

    def items(self, *, job: str | Job | None = None) -> list[tuple[str, Any]]:
        """Lists names and values in order of names, in one round trip."""
        return run_inline(self._async.items(job=job))

    def increment(self, name: str, by: float = 1) -> float:
        """Adds ``by`` to a stored number (0 if there is none) and returns the sum; atomic between processes.

        Raises:
            StoredValueError: The stored value is not a number.
        """
        return run_inline(self._async.increment(name, by))

    def compare_and_set(self, name: str, expected: object | Sentinel, value: object) -> bool:
        """Stores ``value`` only if the stored value equals ``expected``; returns whether ``value`` was stored.

        ``expected=ABSENT`` means that no value may be stored yet.

        Example:
            >>> from dcm_processor_service import ABSENT
            >>> from dcm_processor_service.testing import fake_context
            >>> data = fake_context().session.data
            >>> data.compare_and_set("owner", ABSENT, "a"), data.compare_and_set("owner", ABSENT, "b")
            (True, False)
        """
        return run_inline(self._async.compare_and_set(name, expected, value))

    def collect(self, name: str, *, job: str, as_type: Any = None) -> dict[str, JobOutput]:
        """Returns the values that all jobs named ``job`` stored under ``name``, by job id.

        These are the jobs of this session, but not those of another study, if this job is about a study or a series: a
        job that sums up a study gets no values of the patient's other studies.

        Each :class:`~dcm_processor_service.models.JobOutput` has the job, with its subject and state, and says whether
        a value was found. A failed job is listed and raises no error. If a value cannot be read, or cannot be read as
        ``as_type``, its ``found`` is False and its ``problem`` says why; the other values are returned all the same.
        Takes two reads of the store, one more the first time, and one more for each thousand jobs.

        Raises:
            UnsupportedValueError: ``as_type`` is not a type that values can be read as.

        Example:
            >>> from dcm_processor_service.testing import fake_context
            >>> data = fake_context(job_name="measure").session.data
            >>> data["volume_ml"] = "about a litre"
            >>> (output,) = data.collect("volume_ml", job="measure", as_type=float).values()
            >>> output.found, output.problem
            (False, "the data 'volume_ml' cannot be read as float: value: Input should be a valid number...")
        """
        return run_inline(self._async.collect(name, job=job, as_type=as_type))

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __setitem__(self, name: str, value: object) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if not self.delete(name):
            raise DataNotFoundError(f"this job has no data named {name!r}, so it cannot be deleted")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())
