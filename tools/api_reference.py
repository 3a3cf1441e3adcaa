"""A Sphinx extension that shows the docstrings of gancourse in the book.

They are plain prose: a name stands in single backticks, and * or | or a final _ means itself. Here they
become reStructuredText: names of the reference and the works that a docstring cites become links.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from api_names import is_made_of_types, own_members, public
from sphinx.util.typing import stringify_annotation
from works import last_names, short_names, works

ROOT = Path(__file__).resolve().parent.parent
NAMES = r"[A-Z][\w-]+(?:, [A-Z][\w-]+)*(?: and [A-Z][\w-]+| et al\.)?"
CITED = re.compile(rf'(\()?\b({NAMES})(,? "[^"]+")?,? (\()?(\d{{4}})(?(1)|(?(4)))\)')


# ------------------------------------------------------------------ citations


@cache
def named_works() -> dict[tuple[str, str], str]:
    """Return the bibliography's key for each (authors as prose names them, year)."""
    found = {}
    for key, entry in works().items():
        names, short = last_names(entry), short_names(entry)
        for label in {short, f"{', '.join(names[:-1])} and {names[-1]}"} if len(names) > 1 else {short}:
            found[label, entry.fields["year"]] = key
    return found


def uncited(text: str) -> list[str]:
    """List the works that a text names and the bibliography lacks."""
    cited = CITED.finditer(" ".join(text.split()))
    return [f"{m[2]} {m[5]}" for m in cited if (m[2], m[5]) not in named_works()]


def cite(match: re.Match[str]) -> str:
    """Return the role that cites a work, or the text as it is where the bibliography lacks it."""
    key = named_works().get((match[2], match[5]))
    if key is None:
        return escape(match[0])
    title = escape(match[3] or "")
    return f":cite:p:`{key}`" if match[1] else f":cite:t:`{key}`{title}"


# ------------------------------------------------------------------ prose to reStructuredText


def escape(text: str) -> str:
    """Take from every character the meaning that reStructuredText gives it."""
    return re.sub(r"([\\*_|`])", r"\\\1", text)


def prose(text: str) -> str:
    """Escape prose, and link the works that it cites."""
    parts, end = [], 0
    for match in CITED.finditer(text):
        parts += [escape(text[end : match.start()]), cite(match)]
        end = match.end()
    return "".join(parts) + escape(text[end:])


def code(text: str, owner: str, parameters: frozenset[str]) -> str:
    """Return what stands in backticks as a link to the reference, or as code where it names nothing there."""
    head = re.match(r"[\w.]+", text)
    target = None if head is None or head[0] in parameters else resolve(head[0], owner)
    return f"``{text}``" if target is None else f":py:obj:`{text} <{target}>`"


def resolve(name: str, owner: str) -> str | None:
    """Return the full name of a method of the owner, or of something public or a method of it."""
    ours = public()
    if name in own_names(ours.get(owner)):
        return f"{shown_by(owner, name)}.{name}"
    first, _, rest = name.partition(".")
    full = next((known for known in ours if known.rpartition(".")[2] == first), None)
    if full is None or (rest and rest not in own_names(ours[full])):
        return None
    return f"{shown_by(full, rest)}.{rest}" if rest else full


def shown_by(owner: str, method: str) -> str:
    """Return the class whose entry has a method: where it is defined, or the owner if that is private."""
    ours = public()
    made_in = next(c for c in ours[owner].__mro__ if method in vars(c))  # type: ignore[attr-defined]
    return next((name for name, value in ours.items() if value is made_in), owner)


def own_names(value: object) -> set[str]:
    """Return the names of a class's documented methods, inherited ones of ours included."""
    if not inspect.isclass(value):
        return set()
    return {n for c in value.__mro__ if c.__module__.startswith("gancourse") for n in own_members(c)}


def to_rst(lines: list[str], owner: str = "", parameters: frozenset[str] = frozenset()) -> list[str]:
    """Return a docstring as reStructuredText, a line a paragraph."""
    paragraphs = [" ".join(p.split()) for p in "\n".join(lines).strip().split("\n\n")]
    out = []
    for paragraph in paragraphs:
        pieces = re.split(r"`([^`]+)`", paragraph)
        marked = [code(p, owner, parameters) if i % 2 else prose(p) for i, p in enumerate(pieces)]
        # What the empty escape precedes can be no list, no option and no heading. Around a role it ends it.
        out += ["\\ " + join(marked), ""]
    return out


def join(pieces: list[str]) -> str:
    """Join prose and roles; an empty escape keeps a role from sticking to a letter beside it."""
    return "\\ ".join(piece for piece in pieces if piece)


# ------------------------------------------------------------------ Sphinx


def parameters_of(value: object) -> frozenset[str]:
    """Return the names of what a function or class is called with."""
    try:
        return frozenset(inspect.signature(value).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return frozenset()


def process(app: Any, what: str, name: str, value: object, options: Any, lines: list[str]) -> None:
    """Replace a docstring by its reStructuredText, a module's without its summary: a page has its own."""
    if what == "module":
        lines[:] = "\n".join(lines).partition("\n\n")[2].split("\n")
    owner = name.rpartition(".")[0] if what in ("method", "property", "attribute") else name
    lines[:] = to_rst(lines, owner, parameters_of(value))


@cache
def aliases() -> dict[str, str]:
    """Return how autodoc writes each public alias of a type out, longest first, and the alias."""
    found = {
        stringify_annotation(value, "smart"): f"~{name}"
        for name, value in public().items()
        if not inspect.isclass(value) and is_made_of_types(value)
    }
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def shorten(app: Any, what: str, name: str, value: object, options: Any, *written: str | None) -> Any:
    """Return the signature and what it returns, with the names of aliases where they are written out."""

    def short(text: str | None) -> str | None:
        for long, alias in aliases().items():
            text = text and text.replace(long, alias)
        return text

    return tuple(map(short, written))


def skip(app: Any, what: str, name: str, value: object, skipped: bool, options: Any) -> bool | None:
    """Leave out a NamedTuple's fields, which stand in its signature, and what only print uses."""
    is_field = type(value).__name__ == "_tuplegetter"
    return True if is_field or name == "extra_repr" else None


def flatten(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Write a signature of several lines as spans: Sphinx makes it a list of terms that has no terms."""
    tags = {"<dl>": '<span class="sig-lines">', "</dl>": "</span>", "<dd>": "<span>", "</dd>": "</span>"}
    signature = re.compile(r'<dt class="sig .*?</dt>', re.DOTALL)
    tag = re.compile("|".join(tags))
    if "body" in context:
        body = context["body"]
        context["body"] = signature.sub(lambda s: tag.sub(lambda t: tags[t[0]], s[0]), body)


def follow(app: Any, env: Any, node: Any, shown: Any) -> Any:
    """Link a type that a signature names to an alias: Sphinx looks for classes only."""
    if (node.get("refdomain"), node.get("reftype")) != ("py", "class"):
        return None
    where = (env, node["refdoc"], app.builder)
    return env.get_domain("py").resolve_xref(*where, "type", node["reftarget"], node, shown)


def setup(app: Any) -> dict[str, bool]:
    """Hang the steps above into autodoc."""
    if str(ROOT) not in sys.path:  # this checkout's gancourse, whichever one is installed
        sys.path.insert(0, str(ROOT))
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", shorten)
    app.connect("html-page-context", flatten)
    app.connect("missing-reference", follow)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
