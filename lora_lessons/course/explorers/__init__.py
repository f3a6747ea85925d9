"""One module a lesson: panels where moving a slider shows the idea, and the functions behind."""
