"""Turn a notebook's MyST prose into plain Markdown, which Colab can show.

Theorems, proofs and exercises become paragraphs that begin with their bold name, solutions fold by HTML's own
<details>, citations and references become links. The numbers are those of the page. A directive or a role
that is not known here is an error, so that nothing raw gets through.

sphinx-tojupyter does the same from Sphinx's document tree; but it makes new notebooks, without the stored
outputs, the cells' ids and tags, and with unfolded solutions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import works
from notebook_prose import DIRECTIVE, FENCE

THEOREMS = {"prf:theorem", "prf:proposition", "prf:lemma", "prf:corollary", "prf:definition", "prf:remark"}
NUMBERED = THEOREMS | {"exercise"}
LABEL = re.compile(r"\(([^()\s]+)\)=\s*")
EQUATION = re.compile(r"(\s*)\$\$\s*\(([^()\s]+)\)\s*")
OPTION = re.compile(r"\s*:([\w-]+):\s*(.*)")
# What a line is made of, in the order in which it is tried: roles, code, mathematics, links.
INLINE = re.compile(
    r"\{(?P<role>[\w:]+)\}`(?P<content>[^`]+)`|(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)|\$[^$\n]+\$"
    r"|(?<!!)\[(?P<text>[^\]]*)\]\((?P<link>[^()\s]+)\)"
)
TITLED = re.compile(r"(?P<text>.+?)\s*<(?P<target>[^<>]+)>")


class EditionError(Exception):
    """Prose that plain Markdown cannot show."""


@dataclass(frozen=True)
class Target:
    """What a label stands for: the page that has it, the words of a link to it, its anchor on the page."""

    page: str
    text: str
    anchor: str


@dataclass
class Prose:
    """The prose of one notebook on its way to plain Markdown."""

    page: str  # the notebook's place from the root, without .ipynb
    site: str  # the address of the published pages
    targets: dict[str, Target]
    titles: dict[str, str]  # page -> heading
    terms: dict[str, str]  # name in the glossary, lower case -> anchor
    cited: set[str] = field(default_factory=set)

    def convert(self, text: str) -> str:
        """Return the text as plain Markdown."""
        return "\n".join(self._lines(text.splitlines()))

    def _lines(self, lines: list[str]) -> Iterator[str]:
        at = 0
        while at < len(lines):
            line, at = lines[at], at + 1
            if fence := FENCE.match(line) or re.match(r"(?P<mark>`{3,})(?P<rest>)\s*$", line):
                end = self._end(lines, at, fence["mark"])
                directive = DIRECTIVE.fullmatch(fence["rest"].strip())
                body, at = lines[at:end], end + 1
                if directive is None:
                    yield from [line, *body, lines[end]]
                else:
                    yield from self._directive(directive["name"], directive["argument"].strip(), body)
            elif label := LABEL.fullmatch(line):
                yield from [f'<a name="{label[1]}"></a>', ""]
            elif tag := EQUATION.fullmatch(line):
                yield from [f"{tag[1]}\\tag{{{self.targets[tag[2]].text.strip('()')}}}", f"{tag[1]}$$"]
            else:
                yield INLINE.sub(self._inline, line)

    # ------------------------------------------------------------------ blocks

    def _end(self, lines: list[str], at: int, mark: str) -> int:
        closing = (n for n in range(at, len(lines)) if re.fullmatch(rf"{mark}\s*", lines[n]))
        if (end := next(closing, None)) is None:
            raise EditionError(f"{self.page}: nothing closes {lines[at - 1]!r}")
        return end

    def _directive(self, name: str, argument: str, body: list[str]) -> Iterator[str]:
        options = {}
        while body and (option := OPTION.fullmatch(body[0])):
            options[option[1]], body = option[2].strip(), body[1:]
        text = self.convert("\n".join(body).strip())
        if name in NUMBERED:
            title = f" ({INLINE.sub(self._inline, argument)})" if argument else ""
            target = self.targets[options["label"]]
            yield from [f'<a name="{options["label"]}"></a>', ""]
            yield from _begun(f"**{target.text}{title}.**", text)
        elif name == "prf:proof":
            yield from _begun("**Proof.**", text)
        elif name in ("note", "warning"):
            yield from _begun(f"**{name.capitalize()}.**", text)
        elif name == "solution":
            summary = f"<summary>Solution to {self.targets[argument].text}</summary>"
            yield from ["<details>", summary, "", text, "", "</details>"]
        else:
            raise EditionError(f"{self.page}: the directive {name!r} has no plain form: give it one here")

    # ------------------------------------------------------------------ within a line

    def _inline(self, match: re.Match[str]) -> str:
        if match["role"]:
            roles: dict[str, Callable[[str], str]] = {
                "cite:p": lambda keys: f"[{self._cite(keys, ', ')}]",
                "cite:t": lambda keys: self._cite(keys, " ", "[", "]"),
                "term": self._term,
                **dict.fromkeys(("ref", "prf:ref", "eq"), self._reference),
            }
            if match["role"] not in roles:
                raise EditionError(f"{self.page}: the role {match['role']!r} has no plain form")
            return roles[match["role"]](match["content"])
        return self._link(match["text"], match["link"]) if match["link"] else match[0]

    def _cite(self, keys: str, between: str, before: str = "", after: str = "") -> str:
        """Name works: Lin [1991], or Lin, 1991; each is a link where the work has an address."""
        named = []
        for key in (key.strip() for key in keys.split(",")):
            self.cited.add(key)
            entry = works.works()[key]
            year, url = entry.fields["year"], works.address(entry)
            linked = f"[{year}]({url})" if url else year
            opened = f"\\{before}{linked}\\{after}" if before else linked
            named.append(f"{works.short_names(entry)}{between}{opened}")
        return ("; " if not before else ", ").join(named)

    def _term(self, content: str) -> str:
        text, target = titled(content)
        return f"[{text or target}]({self.site}/book/glossary.html#{self.terms[target.lower()]})"

    def _reference(self, content: str) -> str:
        text, label = titled(content)
        target = self.targets[label]
        if target.text.startswith("(") and target.page == self.page:
            return text or target.text  # an equation of this notebook shows its number
        return f"[{text or target.text}]({self._place(target, label)})"

    def _place(self, target: Target, label: str) -> str:
        return f"#{label}" if target.page == self.page else f"{self.site}/{target.page}.html#{target.anchor}"

    def _link(self, text: str, link: str) -> str:
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            return f"[{text}]({link})"
        file, _, anchor = link.partition("#")
        if not file:
            target = self.targets[anchor]
            return f"[{text or target.text}]({self._place(target, anchor)})"
        page = self.page.rpartition("/")[0] + "/" + file.rpartition(".")[0]
        place = f"{self.site}/{page}.html" + (f"#{anchor}" if anchor else "")
        return f"[{text or self.titles[page]}]({place})"


def titled(content: str) -> tuple[str, str]:
    """Split what a role holds, `text <target>` or `target`, into text and target."""
    match = TITLED.fullmatch(content.strip())
    return (match["text"], match["target"]) if match else ("", content.strip())


def _begun(name: str, text: str) -> Iterator[str]:
    """Put a bold name before the text: on its first line, if that is a line of prose."""
    prose = re.match(r"[\w$\[({\"'*]", text) and not text.startswith(("$$", "* "))
    yield from [f"{name} {text}"] if prose else [name, "", text]
    yield ""
