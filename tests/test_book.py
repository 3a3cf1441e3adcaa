"""The built book: warnings, links, citations, other hosts. Each check is shown to catch its fault."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import api_names
import api_reference
import build_book
import chapter_tables
import chapter_times
import nbformat
import pages
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebook_maker import small, sound
from notebook_stamp import package_sha256
from run_notebook import STUDENT_EDITION, book_notebooks

ROOT = Path(__file__).resolve().parent.parent


def lay(folder: Path, **texts: str) -> Path:
    """Write tiny pages, named by keyword, into a folder."""
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(f"<!doctype html><title>{name}</title><main>{text}</main>")
    return folder


# ------------------------------------------------------------------ the book itself


def test_every_page_of_the_contents_is_built(html: Path) -> None:
    names = {page.relative_to(html).as_posix() for page in pages.pages(html)}
    assert {"book/index.html", "book/notation.html", "book/glossary.html", "book/bibliography.html"} <= names
    notebooks = [*book_notebooks(), ROOT / STUDENT_EDITION]
    chapters = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in notebooks}
    assert chapters <= names, f"in book/ but not in _toc.yml: {sorted(chapters - names)}"


def test_internal_links_resolve(html: Path) -> None:
    assert pages.broken_links(html) == []


def test_no_page_loads_from_another_host(html: Path) -> None:
    assert pages.external_resources(html) == []


def test_every_citation_and_reference_resolves(html: Path) -> None:
    assert pages.lost_citations(html) == []


def test_the_repository_address_is_stated_once() -> None:
    import repository

    owner, name = repository.owner_and_name(repository.current(ROOT))
    settings = (ROOT / "_config.yml").read_text(encoding="utf-8")
    assert settings.count(f"{owner}/{name}") == 1


# ------------------------------------------------------------------ the reference


def unlisted(html: Path, names: dict[str, object]) -> list[str]:
    """Return the names that no page of the reference has an entry for."""
    listed = frozenset().union(*map(pages.anchors, (html / "book" / "api").glob("*.html")))
    return sorted(set(names) - listed)


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield every docstring of the package with the place that it stands in."""
    for path in sorted((ROOT / "gancourse").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                name = getattr(node, "name", "module")
                yield f"{path.relative_to(ROOT)}: {name}", ast.get_docstring(node) or ""


def test_every_public_name_is_in_the_reference(html: Path) -> None:
    names = api_names.public()
    assert len(names) > 140
    assert unlisted(html, names) == []


def test_a_name_that_is_left_out_is_caught(html: Path) -> None:
    names = {"gancourse.data.ring": None, "gancourse.data.gone": None}
    assert unlisted(html, names) == ["gancourse.data.gone"]


def test_every_public_docstring_has_a_sentence() -> None:
    assert api_names.undocumented(api_names.public()) == []


def test_a_docstring_that_is_missing_is_caught() -> None:
    class Told:
        """Map x (N,) to itself."""

        def of(self) -> None: ...

        def empty(self) -> None:
            """ """

        def _private(self) -> None: ...

    def untold() -> None: ...

    found = api_names.undocumented({"a": Told, "b": untold, "c": api_names.public})
    assert found == ["a.of", "a.empty", "b"]


def test_every_work_that_a_docstring_names_is_in_the_bibliography() -> None:
    assert [(place, work) for place, text in docstrings() for work in api_reference.uncited(text)] == []


def test_a_work_that_the_bibliography_lacks_is_caught() -> None:
    text = 'As Karras et\nal. (2019) and (Nobody et al., 2019), and Some One, "A Title" (1999).'
    assert api_reference.uncited(text) == ["Nobody et al. 2019", "One 1999"]


@pytest.mark.parametrize(
    ("prose", "shown"),
    [
        ("||x||^2 for *args, a_ and p_g", r"\|\|x\|\|^2 for \*args, a\_ and p\_g"),
        ("a `width` of its own", r"a \ ``width``\  of its own"),
        ("see `mnist`", r"see \ :py:obj:`mnist <gancourse.data.mnist>`"),
        ("`r1(critic)`", ":py:obj:`r1(critic) <gancourse.penalties.r1>`"),
        ("`Mixture.sample`", ":py:obj:`Mixture.sample <gancourse.data.Mixture.sample>`"),
        ("`Mixture.gone`", "``Mixture.gone``"),
        ("Lim and Ye (2017).", ":cite:t:`lim2017geometric`."),
        ("Mao et\nal. (2017), eq. 9", ":cite:t:`mao2017least`, eq. 9"),
        ("Chan, Golub and LeVeque (1979)", ":cite:t:`chan1979updating`"),
        ("PacGAN (Lin et al., 2018)", "PacGAN :cite:p:`lin2018pacgan`"),
        ('Lin et al., "PacGAN" (2018)', ':cite:t:`lin2018pacgan`, "PacGAN"'),
        ("Nobody (2017)", "Nobody (2017)"),
    ],
)
def test_prose_becomes_restructured_text(prose: str, shown: str) -> None:
    assert api_reference.to_rst([prose]) == ["\\ " + shown, ""]


def test_a_name_means_the_nearest_thing() -> None:
    owner = "gancourse.data.Mixture"
    (method, _) = api_reference.to_rst(["`sample`"], owner)
    assert "<gancourse.data.Mixture.sample>" in method
    (function, _) = api_reference.to_rst(["`sample`"])
    assert "<gancourse.sampling.sample>" in function
    (parameter, _) = api_reference.to_rst(["`sample`"], owner, frozenset({"sample"}))
    assert parameter == "\\ ``sample``"
    (inherited, _) = api_reference.to_rst(["`head`"], "gancourse.models.DCGANDiscriminator")
    assert "<gancourse.models.Discriminator.head>" in inherited


@pytest.mark.slow
def test_the_script_for_several_devices_runs_as_printed(tmp_path: Path) -> None:
    page = (ROOT / "book" / "devices.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "train.py").write_text(script.replace("steps=400", "steps=4"), encoding="utf-8")
    assert "steps=4," in script.replace("steps=400", "steps=4"), "the page's script has another length"
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TQDM_DISABLE": "1"}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "train.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"step 4: Fréchet distance \d+\.\d+, 5000 samples\n", done.stdout)


def test_signatures_name_types_as_the_reader_imports_them(html: Path) -> None:
    signatures = [
        signature.get_text(" ", strip=True)
        for page in sorted((html / "book" / "api").glob("*.html"))
        for signature in pages.soup(page).select("dt.sig")
    ]
    assert len(signatures) > 100
    # What autodoc cannot parse, a default factory among it, it shows with the marks of its own markup.
    assert [text for text in signatures if "~" in text or "<factory>" in text] == []


# ------------------------------------------------------------------ tables made from the stamps


RUN = {
    "run": "runs/a",
    "steps": 100,
    "steps_reused": 25,
    "wall_s": 400.0,
    "date": "2025-11-20",
    "device": "x",
}


def test_the_time_of_a_chapter_counts_what_it_reused_once() -> None:
    stamp = {"wall_s": 60.0, "runs": [RUN, RUN | {"steps_reused": 100}, RUN | {"steps_reused": 0}]}
    assert chapter_times.full_seconds(stamp) == 60 + 100 + 400


def test_a_table_says_whether_the_package_is_todays() -> None:
    notebook = sound()
    (row,) = chapter_tables.stamps({Path("book/01-a.ipynb"): notebook})[2:]
    assert row.endswith("| today's |")
    assert package_sha256(ROOT / "gancourse") == notebook.metadata["gancourse"]["package_sha256"]
    notebook.metadata["gancourse"] |= {"package_sha256": "abcdef0123", "runs": [RUN, RUN]}
    (row,) = chapter_tables.stamps({Path("book/01-a.ipynb"): notebook})[2:]
    assert row.replace("\N{NON-BREAKING HYPHEN}", "-").endswith("| 2, 2025-11-20 | `abcdef` |")


def test_a_notebook_that_was_not_run_is_said_to_be_so() -> None:
    notebook = sound()
    del notebook.metadata["gancourse"]
    for table in (chapter_tables.times, chapter_tables.stamps):
        head, _, row = table({Path("book/01-a.ipynb"): notebook})[:3]
        assert "not run yet" in row
        assert row.count("|") == head.count("|")


def test_a_quick_time_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    assert chapter_times.quick_text("01-a", path) == "not measured"
    stamp = {"wall_s": 41.6, "device": "CPU, 2 threads", "date": "2026-01-02T03:04:05+00:00"}
    chapter_times.note_quick_time("01-a", stamp, path)
    assert chapter_times.quick_text("01-a", path) == "42 s"
    assert chapter_times.read_quick_times(path)["01-a"]["date"] == "2026-01-02"


def test_every_chapter_has_a_quick_time() -> None:
    assert set(chapter_times.read_quick_times()) == {path.stem for path in book_notebooks()}


# ------------------------------------------------------------------ the checks catch their faults


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<a href='gone.html'>x</a>", "leads to no file"),
        ("<a href='other.html#gone'>x</a>", "leads to no such anchor"),
        ("<a href='#gone'>x</a>", "leads to no such anchor"),
        ("<img src='gone.png'>", "leads to no file"),
        ("<a href='/other.html'>x</a>", "starts at the server's root"),
    ],
)
def test_a_broken_link_is_caught(tmp_path: Path, text: str, complaint: str) -> None:
    lay(tmp_path, other="<p id='here'>", page=text)
    (problem,) = pages.broken_links(tmp_path)
    assert complaint in problem


