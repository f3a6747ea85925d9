"""nbgrader's settings for the teacher's path: see docs/teaching.md.

nbgrader reads this file from the folder it is called in. `make release` puts a copy of it beside
the sources that it makes.
"""

import os

from nbgrader.converters import Autograde
from nbgrader.preprocessors import DeduplicateIds, OverwriteCells

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


class DropCopiedIds(DeduplicateIds):
    """A cell that a student copied or split: the last one is graded, the others are plain cells.

    nbgrader's own class leaves the others with metadata that it then calls old, and stops there:
    neither that submission nor any after it would be graded.
    """

    def preprocess(self, nb, resources):
        nb, resources = super().preprocess(nb, resources)
        for cell in nb.cells:
            if cell.metadata.get("nbgrader") == {}:
                del cell.metadata["nbgrader"]
        return nb, resources


class PutChecksBack(OverwriteCells):
    """A check that a student deleted comes back below its answer, which may still be right.

    nbgrader's own way stops at a check whose answer is gone too; here that exercise scores 0.
    """

    def add_missing_grade_cells(self, nb, resources):
        source = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        texts = {cell.name: cell for cell in source.source_cells}
        for check in source.grade_cells:
            names = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells]
            answer = check.name.removeprefix("check_")
            if check.name not in names and answer in names:
                cell = self.missing_cell_transform(texts[check.name], check.max_score)
                nb.cells.insert(names.index(answer) + 1, cell)
        return nb, resources


OURS = {DeduplicateIds: DropCopiedIds, OverwriteCells: PutChecksBack}
steps = Autograde.sanitize_preprocessors.default()
c.Autograde.sanitize_preprocessors = [OURS.get(step, step) for step in steps]
c.PutChecksBack.add_missing_cells = True
