"""The two commands' preparations: one line a failure, nothing done twice, half-made things mended."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import environment
import page_tools
import pytest
import repository
import stages

ROOT = Path(__file__).resolve().parent.parent
Usage = namedtuple("Usage", "total used free")
OLD_PYTHON = """
import runpy, sys
sys.version_info, sys.argv = (3, 8, 10), ["setup.py", "book"]
runpy.run_path("tools/setup.py", run_name="__main__")
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the set-up reads, and an environment that needs no network."""
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def bare_venv(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in which every command ends well and is written down in `clone/commands`."""
    (clone / ".venv").mkdir()
    monkeypatch.setattr(environment, "healthy", lambda venv: True)
    monkeypatch.setattr(environment, "check_space", lambda root: None)

    def note(what: str, command: list[object], root: Path, **_: object) -> str:
        with (root / "commands").open("a") as file:
            file.write(" ".join(map(str, command)) + "\n")
        return ""

    monkeypatch.setattr(environment, "run", note)
    return clone / ".venv"


def script(folder: Path, text: str, code: int = 1) -> list[str]:
    """A command that says something and ends with a code, as pip or npm would."""
    path = folder / "command.py"
    path.write_text(f"import sys\nprint({text!r})\nsys.exit({code})\n")
    return [sys.executable, str(path)]


# ------------------------------------------------------------------ one line that says what to do


def test_an_old_python_is_told_so() -> None:
    done = subprocess.run([sys.executable, "-c", OLD_PYTHON], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed, this is 3.8" in done.stderr
    assert "PYTHON=" in done.stderr


def test_the_first_file_can_be_read_by_an_old_python() -> None:
    tree = ast.parse((ROOT / "tools" / "setup.py").read_text(encoding="utf-8"), feature_version=(3, 4))
    new = [n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr)]
    arguments = [n for n in ast.walk(tree) if isinstance(n, ast.arg) and n.annotation]
    assert new + arguments == []


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "the disk is full"),
        ("npm error code ENOSPC", "the disk is full"),
        (
            "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found for torch",
            "no network",
        ),
        ("npm error code EAI_AGAIN", "no network"),
        ("Temporary failure resolving 'host'", "no network"),
        ("working\nERROR: the wheel is broken\n", "pip failed: ERROR: the wheel is broken"),
    ],
)
def test_a_failed_command_is_explained_in_one_line(tmp_path: Path, said: str, explained: str) -> None:
    with pytest.raises(stages.SetupError) as error:
        stages.run("pip", script(tmp_path, said), tmp_path)
    assert explained in str(error.value)
    assert "\n" not in str(error.value)
    assert said.splitlines()[0] in (tmp_path / stages.LOG_NAME).read_text()


def test_a_full_disk_is_seen_before_anything_is_installed(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 3 * 10**9))
    with pytest.raises(stages.SetupError, match=r"3\.0 GB are free .* about 8 GB are needed"):
        environment.check_space(clone)


def test_a_disk_that_fills_up_later_ends_in_one_line(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        full = OSError(28, "No space left on device")
        patch.setattr(environment, "make_venv", lambda root: (_ for _ in ()).throw(full))
        assert environment.main(["book"], clone) == 1
    assert "the disk is full" in capsys.readouterr().out


def test_an_interruption_says_how_to_go_on(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "make_venv", lambda root: (_ for _ in ()).throw(KeyboardInterrupt))
        assert environment.main(["book"], clone) == 130
    assert "goes on where this one stopped" in capsys.readouterr().out


def test_a_python_without_venv_names_the_package(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = script(clone, "The virtual environment was not created because ensurepip is not available.")
    real = stages.run
    monkeypatch.setattr(environment, "run", lambda what, command, root: real(what, fake, root))
    with pytest.raises(stages.SetupError, match=r"install python3\.\d+-venv"):
        environment.make_venv(clone)


def test_a_wrong_word_shows_the_usage(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert environment.main(["bok"], clone) == 2
    assert "book|test|lab" in capsys.readouterr().out


# ------------------------------------------------------------------ nothing twice


def test_the_second_time_nothing_is_installed(clone: Path, bare_venv: Path) -> None:
    environment.prepare("lab", clone)
    first = (clone / "commands").read_text()
    assert "-r requirements.txt" in first
    assert "-e ." in first
    environment.prepare("lab", clone)
    assert (clone / "commands").read_text() == first


def test_other_requirements_are_installed(clone: Path, bare_venv: Path) -> None:
    environment.prepare("lab", clone)
    (clone / "requirements.txt").write_text("torch==2.14.0\n")
    environment.prepare("lab", clone)
    assert (clone / "commands").read_text().count("-r requirements.txt") == 2


def test_an_interrupted_installation_is_taken_up_again(clone: Path, bare_venv: Path) -> None:
    done = environment.run

    def stop(what: str, command: list[object], root: Path, **_: object) -> str:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "run", stop)
        assert environment.main(["lab"], clone) == 130
    assert stages.read_stamp(bare_venv) == {}
    assert environment.run is done
    assert environment.main(["lab"], clone) == 0
    assert "python" in stages.read_stamp(bare_venv)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_an_unreadable_stamp_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / stages.STAMP_NAME).write_text(text)
    assert stages.read_stamp(tmp_path) == {}


# ------------------------------------------------------------------ half-made things are mended


def test_a_half_made_environment_is_made_anew(clone: Path) -> None:
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").write_text("")
    assert not environment.healthy(clone / ".venv")
    venv = environment.make_venv(clone)
    assert environment.healthy(venv)


def test_an_environment_that_was_moved_is_not_trusted(clone: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / "elsewhere"], check=True)
    (clone / "elsewhere").rename(clone / ".venv")
    assert not environment.healthy(clone / ".venv")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """One installed package, whole."""
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (tmp_path / "thing.py").write_text("x = 1\n")
    (info / "INSTALLER").write_text("pip\n")
    (info / "RECORD").write_text(
        "thing.py,sha256=abc,6\nthing-1.0.dist-info/RECORD,,\n__pycache__/thing.pyc,,\n"
    )
    return tmp_path


