"""Limits of the memory and time that reading one file or series may take."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.keywords import refuses_unknown_keywords

__all__ = ["Limits"]


@refuses_unknown_keywords
class Limits(BaseModel):
    """Limits of reading: sizes beyond which data is refused unread, and the time and memory that a decoder may use.

    A header may declare any size, and a few bytes of compressed data may expand to gigabytes. Declared sizes are
    therefore compared with the size of the file before memory is allocated. Decoders of compressed pixels run in
    processes of their own, with limited time and memory.

    Example:
        >>> Limits(decoder_seconds=5).free_bytes // 1024**2
        256

    Raises:
        ConfigurationError: There is no limit of that name.
        ValidationError: A value is out of its range.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    volume_bytes: int = Field(default=64 << 30, gt=0, description="Most bytes that the voxels of one volume may take")
    free_bytes: int = Field(default=256 << 20, ge=0, description="Compressed data may always expand to so many bytes")
    expansion: int = Field(
        default=500, ge=1, description="Beyond free_bytes, most bytes that one compressed byte may expand to"
    )
    decoder_seconds: int = Field(default=60, ge=1, description="Most processor time for one frame, in seconds")
    decoder_memory_bytes: int = Field(
        default=2 << 30, ge=64 << 20, description="Most memory that a decoder process may take besides the file"
    )
    decoder_processes: int | None = Field(
        default=None, ge=1, description="How many processes decode side by side; None: one for each processor"
    )

    def allow_expansion(self, packed_bytes: int, unpacked_bytes: int) -> bool:
        """Returns whether compressed data may expand from ``packed_bytes`` to ``unpacked_bytes``.

        Example:
            >>> Limits().allow_expansion(2_000_000, 8 << 30), Limits().allow_expansion(2_000, 8 << 20)
            (False, True)
        """
        return unpacked_bytes <= max(self.free_bytes, self.expansion * packed_bytes)
