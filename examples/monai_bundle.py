"""Segments with a bundle of MONAI: its own pre- and postprocessing around its network, between DICOM and DICOM.

First make a bundle, whose network compares the mean of 27 voxels with -400 HU; put one with your weights in its place.
Then try it (extras ``monai`` and ``highdicom``); a docker worker mounts such a folder as its data::

    python examples/monai_bundle.py model
    dcm-processor-service run examples/monai_bundle.py --sample --data-dir model
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, SaveImaged

from dcm_processor_service import RuntimeContext
from dcm_processor_service.errors import ConfigurationError

OF_FILES = (LoadImaged, EnsureChannelFirstd, SaveImaged)  # not needed: the volume comes from DICOM, not from a file
BEFORE = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.0, 1.0]},
]
AFTER = [
    {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
    {"_target_": "Invertd", "keys": "pred", "orig_keys": "image", "transform": "@preprocessing"},
    {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
    {"_target_": "SaveImaged", "keys": "pred"},
]
SHAPE = {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1, "padding_mode": "replicate"}
CONFIG = {
    "network_def": {"_target_": "torch.nn.Conv3d", **SHAPE},
    "inferer": {"_target_": "SimpleInferer"},
    "preprocessing": {"_target_": "Compose", "transforms": BEFORE},
    "postprocessing": {"_target_": "Compose", "transforms": AFTER},
}


def run(ctx: RuntimeContext) -> dict[str, float]:
    """Stores what the bundle found as DICOM segmentation, and its volume in ml."""
    if ctx.data_dir is None:
        raise ConfigurationError("the bundle is in no data folder; give --data-dir DIR, or the worker's data")
    bundle = ConfigParser()
    bundle.read_config(ctx.data_dir / "configs" / "inference.json")
    names = ("network_def", "inferer", "preprocessing", "postprocessing")
    network, infer, before, after = map(bundle.get_parsed_content, names)
    network.load_state_dict(torch.load(ctx.data_dir / "models" / "model.pt", weights_only=True))

    series = ctx.session.dicom.get_series()
    volume = series.volume()
    data = without_files(before)({"image": volume.to_monai()})  # a MetaTensor: channel, i, j, k
    with torch.no_grad():
        data["pred"] = infer(data["image"][None], network)[0]
    mask = volume.like(without_files(after)(data)["pred"]).array > 0  # on the scan's own grid again

    volume_ml = float(mask.sum() * np.prod(volume.spacing_mm) / 1000)
    ctx.session.files.save("segmentation.dcm", ctx.session.dicom.derive.segmentation({"Lung": mask}, like=series))
    return {"volume_ml": volume_ml}


def without_files(chain: Compose) -> Compose:
    """Returns a chain without the transforms that read and write files."""
    return Compose([one for one in chain.transforms if not isinstance(one, OF_FILES)])


if __name__ == "__main__":  # the mean of 27 voxels, then (as a sigmoid of width 50 HU) whether it is below -400 HU
    folder = Path(sys.argv[1])
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ConfigParser.export_config_file(CONFIG, folder / "configs" / "inference.json", indent=4)
    weights = {"weight": torch.full((1, 1, 3, 3, 3), -1 / 27 / 50), "bias": torch.full((1,), -400 / 50)}
    torch.save(weights, folder / "models" / "model.pt")