def test_a_whole_package_is_left_alone(site: Path) -> None:
    assert list(environment.half_installed(site)) == []


@pytest.mark.parametrize(
    "damage", ["thing.py", "thing-1.0.dist-info/RECORD", "thing-1.0.dist-info/INSTALLER"]
)
def test_a_half_installed_package_is_forgotten(site: Path, damage: str) -> None:
    (site / damage).unlink()
    environment.mend(site)
    assert list(site.glob("*.dist-info")) == []


def test_a_truncated_file_is_noticed(site: Path) -> None:
    (site / "thing.py").write_text("x =")
    assert [path.name for path in environment.half_installed(site)] == ["thing-1.0.dist-info"]


def test_mathjax_is_copied_whole_or_not_at_all(tmp_path: Path) -> None:
    package, target = tmp_path / "mathjax", tmp_path / "static" / "mathjax"
    fonts = package / "es5" / "output" / "chtml" / "fonts" / "woff-v2"
    fonts.mkdir(parents=True)
    target.mkdir(parents=True)
    (fonts / "a.woff").write_text("font")
    with pytest.raises(FileNotFoundError):
        page_tools.copy_mathjax(package, target)
    assert list(target.iterdir()) == []
    (package / "es5" / "tex-chtml-full.js").write_text("script")
    (package / "LICENSE").write_text("license")
    page_tools.copy_mathjax(package, target)
    assert {path.name for path in target.iterdir()} == {"LICENSE", "output", "tex-chtml-full.js"}


# ------------------------------------------------------------------ the browser


def test_no_browser_and_no_right_to_install_one_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_tools, "find_chromium", lambda: None)
    monkeypatch.setattr(page_tools, "become_root", lambda: None)
    page_tools.install_chromium(tmp_path, tmp_path)
    assert "may not install one" in (tmp_path / page_tools.CHROMIUM_MISSING).read_text()
    monkeypatch.setattr(page_tools, "find_chromium", lambda: sys.executable)
    page_tools.install_chromium(tmp_path, tmp_path)
    assert not (tmp_path / page_tools.CHROMIUM_MISSING).exists()


# ------------------------------------------------------------------ make, and the address of a fork


@pytest.mark.parametrize("target", ["book", "test", "run", "lab", "serve", "repository", "clean", "help"])
@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here; the README lists the commands")
def test_make_knows_the_target(target: str) -> None:
    done = subprocess.run(
        ["make", "-n", target, "NB=05", "PROFILE=quick"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if target == "run":
        assert "tools/run_notebook.py 05 --profile quick" in done.stdout


def test_a_fork_is_pointed_at_itself(tmp_path: Path) -> None:
    names = [path for path in ("_config.yml", "README.md", "pyproject.toml") if (ROOT / path).exists()]
    for name in names:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "page.md").write_text(
        "https://gancourse.github.io/gancourse/ and github.com/gancourse/gancourse/x\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    old = repository.current(ROOT)
    assert repository.main(["https://github.com/someone/my-gans.git"], tmp_path) == 0
    assert repository.current(tmp_path) == "https://github.com/someone/my-gans"
    for path in (tmp_path / name for name in [*names, "page.md"]):
        text = path.read_text()
        assert old not in text
        assert not any(spelling in text for spelling in repository.spellings(*repository.owner_and_name(old)))
    assert "https://someone.github.io/my-gans/" in (tmp_path / "page.md").read_text()
    assert repository.main([old], tmp_path) == 0
    assert (tmp_path / "_config.yml").read_text() == (ROOT / "_config.yml").read_text()


@pytest.mark.parametrize(
    "address", ["", "someone/my-gans", "https://example.org/a/b", "https://github.com/someone"]
)
def test_a_wrong_address_changes_nothing(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "_config.yml", tmp_path)
    assert repository.main([address], tmp_path) == 1
    assert "https://github.com/OWNER/NAME" in capsys.readouterr().err
