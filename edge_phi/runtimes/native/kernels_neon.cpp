// Products with ARM's dot-product instructions: four rows of a panel in the four lanes of a register.
//
//   weights a[j]   lane r: four columns of row r, as signed bytes; of 4 bits, the offset of 8 is taken off here
//   activations    four words of a token in one register; the instruction picks one and broadcasts it
//
// `sdot` multiplies signed by signed bytes, so nothing is left to take back.
#include "kernels.h"

#if defined(EDGE_PHI_ARM)
#include "arm.h"

#if defined(__clang__)
EDGE_PHI_TARGET("dotprod")
#else
EDGE_PHI_TARGET("arch=armv8.2-a+dotprod")
#endif
#define EDGE_PHI_LANES 128
#include "pointwise.h"
#include "product.h"

namespace edge_phi {
namespace {

struct Registers {
  int8x16_t a[8];
  static inline float32x4_t sum(const Registers &w, const ActivationBlock &x) {
    const int8x16_t low = vreinterpretq_s8_s32(vld1q_s32(x.words)), high = vreinterpretq_s8_s32(vld1q_s32(x.words + 4));
    int32x4_t c = vdotq_laneq_s32(vdupq_n_s32(0), w.a[0], low, 0);
    c = vdotq_laneq_s32(c, w.a[1], low, 1);
    c = vdotq_laneq_s32(c, w.a[2], low, 2);
    c = vdotq_laneq_s32(c, w.a[3], low, 3);
    c = vdotq_laneq_s32(c, w.a[4], high, 0);
    c = vdotq_laneq_s32(c, w.a[5], high, 1);
    c = vdotq_laneq_s32(c, w.a[6], high, 2);
    return vcvtq_f32_s32(vdotq_laneq_s32(c, w.a[7], high, 3));
  }
};

struct Bits4 : Registers {
  static constexpr int bits = 4, group = 4;
  static constexpr bool paired = false;
  using Weights = Registers;
  static inline Registers unpack(const uint8_t *lines) {
    Registers w;
    for (int j = 0; j < 4; j++) {
      uint8x16_t both = vld1q_u8(lines + 64 * j);
      w.a[2 * j] = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), vdupq_n_s8(8));
      w.a[2 * j + 1] = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), vdupq_n_s8(8));
    }
    return w;
  }
};

struct Bits8 : Registers {
  static constexpr int bits = 8, group = 4;
  static constexpr bool paired = false;
  using Weights = Registers;
  static inline Registers unpack(const uint8_t *lines) {
    Registers w;
    for (int j = 0; j < 8; j++) w.a[j] = vreinterpretq_s8_u8(vld1q_u8(lines + 64 * j));
    return w;
  }
};

bool usable() { return arm_has(1, 20, nullptr); }

}  // namespace

constexpr Kernels kNeon = table<Bits4, Bits8>("neon-dotprod", usable);

}  // namespace edge_phi

EDGE_PHI_TARGET_END
#endif
