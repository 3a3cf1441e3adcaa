F = {}
F["imports"] = r'''
import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import scipy.linalg
import torch
from torch import nn
from torch.nn.functional import interpolate as resize

import gancourse.notebook
from gancourse.data import mnist_or_digits, to_unit
from gancourse.features import FeatureNetworkError, classifier_hash, extract, inception_v3, mnist_classifier
from gancourse.losses import NON_SATURATING, WASSERSTEIN
from gancourse.metrics import (
    FeatureStats,
    class_histogram,
    extrapolate_to_infinity,
    frechet_distance,
    frechet_distance_from_features,
    inception_score,
    kernel_distance,
    precision_recall,
    squared_mmd,
)
from gancourse.models import DCGANDiscriminator, DCGANGenerator, mnist_mlp
from gancourse.penalties import gradient_penalty
from gancourse.plot import sample_grids, use_style
from gancourse.pretrained import pretrained
from gancourse.sampling import generate, sample
from gancourse.training import TrainConfig, fit

use_style()
'''
F["parameters"] = r'''
profile = None  # "quick", "full", or None: full where there is a CUDA GPU, else quick
'''
F["setup"] = r'''
profile = gancourse.notebook.profile(profile)
full = profile == "full"
device = "cuda" if torch.cuda.is_available() else "cpu"
n_eval, draws = (10_000, 20) if full else (300, 3)
sizes = (100, 200, 500, 1_000, 2_000, 5_000, 10_000) if full else (50, 100, 200)
runs = gancourse.notebook.runs_folder("08-fid") if full else None
print(f"profile {profile}: {n_eval:,} samples for each table")
'''
F["by-hand"] = r'''
def root(S):
    """Return the symmetric root of a covariance (F, F)."""
    values, vectors = torch.linalg.eigh(S)
    return vectors @ (values.clamp(min=0).sqrt()[:, None] * vectors.T)


def squared_w2(mu1, S1, mu2, S2):
    """Return the squared 2-Wasserstein distance of two Gaussians, as the theorem has it."""
    half = root(S1)
    return (mu1 - mu2).square().sum() + S1.trace() + S2.trace() - 2 * root(half @ S2 @ half).trace()


mu_r, mu_g = torch.zeros(2).double(), torch.full((2,), 0.5).double()
S_r, S_g = torch.eye(2).double(), torch.diag(torch.tensor([2.56, 1.44], dtype=torch.float64))
print(f"by hand {squared_w2(mu_r, S_r, mu_g, S_g):.6f}, the library's {frechet_distance(mu_r, S_r, mu_g, S_g):.6f}")
assert abs(squared_w2(mu_r, S_r, mu_g, S_g).item() - 0.9) < 1e-9
'''
F["couplings"] = r'''
def plan(mu1, S1, mu2, S2):
    """Return the matrix A of the best map x -> mu2 + A (x - mu1)."""
    half = root(S1)
    back = torch.linalg.inv(half)
    return back @ root(half @ S2 @ half) @ back


S1 = torch.tensor([[1.0, 0.6], [0.6, 1.0]]).double()
S2 = torch.tensor([[0.5, -0.2], [-0.2, 2.0]]).double()
x = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0)).double() @ root(S1)
best = x @ plan(mu_r, S1, mu_g, S2).T + mu_g
other = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(1)).double() @ root(S2) + mu_g
for name, y in (("best map", best), ("independent", other)):
    print(f"{name:12s} mean squared way {(x - y).square().sum(1).mean():.3f}")
print(f"theorem      {squared_w2(mu_r, S1, mu_g, S2):.3f}")
'''
F["stages"] = r'''
train_data, test_data = (mnist_or_digits(split, profile=profile) for split in ("train", "test"))
n_eval = min(n_eval, len(test_data) // 2 if not full else len(test_data))
G, classifier = pretrained("dcgan-28", device), mnist_classifier(device)
images = sample(G, n_eval, seed=0)  # stage 1: images (N, 1, 28, 28) in [-1, 1]
fake = extract(classifier, images)[0].cpu()  # stage 2: features (N, F), F = 128
real = extract(classifier, test_data.images[:n_eval])[0].cpu()
stats = [FeatureStats.of(features) for features in (real, fake)]  # stage 3: mean (F,), cov (F, F)
fd = frechet_distance(stats[0].mean, stats[0].cov, stats[1].mean, stats[1].cov)  # stage 4: a number
print(f"images {tuple(images.shape)}, features {tuple(fake.shape)}, FD {fd:.3f}")
print(f"classifier {classifier_hash()}")
assert abs(fd - frechet_distance_from_features(real, fake)) < 1e-3 * fd
'''
F["inception"] = r'''
try:
    network = inception_v3(device)
    print("the FID network is here: its features of MNIST can be computed, see the exercise")
except FeatureNetworkError as absent:
    print(f"no FID here: {str(absent).splitlines()[0][:70]}")
'''
F["harmless"] = r'''
def small(images, antialias):
    """Halve the side of images and double it again, as a careless pipeline does."""
    half = resize(images, scale_factor=0.5, mode="bilinear", antialias=antialias, align_corners=False)
    return resize(half, scale_factor=2, mode="bilinear", align_corners=False)


def fd_of(images):
    """Return the FD of images in [-1, 1] from the test digits."""
    return frechet_distance_from_features(real, extract(classifier, images)[0].cpu())


digits = to_unit(train_data.images[:n_eval])
changes = {"the same digits": digits, "bytes and back": ((digits + 1) * 127.5).byte() / 127.5 - 1}
changes |= {"shifted by one pixel": digits.roll(1, 3), "noise of .1": digits + 0.1 * torch.randn(digits.shape)}
changes |= {"resized, antialiased": small(digits, True), "resized, not": small(digits, False)}
changes["in [0, 1], not [-1, 1]"] = (digits + 1) / 2
torch.manual_seed(0)
for name, changed in changes.items():
    print(f"{name:24s} FD {fd_of(changed.clamp(-1, 1)):8.3f}")
'''
F["two-networks"] = r'''
class Untrained(nn.Module):
    """Features of a network nobody trained."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 32, 5, 2), nn.ReLU(), nn.Conv2d(32, 64, 5, 2), nn.ReLU(), nn.Flatten())

    @torch.no_grad()
    def forward(self, x):
        return self.net(x)[:, ::8]


rulers = {"classifier": lambda x: extract(classifier, x)[0].cpu(), "untrained net": Untrained(), "pixels": lambda x: x.flatten(1)}
sets = {"noise of .3": (digits + 0.3 * torch.randn(digits.shape)).clamp(-1, 1), "no 7": digits[train_data.labels[:n_eval] != 7]}
sets |= {"DCGAN": images, "real": to_unit(train_data.images[n_eval : 2 * n_eval])}
for ruler, see in rulers.items():
    reference = see(to_unit(test_data.images[:n_eval]))
    told = {name: frechet_distance_from_features(reference, see(x)) for name, x in sets.items()}
    print(f"{ruler:14s}" + "  ".join(f"{name} {value:.2f}" for name, value in told.items()))
'''
F["bias"] = r'''
pool = extract(classifier, train_data.images[: 2 * max(sizes)])[0].cpu()
order = torch.Generator().manual_seed(0)


def pair_fd(n):
    """Return the FD of two disjoint sets of n real digits."""
    mixed = pool[torch.randperm(len(pool), generator=order)]
    return frechet_distance_from_features(mixed[:n], mixed[n : 2 * n])


told = {n: [pair_fd(n) for _ in range(3)] for n in sizes}
fitted = [n for n in sizes if n >= (1_000 if full else 50)]
limit, slope = extrapolate_to_infinity(fitted, [float(np.mean(told[n])) for n in fitted])
for n, values in told.items():
    print(f"n = {n:6,d}: FD of real from real {np.mean(values):7.3f} ± {np.std(values, ddof=1):.3f}")
print(f"a line in 1/n through the last {len(fitted)}: {limit:.3f} + {slope:.0f} / n")
'''
F["spread"] = r'''
few = min(1_000, len(real))
independent = [frechet_distance_from_features(real[:few], extract(classifier, sample(G, few, seed=s))[0].cpu()) for s in range(draws)]
rng = torch.Generator().manual_seed(0)
bootstrap = []
for _ in range(draws):
    again = [x[torch.randint(few, (few,), generator=rng)] for x in (real[:few], fake[:few])]
    bootstrap.append(frechet_distance_from_features(*again))
for name, values in (("independent draws", independent), ("bootstrap", bootstrap)):
    print(f"{name:18s} FD of {few:,}: {np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}")
'''
F["is"] = r'''
def score(features):
    """Return the Inception score of features, by our classifier."""
    return inception_score(classifier.classify(features.to(device)).cpu()).mean


firsts = [int((train_data.labels == k).nonzero()[0]) for k in range(10)]
ten = to_unit(train_data.images[firsts]).repeat(n_eval // 10, 1, 1, 1)
ten_features = extract(classifier, ten)[0].cpu()
for name, features in (("test digits", real), ("DCGAN", fake), ("ten images", ten_features)):
    print(f"{name:12s} IS {score(features):.3f}, FD {frechet_distance_from_features(real, features):8.2f}")
'''
F["kid"] = r'''
half = len(pool) // 2
for n in sizes[:5]:
    picks = [torch.randperm(len(pool), generator=order)[: 2 * n] for _ in range(10)]
    mmd = [1_000 * squared_mmd(pool[pick[:n]], pool[pick[n:]]) for pick in picks]
    fds = [frechet_distance_from_features(pool[pick[:n]], pool[pick[n:]]) for pick in picks]
    print(f"n = {n:5,d}: 1000 MMD^2 {np.mean(mmd):7.3f} ± {np.std(mmd, ddof=1):.3f}, FD {np.mean(fds):7.3f}")
'''
F["truncation"] = r'''
z = torch.randn(few, 100, generator=torch.Generator().manual_seed(3))
rows = []
for psi in (0.25, 0.5, 0.75, 1.0, 1.25):
    features = extract(classifier, generate(G, psi * z))[0].cpu()
    precision, recall = precision_recall(real[:few], features)
    rows.append((psi, precision, recall, frechet_distance_from_features(real[:few], features)))
    print("z scaled by {:.2f}: precision {:.3f}, recall {:.3f}, FD {:.2f}".format(*rows[-1]))
'''
F["memory"] = r'''
picked = torch.randperm(len(train_data), generator=torch.Generator().manual_seed(4))[:n_eval]
copied, known = extract(classifier, train_data.images[picked])[0].cpu(), extract(classifier, train_data.images[: 2 * n_eval])[0].cpu()
for name, features in (("copies of training digits", extract(classifier, train_data.images[:n_eval])[0].cpu()), ("DCGAN", fake), ("test digits", real)):
    nearest = torch.cdist(features[:few], known).min(1).values
    print(f"{name:26s} FD {frechet_distance_from_features(real, features):6.3f}, copies {(nearest < 1e-3).float().mean():4.0%}, median way to the nearest training digit {nearest.median():.2f}")
'''
F["numerics"] = r'''
few_real, few_fake = real[:100].double(), fake[:100].double()
C1, C2 = (x.T.cov().numpy() for x in (few_real, few_fake))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    direct = scipy.linalg.sqrtm(C1 @ C2)
good = np.sqrt(np.clip(np.linalg.eigvalsh(root(torch.tensor(C1)).numpy() @ C2 @ root(torch.tensor(C1)).numpy()), 0, None)).sum()
print(f"100 samples, 128 features: rank {np.linalg.matrix_rank(C1)}; sqrtm gives {direct.dtype}, trace {np.trace(direct):.4f}")
print(f"symmetrized: trace {good:.4f}")
'''
ORDER = list(F)
