"""The check of FID: each mistake fails its rule, with its hint, and no other; right ones get full marks."""

from __future__ import annotations

import contextlib
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from gancourse.assignment.distance import FID, check_fid
from gancourse.assignment.frechet_facts import gaussian, theorem
from gancourse.assignment.report import DONE, Report
from gancourse.metrics import frechet_distance_from_features

BOOK = Path(__file__).parent.parent / "book"
Fid = Callable[[Any, Any], Any]

# ------------------------------------------------------------------ right, in different styles


def with_sqrtm(real: Tensor, fake: Tensor) -> float:
    real, fake = np.asarray(real), np.asarray(fake)
    root = scipy.linalg.sqrtm(np.cov(real, rowvar=False) @ np.cov(fake, rowvar=False))
    difference = real.mean(axis=0) - fake.mean(axis=0)
    traces = np.trace(np.cov(real, rowvar=False)) + np.trace(np.cov(fake, rowvar=False))
    return float(difference @ difference + traces - 2 * np.trace(root).real)


def with_arrays_only(real: np.ndarray, fake: np.ndarray) -> np.float64:
    (mu1, c1), (mu2, c2) = ((x.astype(np.float64).mean(0), np.cov(x.T)) for x in (real, fake))
    eigenvalues = np.linalg.eigvals(c1 @ c2).real.clip(min=0)
    return ((mu1 - mu2) ** 2).sum() + np.trace(c1 + c2) - 2 * np.sqrt(eigenvalues).sum()


