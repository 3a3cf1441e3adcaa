"""The Colab edition: nothing raw is shown, its numbers are the page's, and it runs where only torch is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import book_index
import clean_venv
import colab_edition
import nbformat
import pages
import pytest
import repository
from nbformat import NotebookNode
from notebook_prose import load, prose
from notebook_stamp import code_sources, read_stamp
from plain_markdown import EditionError, Prose, Target
from run_notebook import ROOT, STUDENT_EDITION

NOTEBOOKS = list(colab_edition.sources())
IDS = [path.stem for path in NOTEBOOKS]
SITE = "https://ann.github.io/gans"
# What MyST reads and plain Markdown does not: roles, directives, labels, options, comments.
RAW = re.compile(
    r"\{[\w:]+\}`|^\s*(?:`{3,}|:{3,})\s*\{|^\([\w-]+\)=|^:[\w-]+: |\$\$\s*\([\w-]+\)|^%|^\+\+\+", re.MULTILINE
)


def shown(notebook: NotebookNode) -> str:
    """Return the Markdown cells without code blocks and code spans, which show what they hold."""
    return re.sub(r"(?<![`}])`[^`\n]+`", "", prose(notebook))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what pip needs of this checkout: building leaves files behind."""
    folder = tmp_path_factory.mktemp("package")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "gancourse", folder / "gancourse", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def edition(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The edition, installing the package from a local address."""
    folder = tmp_path_factory.mktemp("colab")
    assert colab_edition.main([str(folder), "--address", package.as_uri()]) == 0
    return folder


# ------------------------------------------------------------------ the prose


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_nothing_raw_is_shown(path: Path, edition: Path) -> None:
    raw = RAW.search(shown(load(path)))
    # The student edition of the assignment is handed out as it is, and holds none to begin with.
    assert raw or path == ROOT / STUDENT_EDITION, "the book's own notebook shows none: the search is blind"
    made = shown(load(edition / path.relative_to(ROOT)))
    assert [made[found.start() :][:60] for found in RAW.finditer(made)] == []
    assert not re.search(r"\\(?:E|R|KL|JSD)(?![A-Za-z])", made), "a macro of the book's settings"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_the_numbers_are_those_of_the_page(path: Path, edition: Path, html: Path) -> None:
    made = load(edition / path.relative_to(ROOT))
    text = "\n\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    numbered = r"(?:Theorem|Proposition|Lemma|Corollary|Exercise) \d+"
    named = re.findall(rf"^\*\*({numbered})", text, re.MULTILINE)
    article = pages.soup((html / path.relative_to(ROOT)).with_suffix(".html")).select_one("article")
    headings = [found.get_text(" ") for found in article.select("p.admonition-title")]
    on_page = [found[0] for words in headings if (found := re.match(numbered, " ".join(words.split())))]
    assert named == on_page
    tags = [f"({number})" for number in re.findall(r"\\tag\{(\d+)\}", text)]
    assert tags == [found.get_text().rstrip("#") for found in article.select(".eqno")]
    links = re.findall(r"\[((?:Theorem|Proposition|Exercise) \d+)\]\(", text)
    inside = [a.get_text().strip() for a in article.select("p a.reference.internal, li a.reference.internal")]
    assert links == [
        words for words in inside if re.fullmatch(r"(?:Theorem|Proposition|Exercise) \d+", words)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_every_link_has_its_anchor(path: Path, edition: Path, html: Path) -> None:
    owner, name = repository.owner_and_name(repository.current(ROOT))
    site = f"https://{owner}.github.io/{name}/"
    text = shown(load(edition / path.relative_to(ROOT)))
    here = set(re.findall(r'<a name="([^"]+)"></a>', text))
    links = set(re.findall(r"\]\(([^()\s]+)\)", text))
    assert {link for link in links if link.startswith("#")} <= {f"#{anchor}" for anchor in here}
    for link in (link.removeprefix(site) for link in links if link.startswith(site)):
        page, _, anchor = link.partition("#")
        assert (html / page).is_file(), link
        assert not anchor or anchor in pages.anchors(html / page), link
    assert not [link for link in links if not re.match(r"https?://|#|mailto:", link)], "a relative link"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_code_and_outputs_are_the_books(path: Path, edition: Path) -> None:
    own, made = (nbformat.read(p, as_version=4) for p in (path, edition / path.relative_to(ROOT)))
    nbformat.validate(made)
    assert made.cells[0].id == "colab"
    assert code_sources(made)[1:] == code_sources(own)
    assert [cell.get("outputs") for cell in made.cells if cell.cell_type == "code"][1:] == [
        cell.outputs for cell in own.cells if cell.cell_type == "code"
    ]
    if read_stamp(own):
        assert made.cells[-1].source == own.cells[-1].source


TARGETS = {
    "thm": Target("book/01", "Theorem 7", "thm"),
    "ex": Target("book/01", "Exercise 3", "ex"),
    "eq-a": Target("book/01", "(4)", "equation-eq-a"),
    "far": Target("book/02", "Proposition 2", "far"),
    "eq-far": Target("book/02", "(5)", "equation-eq-far"),
    "sec": Target("book/01", "A section", "sec"),
}
TERMS = {"mode collapse": "term-mode-collapse", "fid": "term-FID"}
GAN = "https://arxiv.org/abs/1406.2661"
CONVERSIONS = {
    "by {cite:t}`goodfellow2014generative`, 9": rf"by Goodfellow et al. \[[2014]({GAN})\], 9",
    "said {cite:p}`goodfellow2014generative`.": f"said [Goodfellow et al., [2014]({GAN})].",
    "{prf:ref}`thm`": "[Theorem 7](#thm)",
    "{prf:ref}`far`": f"[Proposition 2]({SITE}/book/02.html#far)",
    "{ref}`so <ex>`": "[so](#ex)",
    "in {eq}`eq-a` and {eq}`eq-far`": f"in (4) and [(5)]({SITE}/book/02.html#equation-eq-far)",
    "{term}`collapses <mode collapse>`": f"[collapses]({SITE}/book/glossary.html#term-mode-collapse)",
    "{term}`FID`": f"[FID]({SITE}/book/glossary.html#term-FID)",
    "[here](#sec), [there](02.ipynb#far)": f"[here](#sec), [there]({SITE}/book/02.html#far)",
    "[](02.ipynb)": f"[Two]({SITE}/book/02.html)",
    "[out](https://example.org/a)": "[out](https://example.org/a)",
    "`{ref}` and $f[a](b.md)$ stay": "`{ref}` and $f[a](b.md)$ stay",
    "(sec)=\n## A": '<a name="sec"></a>\n\n## A',
    "$$\na\n$$ (eq-a)": "$$\na\n\\tag{4}\n$$",
    "```python\n{ref}`x`\n```": "```python\n{ref}`x`\n```",
    "```{prf:theorem} Of $G$\n:label: thm\nIt is.\n```": (
        '<a name="thm"></a>\n\n**Theorem 7 (Of $G$).** It is.\n'
    ),
    ":::{warning}\nDo {term}`FID`.\n\nThen.\n:::": (
        f"**Warning.** Do [FID]({SITE}/book/glossary.html#term-FID).\n\nThen.\n"
    ),
    "```{prf:proof}\n$$\na\n$$\n```": "**Proof.**\n\n$$\na\n$$\n",
    "````{solution} ex\n:class: dropdown\n```python\nx\n```\n````": (
        "<details>\n<summary>Solution to Exercise 3</summary>\n\n```python\nx\n```\n\n</details>"
    ),
}


@pytest.mark.parametrize("source", CONVERSIONS)
def test_a_construct_becomes_plain(source: str) -> None:
    made = Prose("book/01", SITE, TARGETS, {"book/02": "Two"}, TERMS).convert(source)
    assert made == CONVERSIONS[source]
    assert not RAW.search(re.sub(r"```python.*?```|`[^`]+`", "", made, flags=re.DOTALL))


@pytest.mark.parametrize("source", ["```{figure} a.png\n```", "{doc}`a`", "```{prf:proof}\nnever closed"])
def test_what_has_no_plain_form_is_refused(source: str) -> None:
    with pytest.raises(EditionError, match="book/01"):
        Prose("book/01", SITE, TARGETS, {}, TERMS).convert(source)


def test_every_label_of_the_book_is_known() -> None:
    targets = book_index.targets()
    assert targets["global-optimum"].text == "Theorem 1"
    assert targets["eq-minimax"].text == "(1)"
    assert targets["bias"].text == "The bias"


# ------------------------------------------------------------------ the publication


def test_the_button_opens_the_branch_that_the_workflow_writes(html: Path) -> None:
    owner, name = repository.owner_and_name(repository.current(ROOT))
    buttons = pages.soup(html / "book/05-dcgan.html").select("a[href*='colab.research.google.com']")
    place = f"https://colab.research.google.com/github/{owner}/{name}/blob/colab/book/05-dcgan.ipynb"
    assert {button["href"] for button in buttons} == {place}
    workflow = (ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8")
    assert "tools/colab_edition.py" in workflow
    assert re.search(r"git .*push --force .* colab", workflow)


def test_the_first_cell_installs_this_commit_from_the_repository(tmp_path: Path) -> None:
    assert colab_edition.main([str(tmp_path)]) == 0
    first = load(tmp_path / "book" / f"{IDS[0]}.ipynb").cells[0].source
    assert f'"gancourse[widgets] @ git+{repository.current(ROOT)}@{colab_edition.commit()}"' in first
    assert first.count(repository.current(ROOT)) == 1


# ------------------------------------------------------------------ where only torch and Jupyter are

RUN = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
if len(sys.argv) > 2:
    notebook.cells = notebook.cells[:1]
nbclient.NotebookClient(notebook, kernel_name="python3").execute()
print("".join(out.text for out in notebook.cells[0].outputs if out.get("name") == "stdout"))
"""


HANGS = 400  # seconds; the slowest edition takes a fourth of that on a busy machine


class Clean(NamedTuple):
    """An environment, what it held before the first cell ran, and what that cell said."""

    python: Path
    before: dict[str, str]
    said: str


def execute(python: Path, notebook: Path, folder: Path, *first_only: str) -> str:
    """Run a notebook, or its first cell, in the environment's own kernel; return what the first cell said."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "GANCOURSE_PROFILE": "quick"}
    # A Jupyter of the user's would offer kernels, settings and packages of its own.
    own |= {"JUPYTER_NO_CONFIG": "1", "PYTHONNOUSERSITE": "1", "IPYTHONDIR": str(folder / "ipython")}
    env = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "JUPYTER", "VIRTUAL"))
    }
    command = [python, "-c", RUN, notebook, *first_only]
    for last in (False, True):
        try:
            done = subprocess.run(
                command, cwd=folder, env=env | own, capture_output=True, text=True, timeout=HANGS
            )
            break
        except subprocess.TimeoutExpired:  # Jupyter once lost a message: both ends then wait for ever
            if last:
                raise
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def clean(edition: Path, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """A clean environment in which the first cell of a notebook was run."""
    folder = tmp_path_factory.mktemp("clean")
    python = clean_venv.make(folder / "venv", ["torch", "torchvision", "ipykernel", "nbclient"])
    before = clean_venv.installed(python)
    said = execute(python, edition / "book" / f"{IDS[0]}.ipynb", folder, "first cell only")
    return Clean(python, before, said)


@pytest.mark.slow
def test_the_first_cell_installs_the_package_and_leaves_the_rest_alone(clean: Clean, edition: Path) -> None:
    assert set(clean.before) >= {"torch", "torchvision", "numpy", "pillow", "ipykernel"}
    assert not {"gancourse", "matplotlib", "scipy", "scikit-learn"} & set(clean.before)
    after = clean_venv.installed(clean.python)
    assert {name: after.get(name) for name in clean.before} == clean.before
    assert "gancourse" in after
    kept = ", ".join(f"{name}=={clean.before[name]}" for name in ("torch", "torchvision", "numpy", "pillow"))
    assert clean.said.startswith(f"installed gancourse; kept {kept}\n")
    assert "no GPU: CPU, 1 thread" in clean.said
    assert re.search(r"profile quick, .*; expected time: \d+ s on CPU", clean.said)


@pytest.mark.slow
def test_a_failed_installation_says_what_to_do(edition: Path, tmp_path: Path) -> None:
    source = load(edition / "book" / f"{IDS[0]}.ipynb").cells[0].source
    gone = re.sub(r"@ file://[^\"]+", "@ file:///gone", source)
    # -I: this environment's own gancourse must not be found.
    python = clean_venv.make(tmp_path / "venv", ["packaging"])
    done = subprocess.run([python, "-I", "-c", gone], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip could not install gancourse; try this cell again" in done.stderr
    assert "/gone" in done.stderr


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, clean: Clean, edition: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[tuple[str, float]]]]:
    """Run the editions that the selected tests ask for, two at a time."""
    folder = tmp_path_factory.mktemp("runs")

    def timed(path: Path) -> tuple[str, float]:
        began = time.monotonic()
        said = execute(clean.python, edition / path.relative_to(ROOT), folder / path.stem)
        return said, time.monotonic() - began

    asking = [item for item in request.session.items if "runs" in getattr(item, "fixturenames", ())]
    pool = ThreadPoolExecutor(2)
    yield {item.callspec.params["path"]: pool.submit(timed, item.callspec.params["path"]) for item in asking}
    pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_an_edition_runs_where_only_torch_and_jupyter_are(
    path: Path,
    runs: dict[Path, Future[tuple[str, float]]],
    record_property: Callable[[str, object], None],
) -> None:
    said, seconds = runs[path].result()
    record_property("notice", f"{path.name}: Colab edition in {seconds:.0f} s on one core")
    assert said.startswith("gancourse is already installed\n")
