"""Leaves out what is too close to a benchmark, and says which problems the rest comes near to."""
