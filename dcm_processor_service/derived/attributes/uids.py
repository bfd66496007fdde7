"""Makes UIDs that are the same on every run: keyed by session, job, sources, role, revision and version of the service.

A job that is run again makes objects with the UIDs of the first run, so an archive keeps one result instead of two.
Which of the two it keeps is the archive's choice: many keep the first. Objects that must live side by side need
different roles, and a corrected result the next revision.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.models.derived import Recipe

__all__ = ["UidPlan", "keyed_uid"]

_NAMESPACE = uuid.UUID("5c0c7a2e-3f0b-4f4a-9d53-7f2f6c1f6a11")


def keyed_uid(*key: str) -> str:
    """Returns the UID of a key: ``2.25.`` and a name-based UUID as a decimal number (PS3.5, section B.2).

    The parts of the key are kept apart, so ``("ab", "c")`` and ``("a", "bc")`` give different UIDs.

    Example:
        >>> keyed_uid("ab", "c") == keyed_uid("ab", "c"), keyed_uid("ab", "c") == keyed_uid("a", "bc")
        (True, False)
        >>> keyed_uid("ab", "c").startswith("2.25.") and len(keyed_uid("ab", "c")) <= 64
        True
    """
    return _uid_of(json.dumps(key))


def _uid_of(written_key: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, written_key).int}"


@dataclass(frozen=True)
class UidPlan:
    """The UIDs of one derived series."""

    key: tuple[str, ...]

    @classmethod
    def of(cls, recipe: Recipe, source_uids: tuple[str, ...]) -> UidPlan:
        """Returns the plan for one role; it does not depend on the order of the sources.

        Args:
            recipe: Recipe with session, job, role, revision, and name and version of the service.
            source_uids: SOPInstanceUIDs of the sources, or the StudyInstanceUID if there are none.
        """
        producer = recipe.producer
        maker = (producer.session_id, producer.service_name, producer.version, producer.job_name)
        return cls((*maker, recipe.object_kind, recipe.role, str(recipe.revision), *sorted(source_uids)))

    def series(self) -> str:
        """Returns SeriesInstanceUID."""
        return keyed_uid("series", *self.key)

    def instance(self, number: int) -> str:
        """Returns the SOPInstanceUID of the instance with this InstanceNumber."""
        return _uid_of(f'["instance", "{number}", {self._written_key}')

    @cached_property
    def _written_key(self) -> str:
        """The end of every instance's key as JSON, cached because it holds a UID for each source."""
        return json.dumps(self.key)[1:]

    def frame_of_reference(self) -> str:
        """Returns a FrameOfReferenceUID, for a geometry that is not the source's."""
        return keyed_uid("frame of reference", *self.key)

    def other(self, what: str) -> str:
        """Returns a UID for anything else within the object, such as a dimension organization."""
        return keyed_uid("other", what, *self.key)
