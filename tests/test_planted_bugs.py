"""The suite is tested itself: a copy of the package gets one well-known mistake, and a named test must fail.

The mistakes are those of widely read tutorials and libraries. Each run sees the mutated copy instead of the
package, says where it imported gancourse from, and must end in a failed test, not in a broken copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gancourse"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]

MISTAKES = {
    1: "the gradient penalty's epsilon: from a normal, one for the batch, or fixed",
    2: "the gradient's norm: over the wrong axes, or with a root at 0",
    3: "D's step that reaches G, or G's step that reaches D",
    4: "BatchNorm's scale drawn around 0 instead of 1",
    5: "images in a range that tanh cannot reach",
    6: "a loss that is not the one of its name",
    7: "the gradient that vanishes where D(G(z)) is near 0, in the loss that is to avoid it",
    8: "real and fake exchanged",
    9: "BatchNorm in a critic under a per-sample penalty",
    10: "a checkpoint that restores the weights and not the rest",
    11: "figures that cannot be compared: moments, splits, resizing, bytes taken for floats",
}


class Bug(NamedTuple):
    """A mistake, as an exact replacement in one file of the package, and the test that must catch it."""

    mistake: int
    slip: str
    file: str
    right: str
    wrong: str
    caught_by: str


EPS = "eps = uniform(len(real), generator=generator, device=real.device)"
ROOT_OF = "torch.where(zero, squared, torch.where(zero, 1.0, squared).sqrt())"
PENALTY = [
    Bug(1, "normal", "penalties.py", EPS, "eps = torch.randn(len(real), generator=generator)",
        "test_penalties.py::test_shares_are_uniform"),
    Bug(1, "one for the batch", "penalties.py", EPS, EPS.replace("len(real)", "1") + ".expand(len(real))",
        "test_penalties.py::test_points_lie_on_their_own_segments_one_share_for_a_sample"),
    Bug(1, "fixed at 1", "penalties.py", EPS, "eps = torch.ones(len(real))",
        "test_penalties.py::test_shares_are_uniform"),
    Bug(2, "over the batch", "penalties.py", "squared = vectors.square().sum(1)",
        "squared = vectors.square().sum(0)",
        "test_penalties.py::test_a_linear_critic_pays_for_the_norm_of_its_weights"),
    Bug(2, "over the last axis only", "penalties.py", "return gradient.flatten(1)",
        "return gradient.flatten(0, -2)",
        "test_penalties.py::test_a_linear_critic_pays_for_the_norm_of_its_weights"),
    Bug(2, "over everything", "penalties.py", "return gradient.flatten(1)", "return gradient.flatten()[None]",
        "test_penalties.py::test_a_linear_critic_pays_for_the_norm_of_its_weights"),
    Bug(2, "root at 0", "penalties.py", ROOT_OF, "squared.sqrt()",
        "test_penalties.py::test_a_zero_gradient_gives_numbers"),
    Bug(2, "root at 0, hidden by where", "penalties.py", ROOT_OF, "torch.where(zero, 0.0, squared.sqrt())",
        "test_penalties.py::test_a_zero_gradient_gives_numbers"),
    Bug(9, "not refused", "penalties.py", "    check_per_sample(critic)\n", "",
        "test_penalties.py::test_batch_norm_in_training_mode_is_refused_by_name"),
    Bug(9, "without running averages", "penalties.py", "(module.training or module.running_mean is None)",
        "module.training",
        "test_penalties.py::test_batch_norm_without_running_averages_mixes_in_eval_mode_too"),
]  # fmt: skip

STEPS = [
    Bug(3, "fakes not detached", "training/steps.py",
        "with torch.no_grad():  # the fakes are data here", "with torch.enable_grad():  # the fakes",
        "test_steps.py::test_d_step_leaves_g_alone"),
    Bug(3, "D not frozen", "training/steps.py", "with frozen(D):", "if True:",
        "test_steps.py::test_g_step_leaves_d_alone"),
    Bug(3, "D frozen for good", "training/steps.py", "parameter.requires_grad_(required)",
        "parameter.requires_grad_(False)", "test_steps.py::test_g_step_leaves_d_alone"),
    Bug(8, "in D's step", "training/steps.py", "loss.d(real=on_real, fake=on_fake)",
        "loss.d(real=on_fake, fake=on_real)", "test_steps.py::test_steps_equal_the_written_out_loop"),
]  # fmt: skip

IN_RANGE = "<= low <= high <= 1.0001"
IMAGES = [
    Bug(4, "N(0, .02)", "models/dcgan.py", "normal_(norm_mean, 0.02", "normal_(0.0, 0.02",
        "test_models.py::test_initial_weights_have_the_statistics_of_the_paper"),
    Bug(5, "[0, 1]", "data/images.py", ".div_(127.5).sub_(1.0)", ".div_(255)",
        "test_images.py::test_to_unit_maps_the_ends_exactly"),
    Bug(5, "mean 0, variance 1", "data/images.py", ".div_(127.5).sub_(1.0)",
        ".div_(255).sub_(0.1307).div_(0.3081)", "test_images.py::test_to_unit_maps_the_ends_exactly"),
    Bug(5, "floats in 0..255 pass", "data/images.py", IN_RANGE, IN_RANGE.replace("1.0001", "255"),
        "test_images.py::test_to_unit_refuses_floats_of_another_range"),
    Bug(5, "G ends in a sigmoid", "models/dcgan.py", "nn.Tanh()", "nn.Sigmoid()",
        "test_models.py::test_the_28_pixel_generator_is_the_written_out_one"),
]  # fmt: skip

LOG_D = "return F.softplus(-real).mean() + F.softplus(fake).mean()"
HINGE_D = "return F.relu(1 - real).mean() + F.relu(1 + fake).mean()"
LEAST_SQUARES_D = "return (real - 1).square().mean() / 2 + fake.square().mean() / 2"
WASSERSTEIN_D = "return fake.mean() - real.mean()"
RELATIVISTIC_D = "return F.softplus(-_differences(real, fake)).mean()"
MINIMAX_G, OTHER_G = "return -F.softplus(fake).mean()", "return F.softplus(-fake).mean()"
BY_NAME = "test_losses.py::test_a_loss_is_what_its_name_says"
LOSSES = [
    Bug(6, "minimax that is non-saturating", "losses.py", MINIMAX_G, OTHER_G, BY_NAME),
    Bug(6, "Wasserstein that is hinge", "losses.py", WASSERSTEIN_D, HINGE_D, BY_NAME),
    Bug(6, "hinge that is Wasserstein", "losses.py", HINGE_D, WASSERSTEIN_D, BY_NAME),
    Bug(7, "saturating", "losses.py", OTHER_G, MINIMAX_G,
        "test_losses.py::test_gradients_of_the_two_generator_losses_differ_by_a_ratio_of_sigmoids"),
    Bug(8, "log loss", "losses.py", LOG_D,
        "return F.softplus(real).mean() + F.softplus(-fake).mean()", BY_NAME),
    Bug(8, "least squares", "losses.py", LEAST_SQUARES_D,
        "return (fake - 1).square().mean() / 2 + real.square().mean() / 2", BY_NAME),
    Bug(8, "hinge", "losses.py", HINGE_D,
        "return F.relu(1 - fake).mean() + F.relu(1 + real).mean()", BY_NAME),
    Bug(8, "Wasserstein", "losses.py", WASSERSTEIN_D, "return real.mean() - fake.mean()", BY_NAME),
    Bug(8, "relativistic", "losses.py", RELATIVISTIC_D, RELATIVISTIC_D.replace("-_", "_"), BY_NAME),
]  # fmt: skip

TRAINER = "training/trainer.py"
RESUMED = "test_training.py::test_a_run_stopped_at_any_step_ends_in_the_same_bits"
LOAD_NETS = "        for name, net in self.named().items():\n            net.load_state_dict"
CHECKPOINT = [
    Bug(10, "no optimizer of G", TRAINER,
        '        checkpoint.load_optimizer(self.opt_g, under_prefix("opt_g", tensors))\n', "", RESUMED),
    Bug(10, "no optimizer of D", TRAINER,
        '        checkpoint.load_optimizer(self.opt_d, under_prefix("opt_d", tensors))\n', "", RESUMED),
    Bug(10, "no average", TRAINER, LOAD_NETS,
        LOAD_NETS.replace("self.named().items()", '(("G", self.G), ("D", self.D))'), RESUMED),
    Bug(10, "no count of the average", TRAINER, 'copy_(tensors["counts.averaged"])', "zero_()", RESUMED),
    Bug(10, "no position in the epoch", TRAINER, '"position": tensors["counts.position"]', '"position": 0',
        RESUMED),
    Bug(10, "no order of the epoch", TRAINER, '{"epoch_rng": tensors["rng.order"],',
        '{"epoch_rng": self.loader.state_dict()["epoch_rng"],', RESUMED),
    Bug(10, "no state of the noise", TRAINER, '        self.noise.set_state(tensors["rng.noise"])\n', "",
        RESUMED),
    Bug(10, "no state of the global generator", TRAINER,
        '        torch.set_rng_state(tensors["rng.global"])\n', "",
        "test_training.py::test_networks_that_draw_random_numbers_resume_too"),
]  # fmt: skip

ROOT_OF_PRODUCT = "torch.linalg.eigvalsh(factor.T @ cov2 @ factor)"
FRECHET = "metrics/frechet.py"
AS_SCIPY = "test_metrics.py::test_it_agrees_with_the_matrix_root_of_scipy"
METRICS = [
    Bug(11, "covariance over n", FRECHET, "self.scatter / (self.n - 1)", "self.scatter / self.n",
        "test_metrics.py::test_statistics_are_those_of_numpy"),
    Bug(11, "covariance over n, few samples", FRECHET, "A = (real - mu1) / (len(real) - 1) ** 0.5",
        "A = (real - mu1) / len(real) ** 0.5",
        "test_metrics.py::test_few_samples_give_what_the_full_covariances_give"),
    Bug(11, "not made symmetric", FRECHET, ROOT_OF_PRODUCT, "torch.linalg.eigvalsh(cov1 @ cov2)", AS_SCIPY),
    Bug(11, "root forgotten", FRECHET, "_roots(product, trace1 * trace2).sum()", "product.sum()", AS_SCIPY),
    Bug(11, "bytes taken for floats", "features.py",
        "net.features(to_unit(batch.to(weight.device)).to(weight.dtype))",
        "net.features(batch.to(weight.device).to(weight.dtype))",
        "test_features.py::test_bytes_and_floats_give_the_same"),
    Bug(11, "floats cut to bytes, not rounded", "features.py", ".mul(127.5).round()", ".mul(127.5)",
        "test_inception.py::test_bytes_floats_and_gray_are_the_same_picture"),
    Bug(11, "training digits as the reference", "data/mnist.py", "for file in FILES[split])",
        'for file in FILES["train"])', "test_mnist.py::test_each_split_reads_its_own_files"),
    Bug(11, "resized without antialiasing", "data/folder.py", "Image.Resampling.LANCZOS",
        "Image.Resampling.NEAREST", "test_folder.py::test_shrinking_averages_what_it_drops"),
]  # fmt: skip

BUGS = [*PENALTY, *STEPS, *IMAGES, *LOSSES, *CHECKPOINT, *METRICS]

# A mutation that breaks the copy would be caught by any test, and prove nothing.
BROKEN = ("AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "TypeError")
WITNESS = """
def pytest_terminal_summary(terminalreporter):
    import gancourse
    terminalreporter.write_line(f"gancourse is {gancourse.__file__}")
