"""Entries of a feature that do not count."""

# Entries beyond this are missing: releases hold float32 fill values such as 3.7e19,
# while the largest measured feature (eGeMAPS) reaches 2e6.
MAX_ABS = 1e8
