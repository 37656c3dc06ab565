"""What `doctor` says of the device that computes."""

from typing import TYPE_CHECKING

from indexer.errors import SettingsError, WeightsError
from indexer.models.int8 import report as int8
from indexer.settings import Settings
from indexer.work.finding import Finding

if TYPE_CHECKING:
    from indexer.models.runtimes.gpu import Build, Driver
    from indexer.models.runtimes.openvino import Found


def device_finding(
    settings: Settings, driver: "Driver | None" = None, build: "Build | None" = None, found: "Found | None" = None
) -> Finding:
    """Where the models run, and why they do not use a GPU that is there. The others: as of `choose_device`."""
    from indexer.models.ocr.engines import engine_gpu_trouble, engine_way
    from indexer.models.runtimes.device import INTEL_GPU, choose_device

    reads = ""
    try:
        device, trouble = choose_device(settings.device, driver=driver, build=build, found=found)
        if "ocr" in settings.tasks:
            way, why = engine_way(settings.ocr_engine, settings.ocr_runtime, settings.ocr_precision, device)
            reads = f", text is read with {way}: {why}{int8.of_ocr(settings)}"
    except (SettingsError, WeightsError) as error:
        return Finding("device", "fails", str(error))
    on_gpu = device == "cuda" and "ocr" in settings.tasks and settings.ocr_runtime != "torch"
    if on_gpu and (trouble := engine_gpu_trouble(settings.ocr_engine)):
        return Finding("device", "advice", f"cuda for CLIP, but cpu for OCR: {trouble}")
    if trouble:
        return Finding("device", "advice", trouble)
    threads = f", {settings.threads} threads" if device != "cuda" else ""
    where = f"cpu, and {device} for CLIP's pictures if it is faster" if device == INTEL_GPU else device
    return Finding("device", "ok", f"{where}{threads}{reads}")
