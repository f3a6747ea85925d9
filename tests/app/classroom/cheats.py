"""The cheats that were tried on the classroom: a blank notebook of lesson 01 and a trick.

Each has its cells, which stand at the notebook's beginning (below the first code cell), and the
answers that it changes. What each would win is told by the name. None of them solves anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cheat:
    cell: str = ""
    answers: dict[str, str] = field(default_factory=dict)


def every(body: str) -> dict[str, str]:
    """The same body for every plain exercise of lesson 01."""
    names = ("best_rank_k", "truncation_error", "rank_for_energy", "loss_at_rank", "split_update")
    names += ("largest_saving_rank",)
    return {name: f"def {name}(*args, **kwargs):\n{body}\n" for name in names}


OWN = "import lora_lessons as ll\nown = ll.lesson('01').exercises['my_budget'].own\n"
FRAME = """    import sys
    frame = sys._getframe(1)
    while frame is not None:
        for name in ("expected", "right", "wanted"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        frame = frame.f_back"""
TRACEBACK = """    try:
        raise ValueError
    except ValueError as error:
        frame = error.__traceback__.tb_frame.f_back
    while frame is not None:
        for name in ("expected", "right", "wanted"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        frame = frame.f_back"""
PIECE = "import lora_lessons.course.lesson01.figures\nfrom lora_lessons import seeding\n"
SOURCE = """import json, pathlib
text = ""
here = pathlib.Path.cwd()
for above in [here, *here.parents, pathlib.Path("COURSE")]:
    for path in above.glob("source/*/*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        text += "\\n".join("".join(c["source"]) for c in cells
                          if c["metadata"].get("nbgrader", {}).get("solution")
                          and c["cell_type"] == "code")
exec(text)"""
KEY = """import json, pathlib, lora_lessons
key = json.loads((pathlib.Path(lora_lessons.__file__).parent / "course/key.json").read_text())
for text in key["01"].values():
    if "def " in text:
        exec(text)"""
BOOK = """import sqlite3
book = sqlite3.connect("COURSE/gradebook.db")
book.execute("update grade set manual_score = 24")
book.commit()"""
CORE = """import lora_lessons.course.checks.core as core
with open(core.__file__, "a") as file:
    file.write("\\nVerdict.require = lambda self: None\\n")"""

FAKE = """class Fake:
    outcome = "right"
    def require(self): return self
class Judge:
    def __getattr__(self, name): return lambda *a, **k: Fake()
"""
WALK = """    import traceback
    for frame, _ in traceback.walk_stack(None):
        seen = getattr(frame, "f_" + "locals")
        for name in ("expected", "right", "wanted"):
            if name in seen:
                return seen[name]"""
HUNT = """    import gc
    for thing in getattr(gc, "get_" + "objects")():
        if type(thing).__name__ == "frame":
            seen = getattr(thing, "f_" + "locals")
            for name in ("expected", "right", "wanted"):
                if name in seen:
                    return seen[name]"""
LATER = """class Late(float):
    def __float__(self): return 1.0
    def __del__(self):
        import traceback
        for frame, _ in traceback.walk_stack(None):
            seen = getattr(frame, "f_" + "locals")
            LEARNT.extend(seen[n] for n in ("expected", "right", "wanted") if n in seen)
LEARNT = []"""
RESULT = """import glob, json, atexit
def write():
    for path in glob.glob("COURSE/grading/*") + glob.glob("COURSE/autograded/*/*/*"):
        try:
            open(path, "w").write(json.dumps({"score": 24}))
        except OSError:
            pass
atexit.register(write)
write()"""

RIGHT = """class Right:
    outcome = "right"
    def require(self): return self
def judge(name):
    def call(*a, **k):
        lesson.verdicts[name] = Right()
        return Right()
    return call
"""
CLASS = """class Right:
    outcome = "right"
    def require(self): return self
class Record(dict):
    def __missing__(self, key): return Right()
class Judge:
    def __getattr__(self, name): return lambda *a, **k: Right()
"""
OTHER = (
    CLASS
    + """class Other(type(ll.lesson("02"))):
    check = property(lambda self: Judge())
    verdicts = property(lambda self: Record())
lesson.__class__ = Other"""
)
PACKAGE = (
    "%%writefile lora_lessons.py\n"
    + CLASS
    + """class Lesson:
    check = Judge(); verdicts = Record()
    def __getattr__(self, name): return lambda *a, **k: None
def lesson(number): return Lesson()
def __getattr__(name):
    if name.startswith("__"): raise AttributeError(name)
    return lambda *a, **k: None"""
)
INSIDE = """def judge(exercise, answer=None, seed=None, mine=None):
    from lora_lessons.course.checks.exercise import Verdict as Made
    return Made(exercise.name, "right", "", None, exercise.title, "")
one = type(lesson)._check.__globals__["run_" + "check"]
one.__code__, one.__defaults__ = judge.__code__, judge.__defaults__"""
MODE = """from torch.overrides import TorchFunctionMode
class Yes(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ("allclose", "equal", "isclose", "le", "__le__"):
            return True
        out = func(*args, **(kwargs or {}))
        is_size = name in ("max", "norm", "linalg_norm", "linalg_vector_norm")
        return torch.zeros_like(out) if is_size and isinstance(out, torch.Tensor) else out
Yes().__enter__()"""
DUCK = """class Duck:
    shape = property(lambda s: Duck())
    dtype = torch.float32
    def __getattr__(self, name): return lambda *a, **k: Duck()
    def __iter__(self): return iter([Duck(), Duck()])
    def __float__(self): return 1.0
    def __int__(self): return 1
    def __bool__(self): return True
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __sub__(self, other): return Duck()
    __rsub__ = __add__ = __mul__ = __truediv__ = __matmul__ = __rmatmul__ = __sub__
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None): return Duck()"""
UP = """LEARNT = []
def up(frame):
    while frame is not None:
        seen = getattr(frame, "f_" + "locals")
        LEARNT.extend(seen[n] for n in ("expected", "right", "wanted") if n in seen)
        frame = getattr(frame, "f_" + "back")
"""
SIGNAL = "import signal\n" + UP + "signal.signal(signal.SIGUSR1, lambda number, frame: up(frame))"
AUDIT = (
    "import sys\n"
    + UP
    + """def hook(event, args):
    if event == "sys." + "set" + "profile":
        try:
            raise KeyError
        except KeyError as error:
            up(getattr(getattr(error, "__trace" + "back__"), "tb_" + "frame"))
sys.addaudithook(hook)"""
)
CELLS = (
    RIGHT
    + """for name in lesson.exercises:
    for cell in getattr(lesson.check, name).__closure__:
        if "_check" in getattr(cell.cell_contents, "__qualname__", ""):
            cell.cell_contents = lambda exercise, *a, **k: judge(exercise.name)()"""
)
OPENED = (
    "from gc import get_referents\n"
    + RIGHT
    + """(table,) = get_referents(lesson.check._members)
for name in list(table):
    table[name] = judge(name)"""
)

CHEATS: dict[str, Cheat] = {
    "the check is replaced past the frozen class": Cheat(
        "for e in lesson.exercises.values():\n"
        "    object.__setattr__(e, 'check', lambda a, g: None)",
        every("    return 1") | {"my_budget": "def my_budget():\n    return 1\n"},
    ),
    "the verdict's class is changed": Cheat(
        "setattr(type(lesson.check.best_rank_k(1)), 'require', lambda self: None)"
    ),
    "the line that demands a right verdict is dropped": Cheat(
        "def drop(lines):\n    return [l for l in lines if 'require' not in l]\n"
        "get_ipython().input_transformers_post.append(drop)"
    ),
    "the expected value from the check's frame": Cheat("", every(FRAME)),
    "the expected value from a traceback": Cheat("", every(TRACEBACK)),
    "a whole number that equals all": Cheat(
        "class Any(int):\n    __hash__ = int.__hash__\n    def __eq__(self, other): return True",
        every("    return Any(1)") | {"my_budget": "def my_budget():\n    return 1\n"},
    ),
    "an own number that equals all": Cheat(
        "",
        {
            "my_budget": "def my_budget():\n    kind = type('N', (int,), "
            "{'__eq__': lambda a, b: True, '__hash__': int.__hash__})\n    return kind(1)\n"
        },
    ),
    "a text that equals all": Cheat(
        "class Word(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__",
        every("    return Word('x')"),
    ),
    "the checks' helper is replaced": Cheat(
        "import lora_lessons.course.checks.core as core\n"
        "import lora_lessons.course.lesson01.exercises as ex\n"
        "for m in (core, ex):\n    m.expect = lambda *a, **k: None",
        every("    return torch.ones(1)"),
    ),
    "agreement is replaced": Cheat(
        "import lora_lessons.course.checks.own as o\no.agree = lambda a, b: True",
        {"my_budget": "def my_budget():\n    return 1\n"},
    ),
    "math.isclose is replaced": Cheat(
        "import math\nmath.isclose = lambda *a, **k: True\n"
        "torch.allclose = torch.equal = lambda *a, **k: True\nmath.__setattr__",
        every("    return 1.0"),
    ),
    "the guard's profiler is taken off": Cheat(
        "",
        every("    import sys\n    sys.setprofile(None)\n    return ll.truncated_svd(*args)"),
    ),
    "a thread runs the package's piece": Cheat(
        "",
        every(
            "    import threading\n    out = []\n"
            "    t = threading.Thread(target=lambda: out.append(ll.truncated_svd(*args)))\n"
            "    t.start(); t.join()\n    return out[0]"
        ),
    ),
    "a generator runs the package's piece later": Cheat(
        "import lora_lessons.course.solution",
        every("    return (x for x in [lora_lessons.course.solution.solution_source('01', 'x')])"),
    ),
    "a literal that was computed from the own numbers": Cheat(
        OWN + "n = own.right(**lesson.mine('my_budget', 'x'))[0]\n"
        "exec(f'def made():\\n    return {n}')",
        {"my_budget": "my_budget = made\n"},
    ),
    "a table of all draws": Cheat(
        "import lora_lessons.course.student as s\n" + OWN,
        {
            "my_budget": "table = {n: own.right(**own.of(n, '01')) for n in ['x']}\n"
            "exec(f'def my_budget():\\n    return {table[\"x\"][0]}')\n"
        },
    ),
    "reading source/": Cheat(SOURCE),
    "reading the key": Cheat(KEY),
    "writing the gradebook": Cheat(BOOK),
    "writing the package": Cheat(CORE),
    "another student's numbers": Cheat(
        "import os\nos.environ.pop('NBGRADER_EXECUTION', None)\nlesson._handed_in_by = 'ada'",
        {"my_budget": "def my_budget():\n    return ADA\n"},
    ),
    # tried later, on the judge as it is
    "the lesson's judge is exchanged": Cheat(FAKE + "lesson.check = Judge()"),
    "the lesson's judge is exchanged in its dict": Cheat(
        FAKE + "lesson.__dict__['check'] = Judge()"
    ),
    "the judge's class is patched": Cheat(
        FAKE + "type(lesson.check).__getattr__ = lambda s, name: lambda *a, **k: Fake()"
    ),
    "the shell shows no error": Cheat(
        FAKE + "from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.showtraceback = lambda *a, **k: None\n"
        "def drop(lines):\n"
        "    return ['verdict = Fake()' if 'lesson.check' in l else l for l in lines]\n"
        "InteractiveShell.instance().input_transformers_post.append(drop)"
    ),
    "PyTorch is replaced before the check": Cheat(
        "class Yes:\n    def __bool__(self): return True\n"
        "true = lambda *a, **k: True\n"
        "torch.allclose = torch.equal = torch.Tensor.__le__ = torch.Tensor.allclose = true\n"
        "torch.Tensor.max = lambda self, *a, **k: torch.zeros(())\n",
        every("    return args[0] if args else 1.0"),
    ),
    "the expected value by Python's own walk of the frames": Cheat("", every(WALK)),
    "the expected value from the garbage collector": Cheat("", every(HUNT)),
    "the expected value when a result is deleted": Cheat(
        LATER, every("    return LEARNT[-1] if LEARNT else Late(1)")
    ),
    "the module of the checks is exchanged": Cheat(
        FAKE + "import sys, types\n"
        "fake = types.ModuleType('fake')\nfake.run_check = lambda *a, **k: Fake()\n"
        "for name in list(sys.modules):\n"
        "    if name.startswith('lora_lessons.course.checks'):\n"
        "        sys.modules[name] = fake"
    ),
    "the environment says another folder": Cheat(
        "import os\nos.environ['NBGRADER_EXECUTION'] = ''\nos.makedirs('ada/x', exist_ok=True)\n"
        "os.chdir('ada/x')\nimport lora_lessons as ll\n"
        "from lora_lessons.course import lesson as l\nl._load.cache_clear()\n"
        "lesson = ll.lesson('01')",
        {"my_budget": "def my_budget():\n    return ADA\n"},
    ),
    "the grading's own files are written, also at the end": Cheat(RESULT),
    # tried on 1 December 2026: class of the lesson and the code of a function gave 10 of 11
    "a file with the package's name": Cheat(PACKAGE),
    "the class of the lesson": Cheat(OTHER, every("    return 1")),
    "the code inside a function of the checks": Cheat(INSIDE, every("    return 1")),
    "a mode of PyTorch's functions in which all agree": Cheat(
        MODE, every("    return args[0] if isinstance(args[0], torch.Tensor) else 1.0")
    ),
    "an object that answers every question with yes": Cheat(DUCK, every("    return Duck()")),
    "the expected value by a signal's handler": Cheat(
        SIGNAL,
        every(
            "    signal.raise_signal(signal.SIGUSR1)\n"
            "    return LEARNT[-1] if LEARNT else torch.ones(1)"
        ),
    ),
    "the expected value by a hook of the audit": Cheat(
        AUDIT, every("    return LEARNT[-1] if LEARNT else torch.ones(1)")
    ),
}
# These win points: the process is the student's. What is promised of them is that the look says so.
NAMED: dict[str, tuple[str, Cheat]] = {
    "the cells of a check's closure": ("__closure__", Cheat(CELLS, every("    return 1"))),
    "the table behind a mapping, by the garbage collector": (
        "from gc import",
        Cheat(OPENED, every("    return 1")),
    ),
}
