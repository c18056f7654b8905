// The engine's C interface: what native/library.py calls through ctypes.
//
// One architecture: phi (parallel attention and MLP from one LayerNorm, biases everywhere, rotary embedding of a
// head's first dimensions). Weights are packed once from a GGUF file into one stretch of memory that the caller owns;
// an engine reads it and holds everything that changes: the key-value cache, scratch memory, threads.
// No function throws, prints, opens a file or keeps a pointer of the caller's, except for an engine's packed weights.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define EDGE_PHI_API extern "C" __declspec(dllexport)
#else
#define EDGE_PHI_API extern "C" __attribute__((visibility("default")))
#endif

struct PhiGeometry {
  int32_t layers;
  int32_t width;  // of the residual stream; a multiple of 64
  int32_t heads;  // width / heads is a multiple of 16
  int32_t inner;  // of the MLP; a multiple of 64
  int32_t rotary;  // dimensions of a head that are rotated; even
  int32_t vocabulary, context;
  int32_t bits;  // of the layers' matrices: 4 (all are Q4_0) or 8 (Q4_0 and Q8_0)
  int32_t embedding_type;  // as PhiTensor::type
  float epsilon;  // of the LayerNorms
  float theta;  // base of the rotary frequencies
};

// A tensor inside a GGUF file. Order of a model's: for each layer norm weight and bias, qkv weight and bias, attention
// output weight and bias, MLP up weight and bias, MLP down weight and bias; then the embedding, the last norm's weight
// and bias, the output head's weight and bias.
struct PhiTensor {
  uint64_t offset, bytes;  // from the start of the file
  int64_t rows, columns;  // 1 row for norms and biases
  int32_t type;  // ggml's number: 0 F32, 1 F16, 2 Q4_0, 8 Q8_0, 14 Q6_K
  int32_t unused;
};

enum PhiStatus : int32_t { PHI_OK = 0, PHI_CANCELLED = 1, PHI_INVALID = 2, PHI_NO_MEMORY = 3 };

struct PhiEngine;

// Version of the packed weights' layout.
EDGE_PHI_API int32_t phi_format();

// Name of the index-th instruction set that this library and this processor share, the fastest first; null past the
// last. "portable" is always there.
EDGE_PHI_API const char *phi_kernels(int32_t index);

// Bytes of the packed weights, or -1 if this geometry is out of bounds. They must begin at a multiple of 64.
EDGE_PHI_API int64_t phi_packed_bytes(const PhiGeometry *geometry);

// Packing falls into parts; each can be done by a thread of its own. PHI_INVALID if a tensor has not the type, shape and
// place it must have.
EDGE_PHI_API int32_t phi_pack_parts(const PhiGeometry *geometry);
EDGE_PHI_API int32_t phi_pack(const PhiGeometry *geometry, const PhiTensor *tensors, int32_t tensor_count,
                              const uint8_t *file, uint64_t file_bytes, uint8_t *packed, uint64_t packed_bytes,
                              int32_t part);

// An engine over packed weights, which must outlive it; null if something is out of bounds or memory is short.
// `kernels` is a name from phi_kernels, or empty for the fastest.
EDGE_PHI_API PhiEngine *phi_open(const PhiGeometry *geometry, const uint8_t *packed, uint64_t packed_bytes,
                                 const char *kernels);

// Compute `count` tokens at positions `position`, `position + 1`, ...; the cache before `position` must be there.
// `logits` takes those of the last `rows` tokens, each `vocabulary` floats. Another thread stops the call by making
// `*cancel` (may be null) other than 0; then what the cache holds from `position` on is undefined.
EDGE_PHI_API int32_t phi_forward(PhiEngine *engine, const int32_t *tokens, int32_t count, int32_t position,
                                 float *logits, int32_t rows, int32_t threads, const int32_t *cancel);

// Free an engine and end its threads. Null is allowed.
EDGE_PHI_API void phi_close(PhiEngine *engine);

// y[tokens, rows] = x[tokens, columns] times the transpose of a matrix of Q4_0 (type 2) or Q8_0 (type 8) blocks, as
// the forward pass computes it, on this thread: what tests and benchmarks look at. `repeat` times, for the clock.
EDGE_PHI_API int32_t phi_product(const char *kernels, const uint8_t *blocks, int32_t type, int32_t rows,
                                 int32_t columns, const float *x, int32_t tokens, float *y, int32_t repeat);
