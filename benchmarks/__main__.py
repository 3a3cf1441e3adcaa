"""Time the library against its peers: all works with `python -m benchmarks`, or some, named behind it.

All of them, in one run, are written to book/speed.json, from which the book's page is made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import dcgan, frechet, gpu, growth, imports, limits, seeds, store
from benchmarks.pairs import Pair, measure, table
from gancourse.data import mnist_or_digits
from gancourse.notebook import environment

PAIRS: dict[str, Callable[[], list[Pair]]] = {
    "frechet": frechet.pairs,
    "dcgan": dcgan.pairs,
    "seeds": seeds.pairs,
    "gpu": gpu.pairs,
}
REPORTS = {"losses": dcgan.compare_losses, "imports": imports.report}


def kind() -> str:
    """Return the kind of device whose works are measured."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def works() -> list[str]:
    """Return the names of the pairs that this machine can measure: the GPU's on a GPU, else the CPU's."""
    return ["gpu"] if kind() == "cuda" else [name for name in PAIRS if name != "gpu"]


def compare(names: list[str]) -> list[dict[str, Any]]:
    """Measure pairs, print their table, return what the book tells of them."""
    results = []
    for name in names:
        results += [measure(pair) for pair in PAIRS[name]()]
        print(f"{name}: done", file=sys.stderr, flush=True)
    print(f"{table(results)}\n", flush=True)
    return [result.facts() for result in results]


def everything() -> None:
    """Measure all works, how cost grows and how far the limits are; write book/speed.json."""
    facts: dict[str, Any] = {"rows": compare(works()), "curves": growth.curves(kind())}
    steps = 1_000 if kind() == "cuda" else 50
    data = mnist_or_digits("train", profile="full")
    trained = limits.timed(lambda: dcgan.ours(data, steps, device=kind()), kind())
    facts["limits"] = limits.shares(data, trained / steps, kind())
    if kind() == "cuda":
        facts["whole_training"] = {"epochs": gpu.EPOCHS, "seconds": gpu.whole_training(data)}
    store.write(kind(), facts)
    print(f"written to {store.PATH.name}")


def main() -> None:
    """Run the parts that the command line names."""
    known = [*PAIRS, *REPORTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(known)}; none: all")
    parts = parser.parse_args().parts
    if unknown := [part for part in parts if part not in known]:
        sys.exit(f"expected any of {', '.join(known)}, got {', '.join(unknown)}")
    facts = environment()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    print(f"On {facts['device']}, with {versions}.\n", flush=True)
    if not parts:
        everything()
    elif pairs := [part for part in parts if part in PAIRS]:
        compare(pairs)
    for part in [part for part in parts if part in REPORTS]:
        print(f"{REPORTS[part]()}\n", flush=True)


if __name__ == "__main__":
    main()
