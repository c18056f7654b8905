"""Educational value: a classifier on hidden states learns it from labels, and keeps what has it."""