def test_sound_links_pass(tmp_path: Path) -> None:
    lay(
        tmp_path,
        other="<p id='h%C3%A9'></p><p id='here'>",
        page="<a href='other.html#here'>x</a><a href='#'>top</a>",
    )
    (tmp_path / "page.html").write_text(
        "<a id=a href='other.html#here'>x</a> <a href='https://example.org'>out</a>"
    )
    assert pages.broken_links(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "<script src='https://cdn.example.org/x.js'></script>",
        "<script src='//cdn.example.org/x.js'></script>",
        "<link rel='stylesheet' href='https://cdn.example.org/x.css'>",
        "<link rel='preconnect' href='https://cdn.example.org'>",
        "<img src='http://example.org/x.png'>",
        "<iframe src='https://example.org'></iframe>",
    ],
)
def test_another_host_is_caught(tmp_path: Path, text: str) -> None:
    assert len(pages.external_resources(lay(tmp_path, page=text))) == 1


def test_a_link_to_another_host_is_no_resource(tmp_path: Path) -> None:
    text = "<a href='https://example.org'>x</a><link rel='canonical' href='https://example.org'>"
    assert pages.external_resources(lay(tmp_path, page=text)) == []


def test_a_lost_citation_is_caught(tmp_path: Path) -> None:
    lay(tmp_path, page="<article>by {cite:t}`nobody2014` <span class='xref std'>thm-gone</span></article>")
    assert len(pages.lost_citations(tmp_path)) == 2
    lay(tmp_path, page="<article><a href='#x'><span class='xref std'>a term</span></a></article>")
    pages.soup.cache_clear()
    assert pages.lost_citations(tmp_path) == []
    lay(tmp_path, page="<article><code>{cite:t}`shown as code`</code></article>")
    assert pages.lost_citations(tmp_path) == []


