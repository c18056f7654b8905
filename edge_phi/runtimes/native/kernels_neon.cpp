// Products with ARM's dot-product instructions: four rows of a panel in the four lanes of a register.
//
//   weights a[j]   lane r: four columns of row r, as signed bytes; of 4 bits, the offset of 8 is taken off here
//   activations    four words of a token in one register; the instruction picks one and broadcasts it
//   sum[m][g]      rows 4g..4g+3 of token m
//
// `sdot` multiplies signed by signed bytes, so nothing is left to take back.
#include "kernels.h"
#include "packing.h"

#if defined(__aarch64__) && defined(__GNUC__)
#include <arm_neon.h>

#include <cmath>
#include <cstring>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#define EDGE_PHI_LANES 128
#include "pointwise.h"

namespace edge_phi {
namespace {

constexpr int kGroup = 4;  // tokens at once

struct Bits4 {
  static constexpr size_t pair_bytes = kPair4, block_bytes = 256;
  // Rows 4g..4g+3 of a block.
  static inline void unpack(const uint8_t *block, int g, int8x16_t a[8]) {
    const int8x16_t eight = vdupq_n_s8(8);
    for (int j = 0; j < 4; j++) {
      uint8x16_t both = vld1q_u8(block + 64 * j + 16 * g);
      a[2 * j] = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), eight);
      a[2 * j + 1] = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), eight);
    }
  }
};

struct Bits8 {
  static constexpr size_t pair_bytes = kPair8, block_bytes = 512;
  static inline void unpack(const uint8_t *block, int g, int8x16_t a[8]) {
    for (int j = 0; j < 8; j++) a[j] = vld1q_s8(reinterpret_cast<const int8_t *>(block + 64 * j + 16 * g));
  }
};

template <class Format, int tokens>
void product(const uint8_t *panel, int g, int pairs, const ActivationBlock *x, size_t stride, float *y,
             size_t y_stride, bool add) {
  float32x4_t sum[tokens];
  for (int m = 0; m < tokens; m++) sum[m] = add ? vld1q_f32(y + m * y_stride) : vdupq_n_f32(0);
  for (int pair = 0; pair < pairs; pair++, panel += Format::pair_bytes)
    for (int half = 0; half < 2; half++, x += stride) {
      int8x16_t a[8];
      Format::unpack(panel + 64 + half * Format::block_bytes, g, a);
      uint16_t scales[4];
      std::memcpy(scales, panel + half * 32 + g * 8, sizeof scales);
      float32x4_t scale = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(scales)));
      for (int m = 0; m < tokens; m++) {
        int8x16_t low = vreinterpretq_s8_s32(vld1q_s32(x[m].words));
        int8x16_t high = vreinterpretq_s8_s32(vld1q_s32(x[m].words + 4));
        int32x4_t c = vdotq_laneq_s32(vdupq_n_s32(0), a[0], low, 0);
        c = vdotq_laneq_s32(c, a[1], low, 1);
        c = vdotq_laneq_s32(c, a[2], low, 2);
        c = vdotq_laneq_s32(c, a[3], low, 3);
        c = vdotq_laneq_s32(c, a[4], high, 0);
        c = vdotq_laneq_s32(c, a[5], high, 1);
        c = vdotq_laneq_s32(c, a[6], high, 2);
        c = vdotq_laneq_s32(c, a[7], high, 3);
        sum[m] = vfmaq_f32(sum[m], vcvtq_f32_s32(c), vmulq_n_f32(scale, x[m].scale));
      }
    }
  for (int m = 0; m < tokens; m++) vst1q_f32(y + m * y_stride, sum[m]);
}

template <class Format>
void product_any(const uint8_t *panel, int pairs, const ActivationBlock *x, int tokens, float *y, size_t y_stride,
                 bool add, bool) {
  size_t stride = size_t(tokens);
  for (int m = 0; m < tokens; m += kGroup, x += kGroup, y += kGroup * y_stride)
    for (int g = 0; g < 4; g++) {
      switch (tokens - m) {
        case 1: product<Format, 1>(panel, g, pairs, x, stride, y + 4 * g, y_stride, add); break;
        case 2: product<Format, 2>(panel, g, pairs, x, stride, y + 4 * g, y_stride, add); break;
        case 3: product<Format, 3>(panel, g, pairs, x, stride, y + 4 * g, y_stride, add); break;
        default: product<Format, 4>(panel, g, pairs, x, stride, y + 4 * g, y_stride, add); break;
      }
    }
}

bool usable() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & (1 << 20);  // HWCAP_ASIMDDP
#elif defined(__APPLE__)
  return true;  // since the M1
#else
  return false;
#endif
}

}  // namespace

const Kernels kNeon = {"neon-dotprod", usable, product_any<Bits4>, product_any<Bits8>, normalize, quantize, gelu,
                       accumulate, to_half, attend};

}  // namespace edge_phi

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
namespace edge_phi {
const Kernels kNeon = {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
}
#endif
