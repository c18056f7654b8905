"""edge-phi: complete code locally with small quantized models."""

__version__ = "0.1.0"
