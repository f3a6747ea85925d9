"""The real tasks of lessons 07 and 08: their data, built from what ships, and their metrics."""
