"""The report of a pull: what it copied, and what it left behind. It holds no value of the patient."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LeftBehind", "PullReport"]


class LeftBehind(BaseModel):
    """Something of the session that is not in the workspace, and why."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    what: str
    reason: str
    faulty: bool = Field(default=False, description="The platform's jobs may have seen it: a run here may differ")


class PullReport(BaseModel):
    """The report of a pull: what is in the workspace now."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    workspace: str
    session_id: str = Field(description="Local id of the session")
    deidentified: bool
    only_headers: bool = False
    patients: int = 0
    studies: int = 0
    series: int = 0
    instances: int = 0
    jobs: tuple[str, ...] = Field(default=(), description="Names, in the order in which the platform made them")
    data: int = 0
    files: int = 0
    left_behind: tuple[LeftBehind, ...] = ()
    burned_in: tuple[str, ...] = Field(
        default=(), description="Series here, by UID, whose pictures may show text of the patient: look at them"
    )

    @property
    def faulty(self) -> bool:
        """Whether a run here may differ from the platform's."""
        return any(one.faulty for one in self.left_behind)
