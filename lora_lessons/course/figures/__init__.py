"""The figures and tables of each lesson: rows of an experiment in, a matplotlib figure out."""
