"""The phi-1 recipe: data, model, loop."""
