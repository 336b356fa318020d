"""Erasure: a subject's events leave the log and everything that was made of them, or are named where they cannot."""
