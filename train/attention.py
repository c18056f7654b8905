"""Which of PyTorch's attention implementations computes `scaled_dot_product_attention` on a device."""

from __future__ import annotations

import importlib.util

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def attention_backend(device: torch.device, *, head_dim: int = 64) -> str:
    """Make the fastest implementation that works on `device` this process's choice, and name it.

    On Hopper (compute capability 9): FlashAttention-3 (Shah et al. 2024, arXiv 2407.08608) where the package
    flash_attn_interface is installed, else cuDNN's, which uses the same instructions and comes with PyTorch. On other
    GPUs FlashAttention-2. Each is tried, forward and backward, before it is chosen. The choice is PyTorch's global
    one, so compiled code needs no context manager, and shapes that the chosen one refuses fall to the others.

    Returns:
        A line for the log: what was chosen and why nothing better was.
    """
    if device.type != "cuda":
        return f"PyTorch's attention for {device.type}"
    major = torch.cuda.get_device_capability(device)[0]
    reasons = []
    if major == 9:
        reason = _activate_flash_attention_3(device, head_dim)
        if reason is None:
            return "FlashAttention-3"
        reasons.append(f"FlashAttention-3: {reason}")
    # Without flash_sdp, PyTorch's own order takes cuDNN before memory-efficient attention.
    names = {SDPBackend.CUDNN_ATTENTION: "cuDNN attention", SDPBackend.FLASH_ATTENTION: "FlashAttention-2"}
    candidates = list(names) if major >= 9 else list(reversed(names))
    for backend in candidates:
        reason = _try(backend, device, head_dim)
        if reason is None:
            torch.backends.cuda.enable_flash_sdp(backend is SDPBackend.FLASH_ATTENTION)
            torch.backends.cuda.enable_cudnn_sdp(backend is SDPBackend.CUDNN_ATTENTION)
            return f"{names[backend]}{_because(reasons)}"
        reasons.append(f"{names[backend]}: {reason}")
    return f"memory-efficient attention{_because(reasons)}"


def _activate_flash_attention_3(device: torch.device, head_dim: int) -> str | None:
    """None if it works, else why not."""
    if importlib.util.find_spec("flash_attn_interface") is None:
        return "the package flash_attn_interface is not installed"
    try:
        from torch.nn.attention import activate_flash_attention_impl, restore_flash_attention_impl
    except ImportError:
        return f"PyTorch {torch.__version__} cannot use it: 2.11 and later can"
    try:
        activate_flash_attention_impl("FA3")
    except Exception as error:  # whatever another package's extension raises while it loads
        return _first_line(error)
    reason = _try(SDPBackend.FLASH_ATTENTION, device, head_dim)
    if reason is None:
        torch.backends.cuda.enable_cudnn_sdp(False)
    else:
        restore_flash_attention_impl()
    return reason


def _try(backend: SDPBackend, device: torch.device, head_dim: int) -> str | None:
    """Run a small causal case as the model does; None if it works, else why not."""
    qkv = torch.randn(1, 128, 3, 2, head_dim, device=device, dtype=torch.bfloat16, requires_grad=True)
    try:
        with sdpa_kernel(backend):
            q, k, v = (heads.transpose(1, 2) for heads in qkv.unbind(2))
            F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _because(reasons: list[str]) -> str:
    return f" ({'; '.join(reasons)})" if reasons else ""
