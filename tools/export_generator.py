"""Put the averaged generator of a finished run into the package, in float16.

    python tools/export_generator.py dcgan-28 runs/05-dcgan/main

Prints the Fréchet distance of the float32 and of the float16 weights, and writes the card beside them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from gancourse.data import mnist
from gancourse.features import classifier_hash, extract, mnist_classifier
from gancourse.metrics import frechet_distance_from_features
from gancourse.pretrained import BUILDERS, pretrained, sample_digits
from gancourse.published import WEIGHTS, file_sha256
from gancourse.training import checkpoint
from gancourse.training.checkpoint import under_prefix

N, SEED = 10_000, 5
LIMIT = 8 * 2**20
NOT_WEIGHTS = ("running_mean", "running_var", "num_batches_tracked")  # may lie outside float16's range


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in float16 and everything else as it is."""
    return {n: t if n.endswith(NOT_WEIGHTS) else t.half() for n, t in tensors.items()}


def distance(net: nn.Module, reference: Tensor) -> float:
    """Return the Fréchet distance of N samples from the reference features."""
    features, _ = extract(mnist_classifier(), sample_digits(net, N, seed=SEED))
    return frechet_distance_from_features(reference, features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=sorted(BUILDERS))
    parser.add_argument("run", type=Path, help="the folder of a finished run of `fit`")
    arguments = parser.parse_args()
    tensors, facts = checkpoint.load(arguments.run / "last.safetensors")
    averaged = under_prefix("ema", tensors)
    path, card_path = (WEIGHTS / f"{arguments.name}.{end}" for end in ("safetensors", "json"))
    save_file(halved(averaged), path)
    if path.stat().st_size > LIMIT:
        raise SystemExit(f"{path.name} has {path.stat().st_size:,} bytes, more than {LIMIT:,}")
    card = {"sha256": file_sha256(path), "steps": facts["step"], **facts["origin"], "run": facts["identity"]}
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    full = BUILDERS[arguments.name]()
    full.load_state_dict(averaged)
    reference, _ = extract(mnist_classifier(), mnist("test").images)
    found = {"float32": distance(full, reference), "float16": distance(pretrained(arguments.name), reference)}
    measured = {"value": round(found["float16"], 2), "samples": N, "seed": SEED}
    against = {"reference": "10,000 MNIST test digits", "classifier": classifier_hash()}
    card_path.write_text(json.dumps(card | {"frechet_distance": measured | against}, indent=2) + "\n")
    print(f"FD {found} at {N:,} samples, classifier {classifier_hash()}; {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
