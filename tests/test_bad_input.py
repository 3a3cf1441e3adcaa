"""Bad input is answered by the library, in its words: what was expected, what came, what to do.

Each slot is one argument of one public call. What fits is taken; of what does not, hypothesis draws examples
of other shapes, dtypes, values, devices and types, each of which must be refused by a raise statement of the
library itself. The slots are listed in `misfit_slots`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from misfit_slots import SLOTS, rows
from misfits import Slot, check_refused, shown
from torch import Tensor

from gancourse.checks import check_tensor
from gancourse.losses import HINGE
from gancourse.models import MLPGenerator
from gancourse.sampling import evaluating

AT_LEAST = 2000
SAME_EVERY_TIME = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=20,
    phases=[Phase.generate],  # an example that is taken or answered by torch is short enough as it comes
    suppress_health_check=list(HealthCheck),
)
tried: dict[str, set[str]] = {}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("slot", SLOTS, ids=lambda s: s.name)
def test_what_fits_is_taken(slot: Slot) -> None:
    slot.call(slot.good)


@pytest.mark.parametrize("slot", SLOTS, ids=lambda s: s.name)
def test_what_does_not_fit_is_refused_in_our_words(slot: Slot) -> None:
    seen = tried.setdefault(slot.name, set())

    @SAME_EVERY_TIME
    @given(slot.bad)
    def refused(value: object) -> None:
        check_refused(slot.call, value)
        seen.add(shown(value))

    refused()


def test_enough_was_tried() -> None:
    """Different bad inputs, each counted once for its slot."""
    if tried.keys() != {slot.name for slot in SLOTS}:
        pytest.skip("only some of the slots were tried")
    assert sum(map(len, tried.values())) >= AT_LEAST


def test_no_slot_is_listed_twice() -> None:
    assert [name for name, n in Counter(slot.name for slot in SLOTS).items() if n > 1] == []


# Planted bugs: answers that teach nothing are seen


def refuses_itself(x: Tensor) -> None:
    raise ValueError("expected a tensor, got one")


def hides_another(x: Tensor) -> None:
    try:
        torch.zeros(2) @ x
    except RuntimeError:
        check_tensor("x", None)


def lets_torch_answer(x: Tensor) -> None:
    net = MLPGenerator(3, 2)
    with evaluating(net):  # past the check of what enters the net
        net.net(x)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda x: x, "was taken"),
        (lambda x: HINGE.d(real=x[0], fake=x[0]), "was taken"),
        (lets_torch_answer, "expected a ValueError or a TypeError"),
        (lambda x: shown(x).missing, "expected a ValueError or a TypeError"),
        (lambda x: torch.zeros(x), "not in the library"),
        (refuses_itself, "not in the library"),
        (hides_another, "behind it stands RuntimeError"),
        (lambda x: rows(2).lerp(x, "half"), "not in the library"),
    ],
)
def test_an_answer_that_does_not_teach_is_caught(call: Callable[[Any], object], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_refused(call, torch.zeros(5, 5))


def test_an_answer_of_python_inside_the_library_is_caught() -> None:
    """A line of the library is the last of the traceback, but no raise statement stands there."""
    with pytest.raises(AssertionError, match="where no raise statement stands"):
        check_refused(lambda x: MLPGenerator(3, 2, activation=x), 5)