def test_a_formula_taken_for_text_is_caught(tmp_path: Path) -> None:
    lay(tmp_path, page="<article><p>has density $ p_g $, and</p></article>")
    assert pages.lost_citations(tmp_path) == ["page.html: $ shown to the reader"]
    lay(tmp_path, page="<article><span class='math notranslate'>$x$</span> <pre>$ make book</pre></article>")
    assert pages.lost_citations(tmp_path) == []


@pytest.fixture(scope="module")
def tiny_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the book's settings with one page of its own."""
    root = tmp_path_factory.mktemp("tiny")
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copytree(
        ROOT / "book" / "static", root / "book" / "static", ignore=shutil.ignore_patterns("mathjax")
    )
    (root / "book" / "static" / "mathjax").mkdir()
    (root / "tools").mkdir()
    for path in (ROOT / "tools").glob("*.py"):
        shutil.copy(path, root / "tools")
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    contents = "format: jb-book\nroot: book/index\nchapters:\n- file: book/01-chapter\n"
    (root / "_toc.yml").write_text(contents)
    nbformat.write(small(CELLS), root / "book" / "01-chapter.ipynb")
    return root


CELLS = [new_markdown_cell("# A chapter", id="title"), new_code_cell("1", id="losses")]
FAULTS = {
    "[x](gone.md)": "gone.md",
    "[x](01-chapter.ipynb#cell-gone)": "cell-gone",
    "{ref}`gone-ref`": "gone-ref",
    "{eq}`gone-eq`": "gone-eq",
    "{prf:ref}`gone-theorem`": "gone-theorem",
    "{term}`gone-term`": "gone-term",
    "{cite:t}`nobody2014`": "nobody2014",
    "```{figure} gone.png\n```": "gone.png",
    "```{no-such-directive}\n```": "no-such-directive",
}


@pytest.fixture(scope="module")
def complaints(tiny_book: Path) -> str:
    """What the build says of a page with all the faults."""
    text = "\n\n".join(["# Tiny", *FAULTS, "```{bibliography}\n```"])
    (tiny_book / "book" / "index.md").write_text(text)
    with pytest.raises(build_book.BuildError) as error:
        build_book.build(tiny_book)
    return str(error.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_text_stops_the_build(complaints: str, fault: str) -> None:
    assert FAULTS[fault] in complaints


def test_one_warning_alone_stops_the_build(tiny_book: Path) -> None:
    (tiny_book / "book" / "index.md").write_text("# Tiny\n\n{ref}`gone`\n")
    with pytest.raises(build_book.BuildError, match="gone"):
        build_book.build(tiny_book)


def test_a_crash_of_the_build_names_its_cause(tiny_book: Path) -> None:
    (tiny_book / "book" / "index.md").write_text("# Tiny\n\n```{chapter-times}\n```\n")
    broken = tiny_book / "book" / "02-broken.ipynb"
    broken.write_text("{")
    with pytest.raises(build_book.BuildError, match=r"NotJSONError: .+"):
        build_book.build(tiny_book)
    broken.unlink()


def test_a_link_leads_to_a_cell(tiny_book: Path) -> None:
    text = "# Tiny\n\n[the cell](01-chapter.ipynb#cell-losses)\n"
    (tiny_book / "book" / "index.md").write_text(text)
    built = build_book.build(tiny_book).parent
    assert "cell-losses" in pages.anchors(built / "book" / "01-chapter.html")
    assert pages.broken_links(built) == []
    links = pages.soup(built / "book" / "index.html").select("article a[href='01-chapter.html#cell-losses']")
    assert [link.get_text() for link in links] == ["the cell"]


def test_without_mathjax_the_build_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(build_book.BuildError, match="make book"):
        build_book.build(tmp_path)
