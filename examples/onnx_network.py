"""Segments with a network in ONNX: resamples the volume to the network's grid, and the result to the scanner's slices.

First make a network of one convolution, which compares the mean of 27 voxels with -400 HU; put your own in its place.
Then try it on a scan that comes with pydicom (extras ``onnx`` and ``highdicom``); a docker worker mounts such a
folder as its data::

    python examples/onnx_network.py model
    dcm-processor-service run examples/onnx_network.py --sample --data-dir model
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from pydantic import BaseModel, Field

from dcm_processor_service import RuntimeContext
from dcm_processor_service.errors import ConfigurationError

NETWORK = "lung.onnx"


class Params(BaseModel, extra="forbid"):
    """The params, which the service's manifest or ``--param`` sets."""

    spacing_mm: float = Field(default=1.0, gt=0, description="Spacing of the grid that the network was trained on")


def run(ctx: RuntimeContext, params: Params) -> dict[str, float]:
    """Stores what the network found as DICOM segmentation, and its volume in ml."""
    if ctx.data_dir is None:
        raise ConfigurationError("the network is in no data folder; give --data-dir DIR, or the worker's data")
    network = onnxruntime.InferenceSession(ctx.data_dir / NETWORK, providers=["CPUExecutionProvider"])
    series = ctx.session.dicom.get_series()
    volume = series.volume().resample(params.spacing_mm)

    ctx.progress(0.3, "segmenting")
    batch = volume.array.T[None, None].astype(np.float32)  # networks have (batch, channel, slice, row, column)
    (probability,) = network.run(None, {"ct": batch})
    mask = volume.like((probability[0, 0].T > 0.5).astype(np.uint8))  # noqa: PLR2004  likelier than not

    volume_ml = float(mask.array.sum() * np.prod(mask.spacing_mm) / 1000)
    ctx.session.data["volume_ml"] = volume_ml
    ctx.session.files.save("mask.nii.gz", mask.to_nifti())
    segmentation = ctx.session.dicom.derive.segmentation({"Lung": series.to_source(mask)}, like=series)
    ctx.session.files.save("segmentation.dcm", segmentation)
    return {"volume_ml": volume_ml}


def make_network(path: Path) -> None:
    """Writes the network: the mean of 27 voxels, then a sigmoid of width 50 HU that shows if it is below -400 HU."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape: list[str | int | None] = [1, 1, "slices", "rows", "columns"]
    graph = helper.make_graph(
        [
            helper.make_node("Pad", ["ct", "border"], ["padded"], mode="edge"),
            helper.make_node("Conv", ["padded", "weights", "bias"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["probability"]),
        ],
        "lung",
        [helper.make_tensor_value_info("ct", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.array([0, 0, 1, 1, 1] * 2, np.int64), "border"),
            numpy_helper.from_array(np.full((1, 1, 3, 3, 3), -1 / 27 / 50, np.float32), "weights"),
            numpy_helper.from_array(np.array([-400 / 50], np.float32), "bias"),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


if __name__ == "__main__":
    make_network(Path(sys.argv[1], NETWORK))
