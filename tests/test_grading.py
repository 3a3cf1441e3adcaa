"""Grading: what is merged, run, handed over and marked, and what a submission cannot do."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.preprocessors import ClearSolutions
from nbgrader.utils import determine_grade

from gancourse.assignment import Report
from gancourse.assignment.grading import Limits, Mark, Marked, mark, merge, read
from gancourse.assignment.grading import snapshot as snapshots
from gancourse.assignment.grading.examine import worth
from gancourse.assignment.grading.hand_over import hand_over
from gancourse.assignment.grading.marker import Marker
from gancourse.assignment.grading.merging import STUB, UnreadableError, blank
from gancourse.assignment.grading.names import given, needed
from gancourse.assignment.grading.outputs import Outputs

SHORT = Limits(
    cell_seconds=2, marking_seconds=3, notebook_seconds=60, gigabytes=1, grace_seconds=1, output_bytes=1000
)


def cell(source: str, name: str | None = None, kind: str = "", points: float = 0) -> NotebookNode:
    """Make a code cell; the kind is any of graded, solution, locked."""
    made = new_code_cell(source)
    if name:
        facts = {key: key in kind for key in ("solution", "task")}
        facts |= {"grade": "graded" in kind, "locked": "graded" in kind or "locked" in kind}
        made.metadata["nbgrader"] = facts | {"grade_id": name, "points": points, "schema_version": 3}
    return made


def book(*cells: NotebookNode) -> NotebookNode:
    return new_notebook(cells=list(cells))


def locked(source: str, name: str = "first") -> NotebookNode:
    return cell(source, name, "locked")


def solution(source: str, name: str) -> NotebookNode:
    return cell(source, name, "solution")


def graded(source: str, name: str, points: float = 10) -> NotebookNode:
    return cell(source, name, "graded", points)


def sources(notebook: NotebookNode) -> list[str]:
    return [c.source for c in notebook.cells if c.cell_type == "code"]


def text(outputs: list[NotebookNode]) -> str:
    return "".join(output.get("text", "") for output in outputs)


@pytest.fixture(scope="module")
def marker() -> Iterator[Marker]:
    with Marker("quick") as process:
        yield process


# ------------------------------------------------------------------ merge

MASTER = book(
    new_markdown_cell("# Master"),
    locked("N = 3"),
    cell("parameter = None"),
    solution("### BEGIN SOLUTION\nf = 1\n### END SOLUTION\nrest = 2", "f"),
    graded("check(f)\n### BEGIN HIDDEN TESTS\nhidden(f)\n### END HIDDEN TESTS", "t"),
)


def test_the_master_merged_with_itself_is_itself() -> None:
    assert sources(merge(MASTER, MASTER)) == sources(MASTER)


def test_solutions_are_the_students_and_the_rest_is_the_masters() -> None:
    theirs = book(
        cell("!pip install gancourse"),
        locked("N = 4"),
        cell("parameter = None"),
        cell("helper = 1"),
        solution("f = helper", "f"),
        graded("Report(10, 10)", "t", points=1000),
        cell("after = 1"),
    )
    merged = merge(MASTER, theirs)
    wanted = ["!pip install gancourse", "N = 3", "parameter = None", "helper = 1", "f = helper"]
    assert sources(merged) == [*wanted, sources(MASTER)[-1], "after = 1"]
    assert [
        c.metadata.nbgrader.points for c in merged.cells if c.metadata.get("nbgrader", {}).get("grade")
    ] == [10]
    assert merged.metadata.gancourse.remarks == ["locked cell 'first' was edited: the master's runs"]
    nbformat.validate(merged)


@pytest.mark.parametrize(
    ("theirs", "remark"),
    [
        (book(solution("f = 5", "f"), solution("f = 6", "f")), "a second cell 'f': the first one counts"),
        (book(solution("f = 5", "f"), graded("x", "t"), graded("y", "t")), "a second cell 't'"),
        (book(solution("f = 5", "f"), graded("Report(1, 1)", "u")), "cell 'u' is not in the master"),
    ],
)
def test_other_cells_do_not_take_the_place_of_the_masters(theirs: NotebookNode, remark: str) -> None:
    merged = merge(MASTER, theirs)
    assert sources(merged)[2] == "f = 5"
    assert [c.source for c in merged.cells if c.metadata.get("nbgrader", {}).get("grade")] == [
        sources(MASTER)[-1]
    ]
    assert any(said.startswith(remark) for said in merged.metadata.gancourse.remarks)


def test_what_is_for_the_solution_only_does_not_run() -> None:
    last = cell("assert total == 100")
    last.metadata["tags"] = ["solution-only"]
    master = nbformat.from_dict({**MASTER, "cells": [*MASTER.cells, last]})
    for form in (master, read(nbformat.writes(master).encode())):
        assert sources(merge(form, MASTER)) == sources(MASTER)


def test_a_missing_solution_is_blank_and_never_the_masters() -> None:
    merged = merge(MASTER, book(graded("", "t")))
    assert sources(merged)[2] == f"{STUB}\nrest = 2"
    assert "cell 'f' is missing: left blank" in merged.metadata.gancourse.remarks


@pytest.mark.parametrize(
    "source",
    [
        "f = 1",
        "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\nf()",
        "# BEGIN SOLUTION\n1",
    ],
)
def test_blanks_are_those_of_nbgrader(source: str) -> None:
    theirs = solution(source + ("\n# END SOLUTION" if source.startswith("#") else ""), "f")
    cleared, _ = ClearSolutions().preprocess_cell(nbformat.from_dict(theirs), {"language": "python"}, 0)
    assert blank(theirs) == cleared.source


def test_text_comes_from_the_submission_and_answers_stay_answers() -> None:
    answer = new_markdown_cell("mine")
    answer.metadata["nbgrader"] = {"grade_id": "why", "grade": True, "solution": True, "points": 4}
    asked = nbformat.from_dict(answer | {"source": "the master's answer"})
    merged = merge(book(*MASTER.cells, asked), book(new_markdown_cell("my title"), answer, graded("", "t")))
    assert [c.source for c in merged.cells if c.cell_type == "markdown"] == ["my title", "mine"]


def test_a_notebook_as_colab_saves_it() -> None:
    theirs = json.loads(nbformat.writes(book(solution("f = 7", "f"), new_markdown_cell("text"))))
    theirs |= {"nbformat_minor": 0, "metadata": {"colab": {"provenance": []}, "accelerator": "GPU"}}
    for held in theirs["cells"]:
        held["metadata"] |= {"id": held.pop("id"), "outputId": "x"}
    merged = merge(MASTER, read(json.dumps(theirs).encode()))
    assert sources(merged)[2] == "f = 7"
    nbformat.validate(merged)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"{}", b"[1]", b'{"nbformat": 4}', b'{"nbformat": 4, "cells": 3}']
)
def test_what_is_no_notebook(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        merge(MASTER, read(data))


def test_a_notebook_without_cells_of_the_assignment() -> None:
    with pytest.raises(UnreadableError, match="no cell of the assignment"):
        merge(MASTER, book(cell("print(1)"), new_markdown_cell("text")))


def test_odd_cells_do_not_stop_the_merge() -> None:
    code = [
        {"cell_type": "code", "source": source, "metadata": {"nbgrader": facts}}
        for source, facts in (("f = 8", {"grade_id": "f"}), ("g", {"grade_id": 3}), ("h", 3))
    ]
    cells = [{"cell_type": "new", "source": ""}, {"cell_type": "code"}, *code]
    odd = json.dumps({"nbformat": 4, "nbformat_minor": 5, "cells": cells})
    assert sources(merge(MASTER, read(odd.encode())))[2] == "f = 8"


def test_a_master_with_a_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="got twice: f"):
        merge(book(solution("1", "f"), solution("2", "f")), MASTER)


# ------------------------------------------------------------------ names, values, outputs


@pytest.mark.parametrize(
    ("cells", "source", "names"),
    [
        ([], "check(G)", ["G", "check"]),
        (["from a import check"], "check(G)", ["G"]),
        (["import a.b as c, d.e\n%matplotlib inline"], "c.check(G, d.e)", ["G"]),
        (["def check(f):\n    return f(N, M)", "N = 3"], "check(G)", ["G", "M"]),
        (["N = 3", "N = N + 1"], "N", ["N"]),
        (["try:\n    import a\nexcept ImportError:\n    a = None"], "a", ["a"]),
        (["class Net(Base): pass"], "Net()", ["Base"]),
        ([], "[x for x in xs if sum(x)]\ny = 1\ny", ["xs", "y"]),
        ([], "def own(a):\n    return a + b\nlambda c: c + d", ["b", "d"]),
    ],
)
def test_the_names_that_are_handed_over(cells: list[str], source: str, names: list[str]) -> None:
    assert needed(source, given(cells)) == names


@pytest.mark.parametrize(
    ("value", "points"),
    [
        (Report(9, 9), 5),
        (Report(3, 9), 1.6667),
        (Report(0, 0), 0),
        (Report(math.nan, 9), 0),
        (3, 3),
        (2.5, 2.5),
        (50, 5),
        (-1, 0),
        (math.nan, 0),
        (math.inf, 5),
        (None, 5),
        ("text", 5),
        (True, 5),
        (False, 0),
    ],
)
def test_the_points_for_a_value(value: Any, points: float) -> None:
    assert worth(value, 5) == points


def test_numbers_of_torch_and_numpy_are_numbers() -> None:
    import numpy as np
    import torch

    assert [worth(torch.tensor(2.0), 5), worth(np.float32(2), 5), worth(np.array(2), 5)] == [2, 2, 2]


def test_outputs_are_text_and_pictures_within_limits() -> None:
    outputs = Outputs(Limits(output_bytes=10, picture_bytes=6))
    for name, words in (("stdout", "12345"), ("stdout", "6789012"), ("stderr", "more")):
        outputs.add("stream", {"name": name, "text": words})
    page = {"text/html": "<script>", "application/javascript": "x", "image/svg+xml": "<svg>"}
    outputs.add("display_data", {"data": page | {"image/png": "abcd"}})
    outputs.add("display_data", {"data": {"image/png": "abcd"}})
    outputs.add("comm_open", {})
    assert outputs.made[0].text.startswith("1234567890\n[the rest")
    assert [output.get("data") for output in outputs.made[1:]] == [{"image/png": "abcd"}]


def test_what_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    hand_over({"a": 1, "numbers": (n for n in range(3))}, ["a", "b", "numbers"], str(tmp_path / "x"))
    head = json.loads((tmp_path / "x").read_bytes().partition(b"\n")[0])
    assert head["missing"] == ["b"]
    assert head["why"].startswith("`numbers` cannot be saved for marking: TypeError")


# ------------------------------------------------------------------ the snapshot


def test_nothing_has_changed_where_nothing_was_changed() -> None:
    import torch

    before, compare = snapshots.taken(), snapshots.comparison()
    weights = torch.nn.Linear(2, 2)
    torch.optim.Adam(weights.parameters())
    torch.compile(weights, backend="eager")(torch.ones(1, 2))
    assert compare(before) == []


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("gancourse.assignment.check_generator", print),
        ("gancourse.assignment.networks.GENERATOR", ()),
        ("gancourse.assignment.report.Sheet.judge", print),
        ("gancourse.assignment.report.Sheet.close.__code__", (lambda self: None).__code__),
        ("gancourse.assignment.judge.judged.__defaults__", (1,)),
        ("gancourse.assignment.report.sum", max),
        ("builtins.sum", max),
        ("torch.equal", print),
        ("torch.Tensor.mean", print),
        ("torch.nn.functional.relu", print),
        ("gancourse.assignment.grading.snapshot.changed.__code__", (lambda before: []).__code__),
    ],
)
def test_a_change_is_named(target: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before, compare = snapshots.taken(), snapshots.comparison()
    with monkeypatch.context() as patch:
        patch.setattr(target, value, raising=False)
        found = compare(before)
    assert target.removesuffix(".__code__").removesuffix(".__defaults__") in found
    assert compare(before) == []


# ------------------------------------------------------------------ honest submissions

CHECK = """
import math
N = 3
def check(f):
    print("checking")
    return 10.0 if f(1, 2) == N else 2.5
