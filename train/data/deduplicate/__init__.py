"""Leaves out what is there already: exact copies and near-duplicates."""
