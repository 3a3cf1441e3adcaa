"""Checks of built pages. Each returns what is wrong, as a list of lines: empty means sound."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

RESOURCES = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
UNRESOLVED = "span.xref, a.xref[href='#']"  # a resolved one stands inside its link
LEFT_AS_TYPED = ("{cite", "{ref}", "{eq}`", "{prf:", "$")  # $: a formula that was taken for text
LINKS_THAT_LOAD = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch"}


@functools.cache
def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """Return everything on the page that a link may end in."""
    tags = soup(page).find_all(lambda tag: tag.has_attr("id") or tag.has_attr("name"))
    return frozenset(str(tag.get(key)) for tag in tags for key in ("id", "name") if tag.get(key))


def pages(html: Path) -> list[Path]:
    """Return the pages that a reader can open; the theme keeps fragments of its own under _static."""
    return sorted(path for path in html.rglob("*.html") if "_static" not in path.relative_to(html).parts)


def is_external(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "ws", "wss")


def broken_links(html: Path) -> list[str]:
    """Follow each internal link, picture and script of each page, anchors included."""
    return [problem for page in pages(html) for problem in broken_links_of(page, html)]


def broken_links_of(page: Path, html: Path) -> Iterator[str]:
    for tag in soup(page).find_all(["a", "img", "link", "script", "source"]):
        address = str(tag.get("href") or tag.get("src") or "")
        parts = urlsplit(address)
        if not address or is_external(address) or parts.scheme:
            continue
        if parts.path.startswith("/"):
            yield f"{page.relative_to(html)}: {address} starts at the server's root, a fork's pages do not"
            continue
        target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
        if target.is_dir():
            target = target / "index.html"
        if not target.exists():
            yield f"{page.relative_to(html)}: {address} leads to no file"
        elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target):
            yield f"{page.relative_to(html)}: {address} leads to no such anchor"


def resources(page: Path) -> Iterator[str]:
    """Yield the address of everything that opening the page would fetch."""
    for name, attribute in RESOURCES.items():
        yield from (str(tag[attribute]) for tag in soup(page).find_all(name) if tag.get(attribute))
    for tag in soup(page).find_all("link"):
        if LINKS_THAT_LOAD & set(tag.get_attribute_list("rel")):
            yield str(tag.get("href", ""))


def external_resources(html: Path) -> list[str]:
    """List what a page would fetch from another host."""
    return [
        f"{page.relative_to(html)}: loads {address}"
        for page in pages(html)
        for address in resources(page)
        if is_external(address)
    ]


def lost_citations(html: Path) -> list[str]:
    """List citations without an entry, and references that were left as they were typed."""
    problems = []
    for page in pages(html):
        main = soup(page).find("article") or soup(page)
        assert isinstance(main, Tag)
        name = page.relative_to(html)
        lost = [tag for tag in main.select(UNRESOLVED) if not tag.find_parent("a", href=True)]
        problems += [f"{name}: {tag.get_text()!r} leads nowhere" for tag in lost]
        problems += [f"{name}: undefined citation" for tag in main.select(".bibtex.missing, cite.missing")]
        for code in main.select("pre, code, script, style, .math"):
            code.extract()
        text = main.get_text()
        problems += [f"{name}: {mark} shown to the reader" for mark in LEFT_AS_TYPED if mark in text]
    soup.cache_clear()  # the code was taken out above
    return problems


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the tests speak."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a browser that left in the middle of a file."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine and yield its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
