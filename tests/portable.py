"""Walks code for what Windows or macOS has not: signals, forks, POSIX paths, encodings, fonts.

A use is guarded where an `if`, a conditional expression or an `and` around it, or an `if ...:
return` or `raise` before it in the same function, asks for it (`hasattr`, `os.name`,
`sys.platform`, `shutil.which`, or a name made of those), or where a `try` catches its absence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix"}
NAMES = {
    "os": "fork forkpty killpg setsid setpgid getpgid getpgrp getuid geteuid getgid getegid chown "
    "lchown mkfifo uname sysconf nice sched_getaffinity wait wait3 wait4 WIFSIGNALED WTERMSIG "
    "WIFEXITED WEXITSTATUS O_NOFOLLOW O_DIRECTORY symlink setuid setgid initgroups pread pwrite "
    "posix_fallocate memfd_create sync statvfs getloadavg",
    "signal": "SIGALRM SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGCHLD SIGSTOP SIGCONT SIGXCPU setitimer "
    "getitimer ITIMER_REAL ITIMER_VIRTUAL alarm pause sigwait pthread_kill pthread_sigmask",
}
ATTRIBUTES = {f"{module}.{name}" for module, names in NAMES.items() for name in names.split()}
ASKS = ("hasattr(", "os.name", "sys.platform", "platform.system(", "shutil.which(")
ABSENT = {"ImportError", "ModuleNotFoundError", "AttributeError", "OSError", "FileNotFoundError"}
PLACE = re.compile(r"^/(tmp|proc|dev|usr|etc|var|home|bin|sbin|lib|opt|run|sys|root|mnt)(/|$)")
SHIPPED_FONTS = re.compile(r"^(dejavu|sans-serif|serif|monospace|cm$|stix)", re.IGNORECASE)
FONT_ARGUMENTS = {"fontname", "fontfamily"}
# how many arguments stand before the encoding
WRITERS = {"read_text": 0, "write_text": 1}


class Walk(ast.NodeVisitor):
    """Collects (line, function, what) of one file."""

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self.found: list[tuple[int, str, str]] = []
        self.asks = ASKS
        self.asks = (*ASKS, *self.names_that_ask(tree))
        self.functions: list[str] = []
        self.guards = 0
        self.visit(tree)

    def names_that_ask(self, tree: ast.Module) -> Iterator[str]:
        """Names given to an answer, and functions that return one."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and self.asks_in(node.value):
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.FunctionDef):
                told = [n.value for n in node.body if isinstance(n, ast.Return) and n.value]
                if any(map(self.asks_in, told)):
                    yield f"{node.name}("

    def note(self, node: ast.AST, what: str, guarded: bool = True) -> None:
        if not (guarded and self.guards):
            self.found.append((node.lineno, ".".join(self.functions), what))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.functions.append(node.name)
        self.body(node.body)
        self.functions.pop()

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def body(self, statements: list[ast.stmt]) -> None:
        """One after the other; after an `if` that asks and leaves, the rest is guarded."""
        left = 0
        for statement in statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            self.visit(statement)
            if isinstance(statement, ast.If) and self.asks_in(statement.test):
                ends = isinstance(statement.body[-1], ast.Return | ast.Raise | ast.Continue)
                left += ends
                self.guards += ends
        self.guards -= left

    def visit_Module(self, node: ast.Module) -> None:
        self.body(node.body)

    def asks_in(self, node: ast.expr) -> bool:
        text = ast.unparse(node)
        return any(ask in text for ask in self.asks)

    def within(self, guarded: bool, *parts: ast.AST | list[ast.stmt]) -> None:
        self.guards += guarded
        for part in parts:
            self.body(part) if isinstance(part, list) else self.visit(part)
        self.guards -= guarded

    def visit_If(self, node: ast.If) -> None:
        self.within(self.asks_in(node.test), node.test, node.body, node.orelse)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.within(self.asks_in(node.test), node.test, node.body, node.orelse)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.within(self.asks_in(node), *node.values)

    def visit_Try(self, node: ast.Try) -> None:
        caught = {name for h in node.handlers if h.type for name in _names(h.type)}
        self.within(bool(caught & ABSENT), node.body)
        self.body([*node.handlers, *node.orelse, *node.finalbody])

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name in MODULES:
                self.note(node, f"import {alias.name}")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in (*names, node.module):
            if name in ATTRIBUTES or name in MODULES:
                self.note(node, f"import {name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = ast.unparse(node)
        if name in ATTRIBUTES:
            self.note(node, name)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and PLACE.match(node.value):
            self.note(node, repr(node.value))

    def visit_Call(self, node: ast.Call) -> None:
        given = {k.arg: k.value for k in node.keywords}
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        for fault in _of_call(node, name, given):
            self.note(node, fault, guarded=False)
        self.generic_visit(node)


def _of_call(node: ast.Call, name: str, given: dict[str | None, ast.expr]) -> Iterator[str]:
    """What is wrong with a call on one system or another."""
    if name == "rename" and len(node.args) <= 2 and isinstance(node.func, ast.Attribute):
        yield "rename: it fails on Windows where the file exists; replace does not"
    if name in WRITERS and len(node.args) <= WRITERS[name] and "encoding" not in given:
        yield f"{name} without an encoding"
    if name == "open" and _is_text(node, given) and "encoding" not in given:
        yield "open without an encoding"
    if "shell" in given and ast.unparse(given["shell"]) == "True":
        yield "shell=True"
    if name == "strftime" and "%-" in ast.unparse(node):
        yield "strftime with %-"
    for argument in FONT_ARGUMENTS & given.keys():
        value = given[argument]
        if isinstance(value, ast.Constant) and not SHIPPED_FONTS.match(str(value.value)):
            yield f"the font {value.value!r}, which matplotlib does not bring"


def _is_text(node: ast.Call, given: dict[str | None, ast.expr]) -> bool:
    """Whether an `open` is of a text: the built-in's, or a path's with a text mode."""
    method = isinstance(node.func, ast.Attribute)
    place = 0 if method else 1
    mode = given.get("mode") or (node.args[place] if len(node.args) > place else None)
    if method and ast.unparse(node.func.value) in ("os", "Image", "zipfile", "tarfile"):
        return False
    if mode is None:
        return not method or not node.args
    known = isinstance(mode, ast.Constant) and isinstance(mode.value, str)
    return known and re.fullmatch(r"[rwxa+t]+", mode.value) is not None


def _names(node: ast.expr) -> set[str]:
    return {ast.unparse(n) for n in (node.elts if isinstance(node, ast.Tuple) else [node])}


def faults(text: str) -> list[tuple[int, str, str]]:
    """(line, function, what) of everything in a file's text that is not guarded."""
    return Walk(text).found


def files(root: Path) -> list[Path]:
    """What runs on a learner's machine: the package, the lessons, the installer."""
    found = sorted((root / "lora_lessons").rglob("*.py"))
    return [*found, *sorted((root / "solutions").glob("*.py")), root / "tools" / "install_torch.py"]
