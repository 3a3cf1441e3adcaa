"""What a headless Chromium sees of a page, with every other host blocked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Route

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT = 180_000  # ms: a shared machine may be slow, and a slow page is not a broken one
TALLEST = 8_000  # pixels in one picture: Chromium repeats itself beyond 16,384

MATH = """() => {
  const all = [...document.querySelectorAll('.math')];
  return {
    expected: all.length,
    rendered: all.filter(e => e.querySelectorAll('mjx-container').length === 1).length,
    errors: [...document.querySelectorAll('mjx-merror, [data-mjx-error]')]
      .map(e => e.getAttribute('data-mjx-error') || e.textContent),
  };
}"""
MATHJAX_DONE = """() => !document.querySelector('.math')
  || (window.MathJax && MathJax.startup && MathJax.startup.promise
      && MathJax.startup.promise.then(() => true))"""
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  const boxed = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== 'visible' || getComputedStyle(p).position === 'fixed')
        return true;
    return false;
  };
  const wide = [...document.querySelectorAll('main *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.right > width + 1 && !boxed(e) && getComputedStyle(e).position !== 'fixed';
  });
  return {page: document.documentElement.scrollWidth, width,
          wide: wide.slice(0, 5).map(e => e.tagName.toLowerCase() + '.' + [...e.classList].join('.'))};
}"""
AXE = "() => axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)"


@dataclass
class Visit:
    """An opened page and what was noticed while it loaded."""

    page: Page
    blocked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def math(self) -> dict[str, Any]:
        return dict(self.page.evaluate(MATH))

    def problems(self) -> list[str]:
        """List requests to other hosts, errors of the console, and mathematics that went wrong."""
        math = self.math()
        problems = [f"asked another host: {address}" for address in self.blocked]
        problems += [f"console: {text}" for text in self.errors]
        problems += [f"TeX: {text}" for text in math["errors"]]
        if math["rendered"] != math["expected"]:
            problems.append(f"{math['expected']} formulas on the page, {math['rendered']} were rendered")
        return problems

    def overflow(self) -> list[str]:
        """Say whether the whole page scrolls sideways, and what sticks out."""
        seen = self.page.evaluate(OVERFLOW)
        if seen["page"] <= seen["width"] + 1 and not seen["wide"]:
            return []
        return [
            f"the page is {seen['page']} px wide on a screen of {seen['width']}: {', '.join(seen['wide'])}"
        ]

    def barriers(self, axe: Path, known: dict[str, str]) -> list[str]:
        """List what axe-core calls serious or critical, less what the theme is known for (rule -> HTML)."""
        self.page.evaluate(axe.read_text(encoding="utf-8"))
        found = []
        for violation in self.page.evaluate(AXE):
            if violation["impact"] not in ("serious", "critical"):
                continue
            nodes = [node["html"] for node in violation["nodes"]]
            nodes = [html for html in nodes if known.get(violation["id"], "\0") not in html]
            found += [f"{violation['id']} ({violation['help']}): {html[:160]}" for html in nodes]
        return found

    def photograph(self, stem: Path) -> list[Path]:
        """Keep the whole page, a tall one in several pictures."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        width = self.page.evaluate("document.documentElement.clientWidth")
        stem.parent.mkdir(parents=True, exist_ok=True)
        pictures = []
        for part, top in enumerate(range(0, height, TALLEST), start=1):
            path = stem.with_name(f"{stem.name}{'' if part == 1 else f'-{part}'}.png")
            clip = {"x": 0, "y": top, "width": width, "height": min(TALLEST, height - top)}
            self.page.screenshot(path=path, full_page=True, clip=clip, animations="disabled", timeout=TIMEOUT)
            pictures.append(path)
        return pictures


@contextmanager
def visit(browser: Browser, address: str, *, scheme: str = "light", width: int = 1280) -> Iterator[Visit]:
    """Open a page, wait for its mathematics and yield what was noticed."""
    own_host = urlsplit(address).netloc
    size = {"width": width, "height": 900 if width > 600 else 844}
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-US")
    seen = Visit(context.new_page())

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).netloc == own_host:
            route.continue_()
        else:
            seen.blocked.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    seen.page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    try:
        seen.page.set_default_timeout(TIMEOUT)
        seen.page.goto(address, wait_until="load", timeout=TIMEOUT)
        seen.page.wait_for_function(MATHJAX_DONE, timeout=TIMEOUT)
        seen.page.evaluate("document.fonts.ready.then(() => true)")
        yield seen
    finally:
        context.close()


def describe(problems: list[str]) -> str:
    """Lay the problems out, one a line."""
    return json.dumps(problems, indent=1, ensure_ascii=False)


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open a page in a context of its own, made with Playwright's `options`: no JavaScript, touch, a size."""
    context = browser.new_context(locale="en-US", **options)
    try:
        page = context.new_page()
        page.goto(url)
        yield page
    finally:
        context.close()
