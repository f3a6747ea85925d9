"""The question of each lesson that has each student's own numbers: one module a lesson."""
