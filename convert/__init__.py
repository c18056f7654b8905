"""Checkpoint to GGUF and ONNX."""
