"""Words in a submission's code that an honest answer has no use for, and what each could be for.

This list finds what is written plainly. Who hides a word from it (a name put together from parts)
is not found, and whoever pastes the package's own source into an answer breaks no rule that a
program could see: docs/teaching.md says what stays out of reach.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

# to hide from the package that it is graded, or whose it is
HIDING = (
    r"NBGRADER_EXECUTION",
    r"chdir",
    r"_handed_in_by",
    r"os\.(?:environ|putenv)",
    r"sys\.path\b",
)
# to change the judge, or what it is given
JUDGE = (
    r"\.require\b",
    r"\bVerdict\b",
    r"run_check",
    r"\b_judge\b",
    r"\blesson *=(?!=)",
    r"__setattr__(?!\(self\b)",  # a layer that keeps a module without registering it says that
    r"(?<!\w)setattr\((?!(?:model|parent)\b)",  # lesson 02's answer puts layers into its model
    r"__eq__",
    r"class \w+\((?:int|str|float|bool|complex|Tensor|torch\.Tensor)\)",
    r"lora_lessons\.course",
    r"input_transformers?\w*",
    r"ast_transformers",
    r"get_ipython",
    r"InteractiveShell|IPython\.core|\bipykernel\b|\bjupyter_client\b|\bzmq\b",
    r"\blesson\.(?:check|solution|exercises|verdicts|number) *=(?!=)",
    r"\btype\(lesson|vars\(lesson|\.verdicts\b|\boutcome *=(?!=)|__getattribute__",
    r"\b(?:torch(?!\.backends)|Tensor|math|F|nn|builtins)(?:\.\w+)+ *=(?!=)",
    r"__builtins__|\bimport builtins\b",
    r"\bsys\.(?:modules|path)\b",
    r"\bimportlib\b",
    r"__import__(?!\(['\"](?:re|math)['\"]\))",
    r"\bgc\.get_\w+|getattr\(gc\b|\bfrom gc import|\bget_(?:referrers|referents|objects)\b",
    r"\b_?ctypes\b|\bcffi\b",
    r"\batexit\b|__del__|\bweakref\b",
    r"__closure__|cell_contents|__code__|__globals__|__(?:kw)?defaults__|\b(?:Code|Function)Type\b",
    r"__class__ *=(?!=)|__bases__ *=(?!=)|__subclasses__",
    r"__torch_(?:function|dispatch)__|Torch(?:Function|Dispatch)Mode",
    r"\bmeta_path\b|\bpath_hooks\b",
    r"unittest\.mock|\bmock\b",
    r"\bsecrets\b",
    r"manual_seed *=(?!=)",
)
# to look into the check's frames, or to get out of the guard's sight
FRAMES = (
    r"_getframe",
    r"\btb_\w+",
    r"\bf_(?:locals|back|globals)\b",
    r"__traceback__",
    r"\binspect\.(?:stack|currentframe|trace)\b",
    r"\bwalk_(?:stack|tb)\b",
    r"sys\.(?:settrace|setprofile|monitoring)",
    r"setprofile",
    r"\bimport signal\b|\bfrom signal\b|\bsignal\.\w+\(",
    r"\baddaudithook\b",
    r"\bthreading\b",
    r"concurrent\.futures",
    r"multiprocessing",
    r"\basyncio\b",
    r"(?<![.\w])exec\(",
    r"(?<![.\w])eval\(",
)
# to read or write the teacher's files
FILES = (
    r"\.\./",
    r"\.parents?\b",
    r"pardir",
    r"__file__",
    r"gradebook",
    r"sqlite3",
    r"key\.json",
    r"solution_source",
    r"/proc\b",
    r"(?<![.\w])open\((?!\W*\.\.)",
    r"read_text\(|write_text\(|read_bytes\(|write_bytes\(",
    r"\bsubprocess\b",
    r"(?m)^%%(?:writefile|file|bash|sh|script|system|sx|python\w*|pypy|perl|ruby)\b",
    r"(?m)^\s*%(?:run|env|set_env|cd|pushd|system|sx|sc|alias|macro|store)\b",
    r"(?m)^\s*!(?!\s*(?:pip|nvidia-smi|ls|pwd|date|free|lscpu|uname)\b)",
    r"os\.(?:system|popen|walk|listdir|scandir)",
    r"\bglob\b",
)
# to end the kernel
ENDING = (r"\b_exit\b", r"\bos\.(?:kill|abort)\b")
# answers that are the text of a file, which its check reads itself and runs behind a fence
FENCED = ("mini_lora",)
SUSPECT = [re.compile(words) for words in (*HIDING, *JUDGE, *FRAMES, *FILES, *ENDING)]


def suspect_words(submission: NotebookNode, released: NotebookNode) -> Iterator[str]:
    """Name what stands more often in a submission's code than in the release, and should not."""
    code, given = code_of(submission), code_of(released)
    for words in SUSPECT:
        here, there = words.findall(code), words.findall(given)
        if len(here) > len(there):
            yield f"holds {here[0]!r}: look what for"


def code_of(notebook: NotebookNode) -> str:
    """The text of all code cells, without the file that an answer holds as a text."""
    return "\n".join(_code(cell) for cell in notebook.cells if cell.cell_type == "code")


def _code(cell: NotebookNode) -> str:
    about = cell.metadata.get("nbgrader")
    if not isinstance(about, dict) or about.get("grade_id") not in FENCED:
        return cell.source
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        return cell.source
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)
