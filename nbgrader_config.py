"""nbgrader's settings for the teacher's path: see docs/teaching.md.

nbgrader reads this file from the folder it is called in. `make release` puts a copy of it beside
the sources that it makes.
"""

c = get_config()  # noqa: F821 - nbgrader provides it

c.CourseDirectory.course_id = "lora-lessons"
# The learner's copies hold the same stub: one text to recognise an exercise not yet attempted.
stub = 'raise NotImplementedError("Your turn: replace this line.")'
c.ClearSolutions.code_stub = {"python": stub}
# A graded notebook trains small models; nbgrader's own limit is 30 seconds a cell.
c.ExecutePreprocessor.timeout = 120
