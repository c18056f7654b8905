// What one instruction set computes: a table of functions, one table a kernel family.
//
// Every table gives the same logits, bit for bit: integer sums are exact, and floating-point work is done in sixteen
// lanes in the same order everywhere (lanes.h, pointwise.h). So does any number of tokens at once: a token's sums do
// not depend on which other tokens are computed beside it.
#pragma once

#include "engine.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Families that this compiler can build; which of them this processor runs is asked when the engine is opened.
#if defined(__x86_64__) && defined(__GNUC__)
#define EDGE_PHI_X86
#if defined(__clang__) || __GNUC__ > 10  // whose assemblers know it
#define EDGE_PHI_AVX_VNNI
#endif
#elif defined(__aarch64__) && defined(__GNUC__)
#define EDGE_PHI_ARM
#endif

// The instructions that what follows is compiled for, to the end of the file. Library headers must come before it: a
// function of theirs that was compiled for them could end up in other files.
#define EDGE_PHI_PRAGMA(...) _Pragma(#__VA_ARGS__)
#if defined(__clang__)
#define EDGE_PHI_TARGET(set) EDGE_PHI_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define EDGE_PHI_TARGET_END EDGE_PHI_PRAGMA(clang attribute pop)
#else
#define EDGE_PHI_TARGET(set) EDGE_PHI_PRAGMA(GCC target(set))
#define EDGE_PHI_TARGET_END
#endif

namespace edge_phi {

// Matrices lie in panels, which packing.py draws.
constexpr int kBlock = 32;       // weights that share a scale
constexpr int kPanelRows = 16;   // output rows of a panel
constexpr size_t kPair4 = 576, kPair8 = 1088;  // bytes of a panel for two blocks of its columns

constexpr int kTile = 16;  // most tokens a product takes at once
constexpr int kQueryGroup = 8;  // most queries whose scores are kept at once

// 32 activations of one token in 8 bits.
struct ActivationBlock {
  int32_t words[8];  // 32 int8, -127..127: word j holds 4j..4j+3
  int32_t start;     // -8 times their sum: where a sum over weights stored as 0..15 starts, so that they mean -8..7
  float scale;       // activation = int8 * scale
};

// Activations of `tokens` tokens: [tile][block][token in the tile], so that a product reads straight on.
struct Activations {
  ActivationBlock *data;
  int tokens, blocks;
  int tile;  // tokens in each tile but the last

  Activations(ActivationBlock *data_, int tokens_, int blocks_) : data(data_), tokens(tokens_), blocks(blocks_) {
    int tiles = (tokens + kTile - 1) / kTile;
    tile = tiles ? (tokens + tiles - 1) / tiles : 1;  // 17 tokens are 9 + 8, not 16 + 1
  }
  int tile_tokens(int first) const { return first + tile < tokens ? tile : tokens - first; }
  ActivationBlock *tile_at(int first) const { return data + size_t(first) * blocks; }
  // Block `block` of a token; its next one lies `stride(token)` further.
  ActivationBlock *at(int token, int block) const {
    int first = token / tile * tile;
    return tile_at(first) + size_t(block) * tile_tokens(first) + (token - first);
  }
  size_t stride(int token) const { return tile_tokens(token / tile * tile); }
};

// y[token][0..15] (+)= panel times x, over `pairs` pairs of blocks. `x` is one tile of `tokens` <= kTile tokens. `add`
// goes on from what y holds. `cold` says that the panel comes from memory and what follows it is worth fetching early.
using Product = void (*)(const uint8_t *panel, int pairs, const ActivationBlock *x, int tokens, float *y,
                         size_t y_stride, bool add, bool cold);

// One head's attention for queries at positions `position`, `position + 1`, ...; their keys and values are stored.
struct Attention {
  uint8_t *cache;  // of this layer and head in page 0
  const int32_t *pages;
  size_t page_bytes;
  int dimension;  // of the head
  int position;
  int queries;
  const float *q;  // scaled by 1 / sqrt(dimension)
  size_t q_stride;
  float *out;
  size_t out_stride;
  float *scores;  // scratch [kQueryGroup][score_stride]
  size_t score_stride;  // context rounded up to 16

  // A page has keys [PHI_PAGE / 16][dimension][16 positions], then values [PHI_PAGE][dimension]: float16, or int8. Then,
  // of int8, what they are to be multiplied by: floats [keys, values][PHI_PAGE].
  uint8_t *row(int position, int row, size_t code_bytes) const {
    return cache + size_t(pages[position / PHI_PAGE]) * page_bytes + size_t(row) * dimension * code_bytes;
  }
};

// What reads and writes a cache of one type.
struct CacheKernels {
  void (*remember)(const Attention &, int position, const float *key, const float *value);
  void (*attend)(const Attention &);
};

struct Kernels {
  const char *name;
  bool (*usable)();
  Product product4, product8;
  void (*normalize)(const float *x, const float *weight, const float *bias, int width, float epsilon, float *out);
  void (*quantize)(const float *x, int blocks, ActivationBlock *out, size_t stride);
  void (*gelu)(float *x, const float *bias, int count);  // x = gelu(x + bias)
  void (*accumulate)(float *x, const float *y, const float *bias, int count);  // x += y + bias
  CacheKernels float16, int8;
};

extern const Kernels kAvx512, kAvxVnni, kAvx2, kNeonI8mm, kNeon, kPortable;

// The index-th table that this library was built with and this processor runs, the fastest first; null past the last.
const Kernels *usable_kernels(int index);

// The table of that name, or the fastest if it is empty; null if there is none.
const Kernels *find_kernels(const char *name);

}  // namespace edge_phi
