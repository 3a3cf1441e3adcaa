"""What a notebook asks before it starts, and the facts it is stamped with."""

from importlib import metadata
from pathlib import Path

import pytest
import torch

from gancourse.notebook import device_name, environment, profile, runs_folder


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
