"""`ll.lesson("01")`: everything a notebook needs of its lesson, found with the Tab key.

lesson.check.NAME(mine)      a verdict: not attempted, wrong (and why), right
lesson.hint.NAME()           the next of three hints
lesson.solution.NAME()       the answer
lesson.use("NAME", mine, fallback)   mine if it is right, else the package's piece
lesson.mine("NAME", STUDENT)         the student's own numbers for one question
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import nearest_and_known
from . import progress
from .cards import Deck
from .checks.core import RIGHT, WRONG, Exercise, Verdict, run_check
from .checks.seal import Seal, sealed
from .messages import Note
from .solution import solution_source
from .student import ALONE, clean_id, handed_in_by

SET_ONCE = ("number", "exercises", "check", "hint", "solution", "verdicts", "_handed_in_by")
SET_ONCE += ("__class__",)


class Namespace:
    """Attributes that are looked up by name, with Tab completion and a helpful error."""

    def __init__(self, kind: str, members: dict[str, Callable[..., Any]]) -> None:
        self._kind = kind
        self._members = MappingProxyType(members)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._members:
            hint = nearest_and_known(name, self._members)
            raise AttributeError(f"there is no {self._kind} named {name!r}{hint}")
        return self._members[name]

    def __dir__(self) -> list[str]:
        return list(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)


class Lesson:
    """One lesson's exercises and material, and this kernel's answers to them."""

    def __init__(self, number: str, exercises: Sequence[Exercise], module: Any) -> None:
        self.number = number
        self._module = module
        self.exercises = MappingProxyType({exercise.name: exercise for exercise in exercises})
        self.verdicts: dict[str, Verdict] = {}
        self._checked: dict[str, Any] = {}  # the object that each verdict is about
        self._hints_shown: dict[str, int] = {}
        self._predictions: dict[str, Any] = {}
        self._questions: dict[str, Any] = {}  # key -> the Prediction that asked
        # read now, before the learner's code runs: a change of folder makes no other student
        self._handed_in_by = handed_in_by()
        self._written_id = ALONE
        self.check = self._namespace("check", self._check)
        self.hint = self._namespace("hint", self._hint)
        self.solution = self._namespace("solution", self._solution)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what a lesson keeps; what it judges with is set once."""
        if name in SET_ONCE and (name in self.__dict__ or name == "__class__"):
            raise AttributeError(f"lesson.{name} stays as it is")
        super().__setattr__(name, value)

    def _namespace(self, kind: str, method: Callable[..., Any]) -> Namespace:
        def bind(exercise: Exercise) -> Callable[..., Any]:
            as_loaded = sealed(exercise)

            def call(*args: Any, **kwargs: Any) -> Any:
                judges.put_back()
                return method(as_loaded(), *args, **kwargs)

            call.__doc__ = f"{kind} of exercise {exercise.title}"
            return call

        judges = Seal()
        return Namespace(kind, {name: bind(e) for name, e in self.exercises.items()})

    def _check(self, exercise: Exercise, answer: Any = None, seed: int | None = None) -> Verdict:
        mine = exercise.own.of(self.student, self.number) if exercise.own else None
        verdict = run_check(exercise, answer, seed, mine)
        if verdict.outcome == WRONG:
            verdict = replace(verdict, after=f"{self._next_step(exercise.name)} {verdict.after}")
        self.verdicts[exercise.name] = verdict
        self._checked[exercise.name] = answer
        progress.record(self.number, exercise.name, verdict.outcome)
        return verdict

    def _next_step(self, name: str) -> str:
        if self._hints_shown.get(name, 0) < 3:
            return f"Next hint: lesson.hint.{name}()."
        return f"All hints were shown; lesson.solution.{name}() shows the answer."

    def _hint(self, exercise: Exercise, level: int | None = None) -> Note:
        shown = self._hints_shown.get(exercise.name, 0)
        level = min(shown + 1, 3) if level is None else level
        if level not in (1, 2, 3):
            raise ValueError(f"hints are numbered 1 to 3; got {level!r}")
        self._hints_shown[exercise.name] = max(shown, level)
        return Note(f"Hint {level} of 3: {exercise.hints[level - 1]}")

    def _solution(self, exercise: Exercise) -> Note:
        return solution_source(self.number, exercise.name, graded=self._handed_in_by is not None)

    def use(self, name: str, mine: Any, fallback: Any) -> Any:
        """Return the learner's answer if its check came out right, else the package's piece.

        It says which. An answer that was changed after its check counts as unchecked. The learner's
        own name is never rebound, so a stub stays a stub.
        """
        if name not in self.exercises:
            raise KeyError(f"no exercise {name!r}{nearest_and_known(name, self.exercises)}")
        verdict = self.verdicts.get(name)
        solved = verdict is not None and verdict.outcome == RIGHT
        if solved and self._checked[name] is mine:
            print(f"using your own {name}")
            return mine
        print(f"using the package's piece for {name}: yours is not solved yet")
        return fallback

    @property
    def student(self) -> str:
        """Whose numbers count: while nbgrader grades, those of the one who handed the file in."""
        return self._handed_in_by or self._written_id

    def mine(self, name: str, student: str = "") -> dict[str, Any]:
        """Return the numbers that question `name` has for `self.student`, and say whose they are.

        `student` is the id as the notebook says it; while nbgrader grades it does not count.
        """
        own = {name: exercise.own for name, exercise in self.exercises.items() if exercise.own}
        if name not in own:
            raise KeyError(f"no question of your own {name!r}{nearest_and_known(name, own)}")
        self._written_id = clean_id(student)
        print(f"the numbers of {self.student!r}")
        if self._written_id != self.student:
            print(f"this was handed in by {self.student!r}; the notebook says {self._written_id!r}")
        return own[name].of(self.student, self.number)

    def predict(self, key: str, question: str, **how: Any) -> Any:
        """Ask for a prediction before an experiment; see `course.predict.predict`."""
        from .predict import predict

        asked = predict(self._predictions, key, question, **how)
        if earlier := self._questions.get(key):
            asked.example |= earlier.example and how.get("answer") is None
        self._questions[key] = asked
        return asked

    def predicted(self, key: str) -> Any:
        """The committed prediction, or None."""
        return self._predictions.get(key)

    def compare(self, key: str, measured: Any, unit: str = "", **how: Any) -> Any:
        """The prediction against what was measured, and why; see `course.compare.compare`.

        The lesson's WHY[key] says why: in the page's own cells it would be read too early.
        """
        from .compare import compare

        asked, known = self._questions.get(key), getattr(self._module, "WHY", {})
        if asked is not None:
            how = {"options": asked.options, "example": asked.example, **how}
        return compare(self._predictions, key, measured, unit, why=known.get(key, ""), **how)

    def recorded(self, name: str) -> Any:
        """A recorded run with its provenance; see `course.recorded.load`."""
        from .recorded import load

        return load(name)

    @property
    def explore(self) -> Namespace:
        """The lesson's explorers: `lesson.explore.NAME()` and `lesson.explore.NAME.static()`."""
        module = importlib.import_module(f".lesson{self.number}.explorer", __package__)
        return Namespace("explorer", module.EXPLORERS)

    def claims(self) -> Any:
        """The card's claims that this lesson measures, with the verdicts."""
        from .ledger import claims_table

        return claims_table(self.number)

    def quiz(self) -> Any:
        """The lesson's ungraded questions, each with what to read when it was a guess."""
        from .quiz import Quiz

        return Quiz(self._module.QUIZ)

    def cards(self) -> Deck:
        """The review cards: a question each, its answer folded."""
        return Deck(self._module.CARDS)

    def review(self) -> Any:
        """Spaced review of all lessons' cards: those that are due today, one after the other."""
        from .review import Review, all_cards
        from .review_panel import ReviewPanel

        return ReviewPanel(Review(all_cards(lesson_numbers())))

    def summary(self) -> progress.Summary:
        """How far this kernel got: one line an exercise, and "k of n exercises solved"."""
        outcomes = {
            exercise.title: self.verdicts[name].outcome if name in self.verdicts else None
            for name, exercise in self.exercises.items()
        }
        return progress.Summary(outcomes)


def lesson_numbers() -> list[str]:
    """The numbers of the lessons that have exercises: "00", "01", ..."""
    folders = Path(__file__).parent.glob("lesson[0-9][0-9]/exercises.py")
    return sorted(path.parent.name.removeprefix("lesson") for path in folders)


def lesson(number: str) -> Lesson:
    """Return a lesson by its number ("01") or its notebook's name ("01_rank_decomposition").

    One kernel has one of each, so running the notebook's first cell again loses no answer.
    """
    wanted = str(number).split("_")[0].zfill(2)
    known = lesson_numbers()
    if wanted not in known:
        raise ValueError(f"there is no lesson {number!r}; there are {', '.join(known)}")
    return _load(wanted)


@functools.cache
def _load(number: str) -> Lesson:
    module = importlib.import_module(f".lesson{number}.exercises", __package__)
    return Lesson(number, module.EXERCISES, module)
