"""Prompt to suggestion: what the model is shown, how its logits become text, and when to stop."""
