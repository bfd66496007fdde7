"""Regions of findings before a validator and before readers that share nothing with the package."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom as hd
import pytest

from dcm_processor_service import Finding, PersonObserver
from dcm_processor_service.derived import measurement_report, save, text_report, validate
from tests.missing import missing
from tests.unit.derived.sources import make_recipe, make_source
from tests.unit.derived.test_report_regions import REGIONS, SHAPE

if TYPE_CHECKING:
    from pydicom import Dataset

WHO = PersonObserver("Łęcka^Anna", organization="Szpital", login="alecka")
DCMQI = Path(str(distribution("dcmqi").locate_file("dcmqi/bin/tid1500reader")))


def located() -> Dataset:
    findings = {name: Finding({"Diameter": (12.5, "mm")}, finding="Mass", region=r) for name, r in REGIONS.items()}
    return measurement_report(findings, make_source(shape=SHAPE), make_recipe(), observer=WHO, language="pl")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    dataset = located()
    assert validate(dataset) == ()
    (found,) = save([dataset], tmp_path)
    return found


def run(program: str | Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    if shutil.which(program) is None:
        reason = f"{Path(program).name} is not installed"
        missing(reason)
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=120, check=False)


def test_an_outside_validator_finds_no_error_in_regions(path: Path) -> None:
    lines = run("dciodvfy", "-new", path).stderr.splitlines()
    assert [line for line in lines if line.startswith(("Error", "Abort"))] == []


def test_an_outside_validator_finds_no_error_in_a_report_by_a_person(tmp_path: Path) -> None:
    dataset = text_report("Keine Rundherde.", make_source(), make_recipe(), observer=WHO, language="de")
    (found,) = save([dataset], tmp_path)
    lines = run("dciodvfy", "-new", found).stderr.splitlines()
    assert [line for line in lines if line.startswith(("Error", "Abort"))] == []


def test_dcmtk_reads_every_region_and_the_observer(path: Path) -> None:
    shown = run("dsrdump", path).stdout
    assert shown.count("SCOORD3D:(,,") == 15
    assert shown.count("SCOORD:(,,") == 10
    assert 'PNAME:(,,"Person Observer Name")="Łęcka^Anna"' in shown
    assert '(pl,RFC5646,"Polish")' in shown


def test_highdicom_reads_every_region_where_it_is(path: Path) -> None:
    content = hd.sr.srread(path).content
    assert isinstance(content, hd.sr.MeasurementReport)
    planar: dict[str, Any] = {
        str(group.tracking_identifier): group for group in content.get_planar_roi_measurement_groups()
    }
    assert planar["point"].roi.value.tolist() == [[1.5, 3.0, 5.0]]
    assert planar["pixel"].roi.value.tolist() == [[3.5, 4.5]]
    assert planar["circle"].roi.value.tolist() == [[5.5, 5.5], [5.5, 8.5]]
    solid: dict[str, Any] = {
        str(group.tracking_identifier): group for group in content.get_volumetric_roi_measurement_groups()
    }
    heights = [float(item.GraphicData[2]) for item in solid["box"].roi if item.ValueType == "SCOORD3D"]
    assert heights == [1.25, 2.5, 5.0, 7.5, 8.75]
    lines: dict[str, Any] = {str(group.tracking_identifier): group for group in content.get_image_measurement_groups()}
    (along,) = lines["line of pixels"].get_measurements()[0].referenced_coordinates
    assert along.value.tolist() == [[3.5, 4.5], [9.5, 8.5]]
    assert len(planar) + len(solid) + len(lines) == len(REGIONS)


def test_dcmqi_reads_the_measurement_of_every_region(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    ran = run(DCMQI, "--inputDICOM", path, "--outputMetadata", target)
    assert "ERROR" not in ran.stdout + ran.stderr
    groups = json.loads(target.read_text(encoding="utf-8"))["Measurements"]
    found = {group["TrackingIdentifier"]: float(group["measurementItems"][0]["value"]) for group in groups}
    assert found == dict.fromkeys(REGIONS, 12.5)