"""


class Outcome(NamedTuple):
    """How a run of tests on a copy of the package ended, and why its first test failed, if one did."""

    code: int
    reason: str
    output: str


def plant(copy: Path, bug: Bug) -> None:
    """Replace what is right in the copy by what is wrong."""
    file = copy / "gancourse" / bug.file
    source = file.read_text(encoding="utf-8")
    assert source.count(bug.right) == 1, f"the table is stale: {bug.file} has not once {bug.right!r}"
    file.write_text(source.replace(bug.right, bug.wrong), encoding="utf-8")


# One process loads torch, then forks for one run after another: a fresh start each would take seconds.
NURSERY = """
import json, os, signal, sys
import hypothesis, pytest, scipy.stats, torch, torch._dynamo

for line in sys.stdin:
    copy, log, arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        with open(log, "w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        signal.alarm(300)
        sys.path.insert(0, copy)
        os.environ["PYTHONPATH"] = copy
        code = pytest.main(arguments)
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """A process that runs tests on copies of the package, each in a fork of its own."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        # Threads do not survive a fork; plugins load for seconds; a reason must not be cut off.
        own = {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "500"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], cwd=ROOT, env=kept | own,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, bug: Bug | None, *tests: str) -> Outcome:
        """Run tests on a copy of the package, with a bug in it or without."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder).resolve()
            shutil.copytree(PACKAGE, copy / "gancourse")
            (copy / "witness.py").write_text(WITNESS, encoding="utf-8")
            if bug is not None:
                plant(copy, bug)
            code = self._pytest(copy, tests)
            output = (copy / "log").read_text(encoding="utf-8")
        assert f"gancourse is {copy / 'gancourse' / '__init__.py'}" in output, output
        reason = re.search(r"^(?:FAILED|ERROR) .*?(?: - (.*))?$", output, re.MULTILINE)
        return Outcome(code, reason[1] or "" if reason else "", output)

    def _pytest(self, copy: Path, tests: tuple[str, ...]) -> int:
        options = ["-q", "-x", "-ra", "--tb=short", "-p", "no:cacheprovider", "-p", "witness"]
        arguments = [*options, "-o", f"pythonpath='{copy}' tools", *(f"tests/{test}" for test in tests)]
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(copy), str(copy / "log"), arguments]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


