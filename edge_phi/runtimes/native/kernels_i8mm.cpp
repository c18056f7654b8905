// Products with ARM's int8 matrix instructions: four rows of a panel and two tokens at a time.
//
//   weights a[2k]      rows 0 and 1, eight columns from 8k on of each        from two lines of a block, interleaved
//   weights a[2k + 1]  rows 2 and 3, the same columns
//   activations        eight columns of one token, the same of another
//
// `smmla` adds the four sums of two rows with two tokens: [row 0: both tokens][row 1: both tokens].
#include "kernels.h"

#if defined(EDGE_PHI_ARM)
#include "arm.h"

#if defined(__clang__)
EDGE_PHI_TARGET("i8mm")
#else
EDGE_PHI_TARGET("arch=armv8.2-a+i8mm")
#endif
#define EDGE_PHI_LANES 128
#include "pointwise.h"
#include "product.h"

namespace edge_phi {
namespace {

struct Registers {
  int8x16_t a[8];
};

// Two lines that follow one another, four rows of each.
inline void interleave(int8x16_t first, int8x16_t second, int8x16_t *to) {
  const int32x4_t low = vreinterpretq_s32_s8(first), high = vreinterpretq_s32_s8(second);
  to[0] = vreinterpretq_s8_s32(vzip1q_s32(low, high));
  to[1] = vreinterpretq_s8_s32(vzip2q_s32(low, high));
}

struct Bits {
  static constexpr int group = 4;
  static constexpr bool paired = true;
  using Weights = Registers;
  static inline float32x4_t sum(const Registers &w, const ActivationBlock &x, const ActivationBlock &y,
                                float32x4_t &next) {
    int32x4_t first = vdupq_n_s32(0), last = first;
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      const int8x16_t both = vreinterpretq_s8_s32(vcombine_s32(vld1_s32(x.words + 2 * k), vld1_s32(y.words + 2 * k)));
      first = vmmlaq_s32(first, w.a[2 * k], both);
      last = vmmlaq_s32(last, w.a[2 * k + 1], both);
    }
    next = vcvtq_f32_s32(vuzp2q_s32(first, last));
    return vcvtq_f32_s32(vuzp1q_s32(first, last));
  }
};

struct Bits4 : Bits {
  static constexpr int bits = 4;
  static inline Registers unpack(const uint8_t *lines) {
    Registers w;
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      uint8x16_t both = vld1q_u8(lines + 64 * k);
      interleave(vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), vdupq_n_s8(8)),
                 vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), vdupq_n_s8(8)), w.a + 2 * k);
    }
    return w;
  }
};

struct Bits8 : Bits {
  static constexpr int bits = 8;
  static inline Registers unpack(const uint8_t *lines) {
    Registers w;
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++)
      interleave(vreinterpretq_s8_u8(vld1q_u8(lines + 128 * k)), vreinterpretq_s8_u8(vld1q_u8(lines + 128 * k + 64)),
                 w.a + 2 * k);
    return w;
  }
};

bool usable() { return arm_has(2, 13, "hw.optional.arm.FEAT_I8MM"); }  // Apple's since the M2

}  // namespace

constexpr Kernels kNeonI8mm = table<Bits4, Bits8>("neon-i8mm", usable);

}  // namespace edge_phi

EDGE_PHI_TARGET_END
#endif
