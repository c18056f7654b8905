// A panel times a tile of tokens, once for every kernel family. Included by each kernel file after pointwise.h.
//
// A register of floats holds kWidth rows of the panel, so a panel takes 16 / kWidth passes. What a family brings along
// is a Format for 4 and for 8 bits:
//
//   Weights                   32 columns of those rows, unpacked: registers that stay while the tokens pass
//   unpack(lines)             from the rows' bytes in the lines of a block (packing.py draws them)
//   sum(weights, x)           the rows' integer sums for one token's block, as floats
//   group                     tokens whose float sums the registers hold beside the weights
//   paired                    if so, sum(weights, x, y, next) does two tokens at once; next is set to the second's
#pragma once

#include "pointwise.h"

namespace edge_phi {
namespace {

constexpr size_t kFetchAhead = 4608;  // bytes, for lines that come from memory

template <class Format, int tokens>
void product_pass(const uint8_t *panel, int row, int pairs, const ActivationBlock *x, size_t stride, float *y,
                  size_t y_stride, bool add, bool cold) {
  constexpr size_t pair_bytes = Format::bits == 4 ? kPair4 : kPair8, block_bytes = pair_bytes / 2 - 32;
  one::Register next = one::splat(0), sum[tokens];  // in registers, once every loop over it is unrolled
#pragma GCC unroll 16
  for (int m = 0; m < tokens; m++) sum[m] = add ? one::load(y + m * y_stride) : one::splat(0);
  for (int pair = 0; pair < pairs; pair++, panel += pair_bytes) {
#if defined(__GNUC__)
    if (cold)
      for (size_t i = 0; i < pair_bytes; i += 64) __builtin_prefetch(panel + kFetchAhead + i);
#endif
    for (int half = 0; half < 2; half++, x += stride) {
      const typename Format::Weights weights = Format::unpack(panel + 64 + half * block_bytes + row * 4);
      uint16_t scales[kWidth];
      std::memcpy(scales, panel + half * 32 + row * 2, sizeof scales);
      const one::Register scale = one::load_half(scales);
#pragma GCC unroll 16
      for (int m = 0; m < tokens; m++) {
        one::Register whole = next;
        if constexpr (!Format::paired)
          whole = Format::sum(weights, x[m]);
        else if (m % 2 == 0)
          whole = Format::sum(weights, x[m], x[m + 1 < tokens ? m + 1 : m], next);
        sum[m] = one::fma(whole, scale * one::splat(x[m].scale), sum[m]);
#if EDGE_PHI_LANES == 256
        asm volatile("");  // one token after the other: together they need more registers than there are
#endif
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < tokens; m++) one::store(y + m * y_stride, sum[m]);
}

template <class Format, int most>
void product_rows(const uint8_t *panel, int row, int pairs, const ActivationBlock *x, size_t stride, int tokens,
                  float *y, size_t y_stride, bool add, bool cold) {
  if (tokens == most)
    product_pass<Format, most>(panel, row, pairs, x, stride, y, y_stride, add, cold);
  else if constexpr (most > 1)
    product_rows<Format, most - 1>(panel, row, pairs, x, stride, tokens, y, y_stride, add, cold);
}

template <class Format>
void product(const uint8_t *panel, int pairs, const ActivationBlock *x, int tokens, float *y, size_t y_stride,
             bool add, bool cold) {
  for (int m = 0; m < tokens; m += Format::group)
    for (int row = 0; row < kPanelRows; row += kWidth) {
      int count = tokens - m < Format::group ? tokens - m : Format::group;
      product_rows<Format, Format::group>(panel, row, pairs, x + m, size_t(tokens), count, y + m * y_stride + row,
                                          y_stride, add, cold && m == 0 && row == 0);
    }
}

// A family's table. Constant, so that no code for these instructions runs before the processor has been asked.
template <class Format4, class Format8>
constexpr Kernels table(const char *name, bool (*usable)()) {
  return {name, usable, product<Format4>, product<Format8>, normalize, quantize, gelu, accumulate,
          {remember<uint16_t>, attend<uint16_t>}, {remember<int8_t>, attend<int8_t>}};
}

}  // namespace
}  // namespace edge_phi
