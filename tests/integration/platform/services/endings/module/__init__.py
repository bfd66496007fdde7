"""A service whose jobs end in the ways that the bare worker does not survive."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bson import ObjectId
from pydantic import BaseModel

from dcm_processor_service import RuntimeContext, entrypoint
from dcm_processor_service.errors import UpstreamFailedError

if TYPE_CHECKING:
    from typing import NoReturn


class Finding(BaseModel):
    """Something with a type of its own."""

    label: str
    found_at: datetime


def _rich(ctx: RuntimeContext) -> dict[str, Any]:
    stored = ctx.session.files.put("note.txt", b"a note")
    return {
        "id": ObjectId(stored.id),
        "model": Finding(label="none", found_at=datetime(2024, 2, 29, tzinfo=timezone.utc)),
        "array": np.arange(3),
        "number": np.float32(0.5),
        "huge": 2**70,
        "path": Path("a/b"),
        "bytes": b"\x00",
        "not_a_number": float("nan"),
    }


def _fails(ctx: RuntimeContext) -> NoReturn:
    ctx.session.data["before"] = "half a result"
    try:
        missing = ctx.job.params["the cause"]
    except KeyError as error:
        raise ArithmeticError("the failure") from error
    raise AssertionError(missing)


def _exits(_ctx: RuntimeContext) -> NoReturn:
    sys.exit(3)


def _after(ctx: RuntimeContext) -> str:
    try:
        ctx.session.data.get("before", default="nothing", job="fails")
    except UpstreamFailedError as error:
        return str(error)
    return "took the output of a job that failed"


rich = entrypoint(_rich)
fails = entrypoint(_fails)
exits = entrypoint(_exits)
after = entrypoint(_after)
