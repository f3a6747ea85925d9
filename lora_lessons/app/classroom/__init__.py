"""A teacher's verbs: collect, look, grade, marks, feedback. docs/teaching.md walks through them.

nbgrader keeps the course folder, the gradebook and the marks by hand. What stands here makes it
honest with unusual notebooks, runs submissions where they can change nothing, and speaks the
learning platforms' formats.
"""
