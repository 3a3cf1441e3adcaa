"""Make the statistics of real digits that the assignment's check of samples compares with, once.

    python tools/digit_statistics.py --output somewhere.safetensors

Mean and covariance of the classifier's 128 features over the 10,000 test digits: so the check needs no MNIST.
The file names the classifier that they belong to. It is made again only when that classifier is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from gancourse.assignment.samples import STATISTICS
from gancourse.data import mnist
from gancourse.features import classifier_hash, extract, mnist_classifier
from gancourse.metrics import FeatureStats


def statistics() -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return mean (128,) and cov (128, 128) in float64, and where they come from."""
    features, _ = extract(mnist_classifier(), mnist("test").images)
    stats = FeatureStats.of(features)
    source = {"classifier": classifier_hash(), "images": f"{stats.n:,} MNIST test digits"}
    return {"mean": stats.mean, "cov": stats.cov.contiguous()}, source


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=STATISTICS)
    args = parser.parse_args()
    if args.output.exists():
        parser.error(f"{args.output} exists; the bounds of check_samples are measured with it")
    tensors, source = statistics()
    save_file(tensors, args.output, metadata=source)
    print(f"{args.output}: {args.output.stat().st_size:,} bytes, {source}")


if __name__ == "__main__":
    main()
