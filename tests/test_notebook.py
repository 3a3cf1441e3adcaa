"""What a notebook asks before it starts, and the facts it is stamped with."""

import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gancourse.notebook import device_name, environment, prepare, profile, runs_folder


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Give torch its threads back: a quick profile takes all but one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("value", ["quick", "full"])
def test_a_given_profile_wins(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANCOURSE_PROFILE", "quick" if value == "full" else "full")
    assert profile(value) == value


@pytest.mark.parametrize("cuda", [True, False])
def test_the_environment_comes_before_the_device(cuda: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setenv("GANCOURSE_PROFILE", "quick" if cuda else "full")
    assert profile() == ("quick" if cuda else "full")


@pytest.mark.parametrize("unset", [None, ""])
@pytest.mark.parametrize(("cuda", "expected"), [(True, "full"), (False, "quick")])
def test_the_device_decides_last(
    unset: str | None, cuda: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.delenv("GANCOURSE_PROFILE", raising=False)
    if unset is not None:
        monkeypatch.setenv("GANCOURSE_PROFILE", unset)
    assert profile() == expected


def test_another_profile_is_refused_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match='expected profile to be "quick" or "full", got \'fast\''):
        profile("fast")
    monkeypatch.setenv("GANCOURSE_PROFILE", "Full")
    with pytest.raises(ValueError, match=r"expected GANCOURSE_PROFILE to be .* got 'Full'"):
        profile()


def test_a_quick_run_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", limits.append)
    profile("full")
    assert limits == []
    profile("quick")
    assert limits == [1]


def test_a_cpu_is_named_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    kind, threads, name = device_name().split(", ", maxsplit=2)
    assert (kind, threads) == ("CPU", "2 threads")
    assert name
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert device_name().startswith("CPU, 1 thread, ")


def test_the_environment_names_each_version() -> None:
    facts = environment()
    assert facts["device"] == device_name()
    assert facts["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "not installed" not in facts["versions"].values()


def test_trainings_are_kept_at_the_root_wherever_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANCOURSE_RUNS", raising=False)
    (tmp_path / "fork" / "book").mkdir(parents=True)
    (tmp_path / "fork" / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path / "fork" / "book")
    assert runs_folder("05-dcgan") == Path("../runs/05-dcgan")
    monkeypatch.chdir(tmp_path / "fork")
    assert runs_folder("05-dcgan") == Path("runs/05-dcgan")
    monkeypatch.chdir(tmp_path)
    assert runs_folder("05-dcgan") == Path("runs/05-dcgan")  # no repository: beside the notebook
    monkeypatch.setenv("GANCOURSE_RUNS", str(tmp_path / "drive"))
    assert runs_folder("05-dcgan") == Path("drive/05-dcgan")


def test_a_gpu_is_named_by_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    assert device_name() == "GPU of None"
    assert device_name(torch.device("cuda", 1)) == "GPU of cuda:1"
    assert device_name(torch.device("cpu")).startswith("CPU, ")


def test_a_missing_package_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without_torchvision(name: str) -> str:
        if name == "torchvision":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_torchvision)
    assert environment()["versions"]["torchvision"] == "not installed"


# ------------------------------------------------------------------ what a notebook says first


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Colab has: a module google.colab.drive; the places where a Drive was mounted."""
    mounted: list[str] = []
    for name in ("google", "google.colab", "google.colab.drive"):
        module = ModuleType(name)
        module.__spec__, module.__path__ = ModuleSpec(name, None, is_package=True), []
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["google.colab.drive"].mount = mounted.append  # type: ignore[attr-defined]
    return mounted


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    # Set first, so that what prepare() sets is undone with the rest.
    for name in ("GANCOURSE_RUNS", "GANCOURSE_PROFILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_gpu")
def test_the_first_lines_tell_device_profile_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    prepare(quick="20 s on 2 cores", full="2.1 h on 2 cores")
    device, chosen, kept = capsys.readouterr().out.splitlines()
    assert device == f"no GPU: {device_name()}"
    assert chosen.startswith("profile quick, ")
    assert chosen.endswith("expected time: 20 s on 2 cores")
    assert kept == "checkpoints of full runs go to runs/"


@pytest.mark.usefixtures("no_gpu")
def test_with_a_gpu_the_full_time_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    prepare(quick="20 s", full="2.1 h on 2 cores")
    device, chosen, _ = capsys.readouterr().out.splitlines()
    assert device == "GPU: Tesla T4"
    assert chosen.startswith("profile full, ")
    assert chosen.endswith("expected time: 2.1 h on 2 cores")


@pytest.mark.usefixtures("no_gpu")
def test_on_colab_checkpoints_go_to_the_drive(colab: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    prepare(quick="20 s", full="2 h")
    said = capsys.readouterr().out
    assert "Runtime > Change runtime type" in said
    assert "runs/, which Colab forgets" in said
    assert colab == []
    prepare(quick="20 s", full="2 h", drive=True)
    assert colab == ["/content/drive"]
    assert "checkpoints of full runs go to /content/drive/MyDrive/gancourse/runs" in capsys.readouterr().out
    assert runs_folder("05").resolve() == Path("/content/drive/MyDrive/gancourse/runs/05")


@pytest.mark.usefixtures("no_gpu")
def test_a_drive_that_is_not_there_is_refused_with_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="on Colab only; elsewhere set GANCOURSE_RUNS"):
        prepare(quick="20 s", full="2 h", drive=True)
