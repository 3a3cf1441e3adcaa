"""Run benchmarks and print their tables: all with `python -m benchmarks`, or some, named behind it."""

from __future__ import annotations

import argparse
import sys

from benchmarks import dcgan, frechet, imports
from benchmarks.pairs import measure, table
from gancourse.notebook import environment

PARTS = {
    "frechet": lambda: table(map(measure, frechet.pairs())),
    "dcgan": lambda: table(map(measure, dcgan.pairs())),
    "losses": dcgan.compare_losses,
    "imports": imports.report,
}


def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; none: all")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        sys.exit(f"expected any of {', '.join(PARTS)}, got {', '.join(unknown)}")
    facts = environment()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    print(f"On {facts['device']}, with {versions}.\n", flush=True)
    for part in parts:
        print(f"{PARTS[part]()}\n", flush=True)


if __name__ == "__main__":
    main()
