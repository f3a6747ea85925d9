"""Checking a learner's answer: the parts that every lesson's checks are made of."""
