// The engine's C interface: what native/library.py calls through ctypes.
//
// One architecture: phi (parallel attention and MLP from one LayerNorm, biases everywhere, rotary embedding of a
// head's first dimensions), from the embedded tokens to the logits. The packed weights and the memory of the
// key-value cache are the caller's; an engine holds scratch memory and threads.
// No function throws, prints, opens a file or keeps a pointer of the caller's, except for those given to phi_open.
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
  int32_t bits;  // of the layers' matrices: 4 or 8
  float epsilon;  // of the LayerNorms
  float theta;  // base of the rotary frequencies
  int32_t cache_bits;  // of keys and values: 16, float16, or 8, int8 with a scale for each head and position
};

// Where the packed weights lie: bytes from their start, or from that of a layer, each a multiple of 64. packing.py draws
// the panels that matrices are laid out in; norms and biases are floats.
struct PhiPlan {
  uint64_t first;   // panels of a layer, rows [q | k | v | MLP up], `width` columns
  uint64_t second;  // panels of a layer, `width` rows, columns [attention output | MLP down]
  uint64_t norm_weight, norm_bias, first_bias, second_bias;  // second_bias: the sum of both products' biases
  uint64_t layer_bytes;
  uint64_t head, head_bias;  // the output head, panels of 8 bits; whole panels, filled up with zeros
  uint64_t last_norm_weight, last_norm_bias;
  uint64_t total;
  uint64_t page_bytes;  // of the cache: keys and values of PHI_PAGE positions in all layers, [layer][head][keys|values]
};

enum PhiStatus : int32_t { PHI_OK = 0, PHI_CANCELLED = 1, PHI_INVALID = 2, PHI_NO_MEMORY = 3 };
enum : int32_t { PHI_PAGE = 32 };

struct PhiEngine;

// Name of the index-th instruction set that this library and this processor share, the fastest first; null past the
// last. "portable" is always there.
EDGE_PHI_API const char *phi_kernels(int32_t index);

// PHI_INVALID if this geometry is out of bounds, or not supported.
EDGE_PHI_API int32_t phi_plan(const PhiGeometry *geometry, PhiPlan *plan);

// An engine over packed weights and `page_count` pages of cache, which begin at multiples of 64 and must outlive it; null
// if something is out of bounds or memory is short. `kernels` is a name from phi_kernels, or empty for the fastest.
EDGE_PHI_API PhiEngine *phi_open(const PhiGeometry *geometry, const uint8_t *packed, uint64_t packed_bytes,
                                 uint8_t *cache, int32_t page_count, const char *kernels);

// Compute `count` tokens at positions `position`, `position + 1`, ...; `x`, their embeddings [count][width], is used up.
// `pages` says for each PHI_PAGE positions from 0 on in which page of the cache they are; what comes before `position`
// must be there. `logits` takes those of the last `rows` tokens, each `vocabulary` floats. Another thread stops the call
// by making `*cancel` (may be null) other than 0; then what the pages hold from `position` on is undefined.
EDGE_PHI_API int32_t phi_forward(PhiEngine *engine, float *x, int32_t count, int32_t position, const int32_t *pages,
                                 float *logits, int32_t rows, int32_t threads, const int32_t *cancel);

// Free an engine and end its threads. Null is allowed.
EDGE_PHI_API void phi_close(PhiEngine *engine);

// y[tokens, rows] = x[tokens, columns] times the transpose of a matrix in panels of 4 or 8 bits, as the forward pass
// computes it, on this thread: what tests and benchmarks look at. `repeat` times, for the clock.
EDGE_PHI_API int32_t phi_product(const char *kernels, const uint8_t *panels, int32_t bits, int32_t rows,
                                 int32_t columns, const float *x, int32_t tokens, float *y, int32_t repeat);