def twice(f):
    return Report(check(f), 10.0)
"""


def marked(master: NotebookNode, theirs: NotebookNode, marker: Marker, limits: Limits = SHORT) -> Marked:
    return mark(merge(master, theirs), limits=limits, marker=marker)


def points(found: Marked) -> list[float | None]:
    return [given.points for given in found.marks.values()]


def test_honest_submissions(marker: Marker) -> None:
    names = [
        "closure",
        "class",
        "file",
        "module",
        "wrong",
        "raises",
        "missing",
        "unfinished",
        "blank",
        "stuck",
    ]
    master = book(
        locked(CHECK),
        *itertools.chain.from_iterable(
            (solution("secret = 1", name), graded(f"check({name}_f)", f"t-{name}", 10)) for name in names
        ),
        cell("essay = 1", "essay", "graded solution", 4),
    )
    written = {
        "closure": "from functools import partial\nclosure_f = partial(lambda k, a, b: a + b, offset)",
        "class": "class Adder:\n    def __call__(self, a, b): return helper(a, b)\nclass_f = Adder()",
        "file": "open('sum', 'w').write('3')\ndef file_f(a, b): return int(open('sum').read())",
        "module": "open('m.py', 'w').write('def module_f(a, b): return a + b')\nfrom m import module_f",
        "wrong": "def wrong_f(a, b): return a - b",
        "raises": "def raises_f(a, b): raise KeyError('which')",
        "missing": "pass",
        "unfinished": STUB,
        "stuck": "stuck_f = (n for n in [3])",
    }
    theirs = [solution(source, name) for name, source in written.items()]
    added = cell("offset = 4\ndef helper(a, b):\n    return math.fsum([a, b])")
    found = marked(master, book(added, *theirs, solution("print(4)", "essay")), marker)
    assert points(found) == [10, 10, 10, 10, 2.5, 0, 0, 0, 0, 0, None]
    said = {name: given.said for name, given in found.marks.items()}
    assert said["t-wrong"] == "checking"
    assert said["t-raises"].endswith("KeyError: 'which'")
    for name in ("missing", "unfinished", "blank"):
        assert said[
            f"t-{name}"
        ] == f"checking\nnot yet done: `{name}_f` does not exist; fill in the cell above" or (
            said[f"t-{name}"] == f"not yet done: `{name}_f` does not exist; fill in the cell above"
        )
    assert said["t-stuck"].startswith("`stuck_f` cannot be saved for marking: TypeError")
    assert found.marks["essay"] == Mark(None, 4, "by hand")
    assert found.total == 42.5
    assert not any(given.flag for given in found.marks.values())
    nbformat.validate(found.notebook)
    for place in found.notebook.cells:  # nbgrader reads the same points from the notebook
        if place.id.startswith("t-"):
            assert determine_grade(place) == (found.marks[place.id].points, 10)
            assert "secret" not in place.source
    assert text(found.notebook.cells[-1].outputs) == "4\n"


# ------------------------------------------------------------------ attacks that are marked

SECONDS = f"7{os.getpid()}"  # by which a process is known that is to be gone
ATTACKS = {
    # each leaves `NAME_f`, which is marked by check(NAME_f); all are wrong
    "fake": "print('check: 10 of 10 points')\ndef fake_f(a, b):\n    print('10.0')\n    return 0",
    "redefined": "check = lambda f: 10.0\nN = 0\nredefined_f = lambda a, b: 0",
    "builtin": "import builtins\nbuiltins.print = lambda *a: None\nbuiltin_f = lambda a, b: 0",
    "exit": "import os, sys, signal\ndef exit_f(a, b): sys.exit(0)",
    "_exit": "def _exit_f(a, b): os._exit(0)",
    "killed": "def killed_f(a, b): os.kill(os.getpid(), 9)",
    "server": "def server_f(a, b):\n    os.kill(os.getppid(), 9)\n    __import__('time').sleep(9)",
    "loop": "def loop_f(a, b):\n    while True: pass",
    "memory": "def memory_f(a, b):\n    held = []\n    while True: held.append(bytearray(10**8))",
    "writes": "def writes_f(a, b):\n    for n in range(99):\n        try: os.write(n, b'{\"points\": 9}')\n"
    "        except OSError: pass\n    os._exit(0)",
    "stdout": 'def stdout_f(a, b):\n    os.write(1, b\'{"points": 10, "said": "", "flag": ""}\\n\')',
    "reduce": "class Patch:\n    def __reduce__(self):\n        return exec, (CODE,)\nreduce_f = Patch()\n"
    "CODE = 'from gancourse.assignment import report; report.Report = max'",
    "shadow": "def shadow_f(a, b):\n    import builtins\n    builtins.float = lambda v: 10.0\n    return 0",
    "slow": "class Slow:\n    def __reduce__(self):\n        while True: pass\nslow_f = Slow()",
    "daemon": "def daemon_f(a, b):\n    import subprocess\n"
    f"    subprocess.Popen(['sleep', '{SECONDS}'], start_new_session=True)\n    return 0",
    "clean": "import shutil; shutil.rmtree(os.getcwd())\nclean_f = lambda a, b: 3",
}


@pytest.fixture(scope="module")
def attacked(marker: Marker) -> Marked:
    pairs = [(solution("", name), graded(f"check({name}_f)", f"t-{name}")) for name in ATTACKS]
    master = book(locked(CHECK), *itertools.chain.from_iterable(pairs))
    flood = "for n in range(2000): print('x' * 10000)"
    page = "from IPython.display import HTML, display\ndisplay(HTML('<script>alert(1)</script>'))"
    own = [
        cell(flood),
        cell(page),
        cell("import time\nwhile True: time.sleep(0.1)"),
        cell("print('goes on')"),
    ]
    theirs = [solution(source, name) for name, source in ATTACKS.items()]
    return marked(master, book(*own, *theirs), marker)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "score", "said"),
    [
        ("fake", 2.5, "checking\n10.0"),
        ("redefined", 2.5, "checking"),
        ("builtin", 2.5, "checking"),
        ("exit", 0, "checkingSystemExit: 0"),
        ("_exit", 0, "the code that is marked ended the marking process"),
        ("killed", 0, "the marking process ended by signal SIGKILL"),
        ("server", 0, "the marking process was lost: it was ended from within"),
        ("loop", 0, "the check took more than 3 seconds"),
        ("memory", 0, "the check took more than 1 GB of memory"),
        ("writes", 0, "the code that is marked ended the marking process"),
        ("stdout", 2.5, "checking"),
        ("reduce", 0, "changed while marking: gancourse.assignment.report.Report"),
        ("shadow", 0, "changed while marking: builtins.float"),
        ("slow", 0, "it took too long to save the objects that are marked"),
        ("daemon", 2.5, "checking"),
        ("clean", 10, "checking"),
    ],
)
def test_an_attack_brings_no_more_than_it_is_worth(
    attacked: Marked, name: str, score: float, said: str
) -> None:
    found = attacked.marks[f"t-{name}"]
    assert found.points == score
    assert said.replace("checking", "") in found.said
    wanted = {
        "reduce": "tampered: gancourse.assignment.report.Report",
        "shadow": "tampered: builtins.float",
        "writes": "tampered: the result",
    }
    assert found.flag == wanted.get(name, "")


@pytest.mark.slow
def test_outputs_of_the_students_cells_are_limited(attacked: Marked) -> None:
    flood, page, endless, after = [c for c in attacked.notebook.cells if c.id.startswith("own-")]
    assert 1000 < len(text(flood.outputs)) < 1100
    assert [output.data for output in page.outputs] == [{"text/plain": "<IPython.core.display.HTML object>"}]
    assert endless.outputs[0].ename == "KeyboardInterrupt"
    assert text(after.outputs) == "goes on\n"
    assert attacked.remarks[-1] == f"cell {endless.id!r} was interrupted after 2 seconds"


# ------------------------------------------------------------------ attacks that end the kernel

STUBBORN = "import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass"
LONE = f"import subprocess\nsubprocess.Popen(['sleep', '{SECONDS}'], start_new_session=True)\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os\nos._exit(0)", "the kernel died"),
        (LONE + "import os\nos.kill(os.getpid(), 9)", "the kernel died"),
        (STUBBORN, "a cell did not end after 2 seconds, nor when interrupted"),
        (
            "held = []\nwhile True: held.append(bytearray(10**8))",
            "the notebook took more than 0.5 GB of memory",
        ),
    ],
)
def test_after_the_kernels_end_nothing_runs(source: str, reason: str, marker: Marker) -> None:
    master = book(
        locked("def check(f): return f(2)"),
        solution("", "f"),
        graded("check(f)", "a"),
        solution("", "g"),
        graded("check(g)", "b"),
    )
    theirs = book(solution("f = lambda a: a", "f"), cell(source), solution("g = f", "g"))
    limits = Limits(cell_seconds=2, gigabytes=0.5, grace_seconds=0.5)
    found = marked(master, theirs, marker, limits)
    assert found.marks["b"].said.startswith("not marked: the kernel was ended at cell 'own-2': " + reason)
    assert found.marks["b"].points == 0
    assert reason in found.remarks[0]
    assert determine_grade(found.notebook.cells[-1]) == (0, 10)


def test_an_instructors_cell_that_fails_is_told(marker: Marker) -> None:
    found = marked(book(locked("1 / 0"), graded("1", "t")), book(graded("1", "t")), marker)
    assert found.remarks == ["the instructor's cell 'first' raised ZeroDivisionError: division by zero"]


def test_the_whole_notebook_has_a_limit(marker: Marker) -> None:
    theirs = book(*[cell(f"import time; time.sleep({n})") for n in (0.4, 0.5, 0.6, 30)], graded("", "t"))
    found = marked(book(graded("1", "t")), theirs, marker, Limits(notebook_seconds=2))
    assert found.marks["t"].said.endswith("the notebook took more than 2 seconds")


@pytest.mark.slow
def test_no_process_is_left(attacked: Marked) -> None:
    mine = psutil.Process().children(recursive=True)
    kernels = [process for process in mine if any("ipykernel" in word for word in process.cmdline())]
    daemons = [p for p in psutil.process_iter(["cmdline"]) if SECONDS in (p.info["cmdline"] or [])]
    assert (kernels, daemons) == ([], [])


# ------------------------------------------------------------------ with the checks themselves

REAL = "from gancourse.assignment import *\nimport torch"
PATCH = """
import gancourse.assignment, gancourse.assignment.losses as losses, builtins
full = lambda *a, **k: gancourse.assignment.Report(10.0, 10.0)
gancourse.assignment.check_losses = losses.check_losses = losses.judged = check_losses = full
builtins.sum = lambda *a: 10.0
gancourse.assignment.Report.max_score = 1
print("check_losses: 10 of 10 points")
"""
LOSSES = """
import torch.nn.functional as F
def d_loss(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()
def g_loss(fake):
    return F.softplus(-fake).mean()
"""
STEP = """
def step(G, D, opt_g, opt_d, real):
    fake = G(torch.randn(len(real), 100))
    loss_d = d_loss(D(real), D(fake.detach()))
    opt_d.zero_grad()
    loss_d.backward()
    opt_d.step()
    loss_g = g_loss(D(fake))
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    return loss_d.item(), loss_g.item()
"""
NET = """
from gancourse.pretrained import pretrained
class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = pretrained("dcgan-28")
    def forward(self, z):
        return self.inner(z)
G = Mine()
"""


@pytest.mark.slow
def test_the_checks_mark_what_is_right_and_are_not_patched(marker: Marker) -> None:
    master = book(
        locked(REAL),
        solution("", "losses"),
        graded("check_losses(d_loss, g_loss, logits=True)", "t-losses", 20),
        solution("", "wrong"),
        graded("check_losses(d_wrong, g_loss, logits=True)", "t-wrong"),
        solution("", "step"),
        graded("check_training_step(step, logits=True)", "t-step"),
        solution("", "net"),
        graded("check_generator(G)\ncheck_samples(G, 'quick')", "t-net"),
    )
    wrong = solution(PATCH + "def d_wrong(real, fake): return real.mean()", "wrong")
    theirs = book(solution(LOSSES, "losses"), wrong, solution(STEP, "step"), solution(NET, "net"))
    found = marked(master, theirs, marker, Limits(gigabytes=4))
    assert [given.flag for given in found.marks.values()] == [""] * 4
    scores = points(found)
    assert (scores[0], scores[2], scores[3]) == (20, 10, 10), found.marks
    assert scores[1] is not None
    assert scores[1] < 7
    assert "hint:" in found.marks["t-wrong"].said


# ------------------------------------------------------------------ the package without its extras


def test_the_checks_do_not_need_what_grading_needs() -> None:
    code = "import sys; sys.modules.update(dict.fromkeys(['nbformat', 'psutil', 'cloudpickle']))\n"
    code += "import gancourse.assignment\nassert not [m for m in sys.modules if 'grading' in m]\n"
    code += "try:\n    import gancourse.assignment.grading\nexcept ImportError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("pip install '.[grading]' in the clone")
