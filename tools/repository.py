"""Point the book at a fork: `python3 tools/repository.py https://github.com/OWNER/NAME`.

`_config.yml` alone says where the book lives. Whatever else names that address (the README's badge, say) is
rewritten with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTING = re.compile(r"^(repository:\n\s+url:\s*)(\S+)", re.MULTILINE)
ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")


class AddressError(Exception):
    """An address that cannot be the book's."""


def current(root: Path) -> str:
    """Return the address that _config.yml names."""
    found = SETTING.search((root / "_config.yml").read_text(encoding="utf-8"))
    if not found:
        raise AddressError(
            "_config.yml names no repository: expected `repository:` and below it `  url: ...`"
        )
    return found.group(2)


def owner_and_name(address: str) -> tuple[str, str]:
    """Split https://github.com/OWNER/NAME."""
    match = ADDRESS.fullmatch(address)
    if not match:
        raise AddressError(f"expected URL=https://github.com/OWNER/NAME, got {address or 'nothing'}")
    return match.group(1), match.group(2)


def tracked(root: Path) -> list[Path]:
    """Return the files that git knows, so that neither .venv nor _build is touched."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [root / name for name in listed.stdout.split("\0") if name]


def spellings(owner: str, name: str) -> tuple[str, str]:
    """Return both spellings: OWNER/NAME (GitHub, Colab, badges) and OWNER.github.io/NAME (the pages)."""
    return f"{owner}/{name}", f"{owner}.github.io/{name}"


def repoint(root: Path, address: str) -> list[Path]:
    """Replace the old address by the new one in every tracked text; return the files changed."""
    old = spellings(*owner_and_name(current(root)))
    new = spellings(*owner_and_name(address))
    patterns = [re.compile(rf"(?<![\w.-]){re.escape(text)}(?![\w-])") for text in old]
    changed = []
    for path in tracked(root):
        try:
            before = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture or weights, or removed and not yet committed
        after = before
        for pattern, text in zip(patterns, new, strict=True):
            after = pattern.sub(text, after)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path.relative_to(root))
    return changed


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Repoint and say what was changed."""
    try:
        changed = repoint(root, arguments[0] if arguments else "")
    except AddressError as error:
        print(f"gancourse: {error}", file=sys.stderr)
        return 1
    print("changed: " + ", ".join(map(str, changed)) if changed else "nothing to change")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
