"""Initialisations of A and B that look at the weight: orthogonal, PiSSA, OLoRA."""
