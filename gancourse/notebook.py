"""What a notebook asks before it starts, and what its stamp tells afterwards."""

import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

import torch

import gancourse

Profile = Literal["quick", "full"]


class Environment(TypedDict):
    """Where a notebook ran: the device, and the version of each package that shapes its numbers."""

    device: str
    versions: dict[str, str]


def profile(value: str | None = None) -> Profile:
    """Return "quick" or "full": the given value, else GANCOURSE_PROFILE, else "full" if there is a CUDA GPU.

    Quick shows within a minute that everything runs; full makes the results that the book shows. Quick also
    limits torch to one CPU thread: sums are then rounded in the same order on any number of cores, and a
    training of few steps ends alike.
    """
    chosen = _chosen(value)
    if chosen == "quick":
        torch.set_num_threads(1)
    return chosen


def _chosen(value: str | None) -> Profile:
    source = "profile"
    if value is None:
        source, value = "GANCOURSE_PROFILE", os.environ.get("GANCOURSE_PROFILE") or None
    if value is None:
        return "full" if torch.cuda.is_available() else "quick"
    if value not in ("quick", "full"):
        raise ValueError(
            f'expected {source} to be "quick" or "full", got {value!r}; set one of the two, or neither'
        )
    return cast(Profile, value)


def device_name(device: torch.device | None = None) -> str:
    """Name what computes: the GPU, or the CPU with the number of its threads that torch uses.

    Without a `device`, the GPU where there is one.
    """
    if torch.cuda.is_available() if device is None else device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"CPU, {threads} {'thread' if threads == 1 else 'threads'}, {_processor()}"


def environment() -> Environment:
    """Gather the facts without which a number cannot be reproduced: device and versions."""
    versions = {name: _version(name) for name in ("torch", "torchvision", "numpy")}
    own = {"python": platform.python_version(), "gancourse": gancourse.__version__}
    return {"device": device_name(), "versions": own | versions}


def peak_memory() -> dict[str, int]:
    """Return the most memory that this process has held, in MiB: "host", and "GPU" where it used one."""
    if sys.platform == "win32":  # which has no such count
        return {}
    resource = importlib.import_module("resource")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks["GPU"] = torch.cuda.max_memory_allocated() // 2**20
    return peaks


def origin(seconds: float, device: torch.device | None = None) -> dict[str, Any]:
    """Say where and when a training was made, and in how many seconds; a checkpoint keeps it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"device": device_name(device), "date": now, "wall_s": round(seconds, 1)}


def note_run(directory: Path, steps: int, reused: int, made: dict[str, Any]) -> None:
    """Tell the notebook's stamp about a training, where one is listening; `made` is its `origin`."""
    listener = os.environ.get("GANCOURSE_RUN_LOG")
    if listener:
        facts = {"run": str(directory), "steps": steps, "steps_reused": reused, **made}
        with open(listener, "a") as file:
            file.write(json.dumps(facts) + "\n")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    # platform.processor() is empty on most Linux machines; the kernel knows the model's name.
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def runs_folder(name: str) -> Path:
    """Return where a notebook keeps its trainings: GANCOURSE_RUNS/name, else runs/name at the root.

    Outside the repository, runs/name in the working directory. On Colab `prepare(drive=True)` points
    GANCOURSE_RUNS to your Drive, and a disconnect costs minutes. The path is relative to the working
    directory where it can be.
    """
    given = os.environ.get("GANCOURSE_RUNS")
    here = Path.cwd()
    roots = (folder for folder in (here, *here.parents) if (folder / "_toc.yml").exists())
    folder = Path(given) if given else next(roots, here) / "runs"
    return Path(os.path.relpath(folder / name))


def prepare(*, quick: str, full: str, drive: bool = False) -> None:
    """Print what the notebook runs on, in which profile, and the time to expect; on Colab mount the Drive.

    `quick` and `full` say what the two profiles took, and on what. With `drive` the checkpoints of long runs
    are kept in MyDrive/gancourse/runs, so that after a disconnect the same cells go on where they stopped.
    """
    gpu = torch.cuda.is_available()
    chosen = profile()  # before the device is named: it limits the threads
    expected = quick if chosen == "quick" else full
    print(f"{'GPU' if gpu else 'no GPU'}: {device_name()}")
    print(f"profile {chosen}, unless the cell `parameters` says otherwise; expected time: {expected}")
    if not gpu and _on_colab():
        print("for the results of the page: Runtime > Change runtime type > a GPU, then this cell again")
    if drive:
        os.environ["GANCOURSE_RUNS"] = str(_mount_drive() / "gancourse" / "runs")
    kept = os.environ.get("GANCOURSE_RUNS", "runs/, which Colab forgets" if _on_colab() else "runs/")
    print(f"checkpoints of full runs go to {kept}")


def _on_colab() -> bool:
    # find_spec raises where the parent package, google, is missing.
    return bool(find_spec("google")) and bool(find_spec("google.colab"))


def _mount_drive() -> Path:
    if not _on_colab():
        raise RuntimeError(
            "expected drive=True on Colab only; elsewhere set GANCOURSE_RUNS to a folder that you keep"
        )
    importlib.import_module("google.colab.drive").mount("/content/drive")
    return Path("/content/drive/MyDrive")
