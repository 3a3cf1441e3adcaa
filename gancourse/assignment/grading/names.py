"""Which names a graded cell needs: from the student's kernel, or from the instructor's own locked cells."""

import ast
import builtins
import symtable
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from IPython.core import inputtransformer2

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Given:
    """What the locked cells define, in order: the source of each statement, and the names that it binds."""

    statements: tuple[tuple[str, frozenset[str]], ...] = ()


def python(source: str) -> str:
    """Return a cell's source with its magics and shell commands as Python."""
    manager: Any = inputtransformer2.TransformerManager  # IPython has no types for it
    return str(manager().transform_cell(source))


def given(locked: Iterable[str]) -> Given:
    """Collect imports, functions, classes and literal constants of the sources of locked cells.

    Other statements of a locked cell run in the student's kernel only: what they bind is handed over from it.
    A name that is also bound by such a statement is left to it.
    """
    found: list[tuple[str, frozenset[str]]] = []
    other: set[str] = set()
    for source in locked:
        try:
            tree = ast.parse(python(source))
        except SyntaxError:  # an error for everybody, seen when the cell runs
            continue
        for node in tree.body:
            own = [node] if _is_given(node) else [n for n in ast.walk(node) if isinstance(n, IMPORTS)]
            found += [(ast.unparse(part), frozenset(_bound(part))) for part in own]
            other |= set() if node in own else _bound(node)
    return Given(tuple((text, names) for text, names in found if not names & other))


def _is_given(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) for target in node.targets) and _is_literal(node.value)
    return isinstance(node, (*IMPORTS, *DEFINITIONS))


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement binds; of a compound one also those within."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, IMPORTS):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    within = list(ast.walk(node))
    defined = {n.name for n in within if isinstance(n, DEFINITIONS)}
    return defined | {n.id for n in within if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def loaded(source: str) -> set[str]:
    """Return the global names that a source uses, builtins left out."""
    found: set[str] = set()
    tables = [symtable.symtable(source, "cell", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        top = table.get_type() == "module"
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
    return found - set(dir(builtins))


def needed(source: str, instructors: Given) -> list[str]:
    """Return the names that a graded cell needs of the student's kernel.

    What the instructor's functions use in turn is needed, too.
    """
    own = {name for _, names in instructors.statements for name in names}
    wanted, seen = loaded(python(source)), set[str]()
    while wanted - seen:
        fresh = wanted - seen
        seen |= fresh
        wanted = wanted.union(*(loaded(text) for text, names in instructors.statements if names & fresh))
    return sorted(wanted - own)