Begin = Callable[..., Future[Outcome]]  # a bug or None, and tests, to their outcome


@pytest.fixture(scope="module")
def pool() -> Iterator[Begin]:
    """Return a function that begins a run, two at a time."""
    nurseries = [Nursery(), Nursery()]
    idle = SimpleQueue[Nursery]()
    for nursery in nurseries:
        idle.put(nursery)

    def run(bug: Bug | None, *tests: str) -> Outcome:
        nursery = idle.get()
        try:
            return nursery.run(bug, *tests)
        finally:
            idle.put(nursery)

    with ThreadPoolExecutor(len(nurseries)) as threads:
        yield lambda bug, *tests: threads.submit(run, bug, *tests)
        threads.shutdown(cancel_futures=True)
    for nursery in nurseries:
        nursery.close()


@pytest.fixture(scope="module")
def outcome_of(pool: Begin) -> Callable[[Bug], Outcome]:
    """Return a function from a bug to its outcome, which begins the next runs meanwhile."""
    ahead = 0 if "PYTEST_XDIST_WORKER" in os.environ else 2
    begun: dict[Bug, Future[Outcome]] = {}

    def outcome(bug: Bug) -> Outcome:
        first = BUGS.index(bug)
        for one in BUGS[first : first + 1 + ahead]:
            if one not in begun:
                begun[one] = pool(one, one.caught_by)
        return begun[bug].result()

    return outcome


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.mistake}: {bug.slip}")
def test_the_suite_catches(bug: Bug, outcome_of: Callable[[Bug], Outcome]) -> None:
    outcome = outcome_of(bug)
    assert outcome.code == pytest.ExitCode.TESTS_FAILED, f"{MISTAKES[bug.mistake]}: {outcome.output}"
    assert "failed" in outcome.output, f"an error outside the test: {outcome.output}"
    assert not outcome.reason.startswith(BROKEN), f"the copy is broken, not wrong: {outcome.output}"


def test_the_copy_without_a_bug_passes(pool: Begin) -> None:
    """Else the failures above would say nothing. No test may be skipped: it would catch nothing either."""
    outcome = pool(None, *sorted({bug.caught_by for bug in BUGS})).result()
    assert outcome.code == 0, outcome.output
    assert "skipped" not in outcome.output


def test_each_mistake_is_planted() -> None:
    assert {bug.mistake for bug in BUGS} == set(MISTAKES)


def test_a_stale_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "gancourse").mkdir()
    (tmp_path / "gancourse" / "losses.py").write_text("as it was\nas it was\n", encoding="utf-8")
    for right in ("as it is", "as it was"):
        with pytest.raises(AssertionError, match="stale"):
            plant(tmp_path, Bug(1, "", "losses.py", right, "", ""))


def test_a_broken_copy_is_not_taken_for_a_caught_bug(pool: Begin) -> None:
    broken = Bug(1, "a name that is not there", "penalties.py", EPS, "eps = undefined(1)", "")
    outcome = pool(broken, "test_penalties.py::test_shares_are_uniform").result()
    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    assert outcome.reason.startswith(BROKEN)
