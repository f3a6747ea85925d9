"""nbgrader's settings for the teacher's path: see docs/teaching.md.

nbgrader reads this file from the folder it is called in. `make release` puts a copy of it beside
the sources that it makes.
"""

import os

from nbgrader.converters import Autograde
from nbgrader.preprocessors import AssignLatePenalties, Execute, OverwriteCells

from lora_lessons.app.classroom import steps

c = get_config()  # noqa: F821 - nbgrader provides it

# Submissions run in kernels that inherit these; on a machine with a GPU they would else be slow.
os.environ.setdefault("LORA_LESSONS_PRESET", "quick")
os.environ.setdefault("OMP_NUM_THREADS", "1")

c.CourseDirectory.course_id = "lora-lessons"
# The learner's copies hold the same stub: one text to recognise an exercise not yet attempted.
stub = 'raise NotImplementedError("Your turn: replace this line.")'
c.ClearSolutions.code_stub = {"python": stub}
# A graded notebook trains small models; nbgrader's own limit is 30 seconds a cell.
c.ExecutePreprocessor.timeout = 120
# What `nbgrader zip_collect` makes of a platform's file names: the student's id stands before the
# first underscore of a folder or file ("ada_17_assignsubmission_file/03_alpha_scaling.ipynb",
# "ada_4711_88123_03_alpha_scaling-1.ipynb"), and the lesson's name is found in the file's.
c.FileNameCollectorPlugin.named_regexp = (
    r".*[/\\]extracted[/\\](?:.*[/\\])?(?P<student_id>[^/\\_]+)[/\\_]"
    r"(?:.*[^a-z0-9])?(?P<file_id>\d\d_[a-z_]*[a-z])[^/\\]*$"
)


OURS = {
    OverwriteCells: steps.PutChecksBack,
    Execute: steps.RunIsolated,
    AssignLatePenalties: steps.AssignPenalties,
}
c.Autograde.exporter_class = steps.AnyNotebook
before, after = (
    Autograde.sanitize_preprocessors.default(),
    Autograde.autograde_preprocessors.default(),
)
c.Autograde.sanitize_preprocessors = [steps.TakeAnswers, *(OURS.get(s, s) for s in before)]
c.Autograde.autograde_preprocessors = [OURS.get(s, s) for s in after]
