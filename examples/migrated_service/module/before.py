"""The entry as it was written for 0.0.1; it runs unchanged."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from dcm_processor_service import get_series_nifti, set_session_data, upload_session_file


def before(headers: dict[str, Any], params: dict[str, Any], **_others: Any) -> dict[str, Any]:
    """Stores the mean of a series, also as a file, by the functions of 0.0.1."""
    image, _header, _voxels = get_series_nifti(headers["_id"])
    mean = round(float(image.get_fdata().mean()), params["digits"])
    set_session_data("mean", mean)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mean.json")
        path.write_text(json.dumps({"mean": mean}), encoding="utf-8")
        upload_session_file(str(path), "mean.json")
    return {"mean": mean}
