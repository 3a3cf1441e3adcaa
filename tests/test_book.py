"""The built book: warnings, links, citations, other hosts. Each check is shown to catch its fault."""

from __future__ import annotations

import shutil
from pathlib import Path

import build_book
import pages
import pytest

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
    chapters = {f"book/{path.stem}.html" for path in (ROOT / "book").glob("[0-9][0-9]-*.ipynb")}
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
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    return root


FAULTS = {
    "[x](gone.md)": "gone.md",
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


def test_without_mathjax_the_build_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(build_book.BuildError, match="make book"):
        build_book.build(tmp_path)
