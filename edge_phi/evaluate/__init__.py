"""HumanEval and MBPP: what a model writes, run in a sandbox, counted without illusions."""