def covs(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cov(real.double().T), torch.cov(fake.double().T)


def means_apart(real: Tensor, fake: Tensor) -> Tensor:
    return (real.double().mean(0) - fake.double().mean(0)).square().sum()


def trace_of_root(c1: Tensor, c2: Tensor) -> Tensor:
    return torch.linalg.eigvals(c1 @ c2).sqrt().real.sum()


def with_eigenvalues(real: Tensor, fake: Tensor) -> Tensor:
    c1, c2 = covs(real, fake)
    return means_apart(real, fake) + c1.trace() + c2.trace() - 2 * trace_of_root(c1, c2)


def with_symmetric_roots(real: Tensor, fake: Tensor) -> Tensor:
    def root(c: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(c)
        return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T

    c1, c2 = covs(real, fake)
    return means_apart(real, fake) + (c1 + c2 - 2 * root(root(c1) @ c2 @ root(c1))).trace()


def in_float32_with_a_nuclear_norm(real: Tensor, fake: Tensor) -> float:
    (m1, a), (m2, b) = ((x.mean(0), (x - x.mean(0)) / (len(x) - 1) ** 0.5) for x in (real, fake))
    value = (m1 - m2).pow(2).sum() + a.pow(2).sum() + b.pow(2).sum()
    return (value - 2 * torch.linalg.matrix_norm(a @ b.T, "nuc")).item()


def divided_by_n(real: Tensor, fake: Tensor) -> Tensor:
    c1, c2 = (torch.cov(x.double().T, correction=0) for x in (real, fake))
    return means_apart(real, fake) + c1.trace() + c2.trace() - 2 * trace_of_root(c1, c2)


def in_place(real: Tensor, fake: Tensor) -> Tensor:
    mu1, mu2 = real.mean(0), fake.mean(0)
    real -= mu1
    fake -= mu2
    c1, c2 = real.T @ real / (len(real) - 1), fake.T @ fake / (len(fake) - 1)
    return (mu1 - mu2).square().sum() + c1.trace() + c2.trace() - 2 * trace_of_root(c1.double(), c2.double())


class Distance:
    """An object that is called, with the root of Higham's iteration's cousin: eigenvalues, one by one."""

    def __call__(self, real: Tensor, fake: Tensor) -> list[float] | np.ndarray:
        return np.array(with_sqrtm(real, fake))


def with_a_small_eps(real: Tensor, fake: Tensor) -> float:
    c1, c2 = (c + 1e-6 * torch.eye(len(c)) for c in covs(real, fake))
    return float(means_apart(real, fake) + c1.trace() + c2.trace() - 2 * trace_of_root(c1, c2))


RIGHT: dict[str, Fid] = {
    "the library's": frechet_distance_from_features,
    "scipy's sqrtm": with_sqrtm,
    "arrays only": with_arrays_only,
    "eigenvalues, a tensor": with_eigenvalues,
    "symmetric roots": with_symmetric_roots,
    "float32, nuclear norm": in_float32_with_a_nuclear_norm,
    "divided by N": divided_by_n,
    "changes its arguments": in_place,
    "an object": Distance(),
    "a small eps": with_a_small_eps,
    "a closure": lambda real, fake: max(with_eigenvalues(real, fake).item(), 0.0),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_gets_full_marks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_fid(RIGHT[name]) == Report(10, 10), capsys.readouterr().out


def test_a_covariance_divided_by_n_is_remarked(capsys: pytest.CaptureFixture[str]) -> None:
    check_fid(divided_by_n)
    assert "! the covariance is divided by N;" in capsys.readouterr().out
    check_fid(with_sqrtm)
    assert "!" not in capsys.readouterr().out


# ------------------------------------------------------------------ wrong


def formula(real: Any, fake: Any, *, rowvar: bool = False, axis: int = 0, root: Any = None) -> Any:
    """The formula in NumPy, with places for mistakes."""
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    c1, c2 = np.cov(real, rowvar=rowvar), np.cov(fake, rowvar=rowvar)
    difference = real.mean(axis) - fake.mean(axis)
    middle = (root or (lambda a, b: scipy.linalg.sqrtm(a @ b).real))(c1, c2)
    return float(difference @ difference + np.trace(c1 + c2 - 2 * middle))


def transposed_with_nan(real: Tensor, fake: Tensor) -> float:
    c1, c2 = torch.cov(real.double()), torch.cov(fake.double())
    values, vectors = torch.linalg.eigh(c1)
    root = vectors @ torch.diag(values.sqrt()) @ vectors.T
    middle = torch.linalg.eigvalsh(root @ c2 @ root).sqrt().sum()
    return float(means_apart(real, fake) + c1.trace() + c2.trace() - 2 * middle)


def pairs_of_rows(real: Tensor, fake: Tensor) -> float:
    between = (real - fake).mean(0).square().sum().item()
    return between + formula(real - real.mean(0), fake - fake.mean(0))


def uncentered(real: Tensor, fake: Tensor) -> float:
    c1, c2 = (x.double().T @ x.double() / (len(x) - 1) for x in (real, fake))
    return float(means_apart(real, fake) + c1.trace() + c2.trace() - 2 * trace_of_root(c1, c2))


def complex_root(real: Tensor, fake: Tensor) -> Any:
    c1, c2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    return means_apart(real, fake).item() + np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2))


def nan_root(real: Tensor, fake: Tensor) -> float:
    c1, c2 = covs(real, fake)
    middle = torch.linalg.eigvals(c1 @ c2).real.sqrt().sum()  # some eigenvalues are -1e-17
    return float(means_apart(real, fake) + c1.trace() + c2.trace() - 2 * middle)


def cholesky(real: Tensor, fake: Tensor) -> float:
    c1, c2 = covs(real, fake)
    factor = torch.linalg.cholesky(c1)
    middle = torch.linalg.eigvalsh(factor.T @ c2 @ factor).sqrt().sum()
    return float(means_apart(real, fake) + c1.trace() + c2.trace() - 2 * middle)


def with_means(power: Callable[[np.ndarray], float]) -> Fid:
    """Return the distance with another term of the means."""

    def fid(real: Tensor, fake: Tensor) -> float:
        difference = (real.mean(0) - fake.mean(0)).numpy()
        return power(difference) + formula(real - real.mean(0), fake - fake.mean(0))

    return fid


HERE = gaussian(8), gaussian(9)  # variables of the notebook

WRONG: dict[str, tuple[Any, tuple[str, ...], str]] = {
    # name: (submission, the rules that fail, words of the hint)
    "not a function": (3.14, ("number",), "not what it returns"),
    "no return": (lambda real, fake: None, ("number",), "its last line returns one number"),
    "an error": (lambda real, fake: 1 / 0, ("number",), "its last line returns one number"),
    "three arguments": (lambda real, fake, eps: 0.0, ("number",), "takes real (N, F) and fake"),
    "both terms, not summed": (lambda real, fake: (1.0, 2.0), ("number",), "returns one number"),
    "a vector": (lambda real, fake: real.mean(0) - fake.mean(0), ("number",), "returns one number"),
    "always NaN": (lambda real, fake: torch.log(torch.tensor(-1.0)), ("number",), "first with a NaN"),
    "complex": (lambda real, fake: formula(real, fake) + 1e-9j, ("number",), "return the real part"),
    "np.cov, rowvar left out": (lambda r, f: formula(r, f, rowvar=True), ("rows",), "rowvar=False"),
    "all transposed": (lambda r, f: formula(r, f, rowvar=True, axis=1), ("rows",), "rowvar=False"),
    "torch.cov, no transpose": (transposed_with_nan, ("rows",), "torch.cov the transpose"),
    "mean over the features": (lambda r, f: formula(r, f, axis=1), ("rows",), "the mean is over dim 0"),
    "rows in pairs": (pairs_of_rows, ("rows",), "no row of one set belongs to a row of the other"),
    "same set twice": (lambda real, fake: formula(real, real), ("both",), "is one set used twice"),
    "fake twice": (lambda real, fake: formula(fake, fake), ("both",), "is one set used twice"),
    "a constant": (lambda real, fake: 0.0, ("both",), "a variable of the notebook"),
    "variables of the notebook": (lambda r, f: formula(*HERE), ("both",), "a variable of the notebook"),
    "one variable of the notebook": (lambda r, f: formula(HERE[0], f), ("both",), "in place of an argument"),
    "root of the distance": (lambda r, f: formula(r, f) ** 0.5, ("squared",), "leave the last square root"),
    "means: norm": (with_means(lambda d: float(np.linalg.norm(d))), ("means",), "is to be squared"),
    "means: averaged": (with_means(lambda d: float((d**2).mean())), ("means",), "do not average them"),
    "means: sizes": (with_means(lambda d: float(abs(d).sum())), ("means",), "do not take their sizes"),
    "means: square of the sum": (with_means(lambda d: float(d.sum() ** 2)), ("means",), "before you sum"),
    "means: doubled": (with_means(lambda d: 2 * float(d @ d)), ("means",), "add the sum of the squared"),
    "no means": (with_means(lambda d: 0.0), ("means",), "the means are missing"),
    "no centering": (uncentered, ("means",), "subtract the mean from the features"),
    "only the means": (lambda r, f: means_apart(r, f), ("covariances",), "the covariances are missing"),
    "covariance, not its root": (
        lambda r, f: formula(r, f, root=lambda a, b: a @ b), ("covariances",), "take the root of the matrix",
    ),
    "root of each entry": (
        lambda r, f: formula(r, f, root=lambda a, b: np.sqrt(a @ b)), ("covariances",), "root of each entry",
    ),
    "root of each entry, in torch": (
        lambda r, f: means_apart(r, f) + sum(c.trace() for c in covs(r, f))
        - 2 * torch.sqrt(covs(r, f)[0] @ covs(r, f)[1]).trace(),
        ("covariances",), "root of each entry",
    ),
    "factor 2 missing": (
        lambda r, f: formula(r, f, root=lambda a, b: scipy.linalg.sqrtm(a @ b).real / 2),
        ("covariances",), "the factor 2",
    ),
    "no product": (
        lambda r, f: formula(r, f, root=lambda a, b: 0 * a), ("covariances",), "-2 tr((C1 C2)^½) is missing",
    ),
    "root added": (
        lambda r, f: formula(r, f, root=lambda a, b: -scipy.linalg.sqrtm(a @ b).real),
        ("covariances",), "subtracted, not added",
    ),
    "product of the roots": (
        lambda r, f: formula(r, f, root=lambda a, b: scipy.linalg.sqrtm(a) @ scipy.linalg.sqrtm(b)),
        ("covariances",), "unless the two commute",
    ),
    "variances only": (
        lambda r, f: means_apart(r, f) + (r.double().std(0) - f.double().std(0)).square().sum(),
        ("covariances",), "take whole covariances",
    ),
    "difference of covariances": (
        lambda r, f: means_apart(r, f) + (covs(r, f)[0] - covs(r, f)[1]).square().sum(),
        ("covariances",), "is no term of FID",
    ),
    "something else": (
        lambda r, f: means_apart(r, f) + covs(r, f)[0].trace(), ("covariances",), "term by term",
    ),
    "complex of few": (complex_root, ("few",), "take the real part"),
    "NaN of few": (nan_root, ("few",), "clamp them at 0"),
    "Cholesky": (cholesky, ("few",), "clamp them at 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_fails_its_rule_and_no_other(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    submission, failed, words = WRONG[name]
    report = check_fid(submission)
    said = capsys.readouterr().out
    assert report.failed == failed, said
    hints = [line for line in said.splitlines() if "hint: " in line]
    assert len(hints) == 1
    assert words in hints[0]
    assert report.score <= 10 - next(rule.points for rule in FID if rule.name == failed[0])


def test_each_rule_has_its_mistake() -> None:
    assert {failed for _, rules, _ in WRONG.values() for failed in rules} == {rule.name for rule in FID}


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("no return", 0), ("always NaN", 0), ("np.cov, rowvar left out", 5), ("rows in pairs", 1),
        ("same set twice", 3), ("complex", 9), ("root of the distance", 9), ("means: norm", 8),
        ("covariance, not its root", 8), ("complex of few", 9),
    ],
)  # fmt: skip
def test_what_a_mistake_costs(name: str, score: float) -> None:
    assert check_fid(WRONG[name][0]).score == score


def test_two_mistakes_fail_two_rules() -> None:
    report = check_fid(
        lambda r, f: float(means_apart(r, f)) ** 0.5 + complex_root(r - r.mean(0), f - f.mean(0))
    )
    assert report == Report(7, 10, ("means", "few"))


# ------------------------------------------------------------------ what it judges by


def test_the_values_are_those_of_the_library() -> None:
    X, Y = gaussian(0, mean=0.5), gaussian(1)
    assert theorem(X, Y)[0] == pytest.approx(frechet_distance_from_features(X, Y), rel=1e-6)
    assert theorem(X, X + 1)[0] == pytest.approx(X.shape[1], rel=1e-4)  # equal covariances: the means alone
    assert theorem(X, X)[0] == pytest.approx(0, abs=1e-4)


def test_rereading_leads_to_headings_of_the_book() -> None:
    for rule in FID:
        chapter, heading = re.fullmatch(r'chapter (\d+b?), "(.+)"', rule.reread).groups()
        (file,) = BOOK.glob(f"{int(chapter):02d}-*.ipynb")
        cells = nbformat.read(file, as_version=4).cells
        lines = [line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines()]
        assert any(re.fullmatch(rf"#+ {re.escape(heading)}", line) for line in lines), rule.reread


# ------------------------------------------------------------------ blanks, hostility, repeatability


def blank(real: Tensor, fake: Tensor) -> float:
    raise NotImplementedError


@pytest.mark.parametrize("submission", [None, ..., blank])
def test_a_blank_is_not_yet_done(submission: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_fid(submission) == Report(0, 10, (DONE,))
    assert capsys.readouterr().out.startswith("check_fid: not yet done: ")


class Hostile:
    def __call__(self, *_: object) -> Any:
        return self

    def __complex__(self) -> complex:
        raise SystemExit("no")

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


def endless(real: Tensor, fake: Tensor) -> float:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(1)


HOSTILE: dict[str, Any] = {
    "a class": Hostile, "an object": Hostile(), "a string": "fid", "its result": "nan", "a module": torch,
    "exit": lambda r, f: sys.exit(0), "interrupt": lambda r, f: (_ for _ in ()).throw(KeyboardInterrupt()),
    "a string back": lambda r, f: "0.5", "True": lambda r, f: True, "infinity": lambda r, f: float("inf"),
    "a huge int": lambda r, f: 10**400, "an empty tensor": lambda r, f: torch.zeros(0),
    "random": lambda r, f: random.random(), "random tensor": lambda r, f: torch.randn(()),
    "a class of numbers": float, "recursion": lambda r, f: HOSTILE["recursion"](r, f),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_crashes_it(name: str) -> None:
    report = check_fid(HOSTILE[name])
    assert report.score < 10
    assert report.failed


def test_what_does_not_return_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert check_fid(endless) == Report(0, 10, ("number",))
    assert time.monotonic() - began < 10
    assert "is there a loop that never ends?" in capsys.readouterr().out


def test_nothing_is_changed_and_it_takes_a_moment() -> None:
    def draws(real: Tensor, fake: Tensor) -> float:
        torch.randn(3), np.random.rand(3), random.random()  # noqa: NPY002
        return with_sqrtm(real, fake)

    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    began = time.monotonic()
    assert check_fid(draws) == Report(10, 10)
    assert time.monotonic() - began < 2
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]


@pytest.mark.parametrize("name", ["something else", "complex of few", "root of the distance"])
def test_the_same_submission_is_told_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        report = check_fid(WRONG[name][0])
        told.append((report, capsys.readouterr().out))
        torch.randn(5)
    assert told[0] == told[1]
