"""What a model behind an OpenAI-compatible endpoint writes: labels, textbooks, exercises."""
