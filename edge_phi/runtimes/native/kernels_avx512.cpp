// Products with AVX-512 VNNI: sixteen rows of a panel in the sixteen lanes of a register.
//
//   weights a[j]     lane r: four columns of row r, as unsigned bytes       8 registers a block of 32 columns
//   activations      one 4-byte word of a token, broadcast from memory     read in place by the instruction
//   c                lane r: sum of a block, 32-bit integers                1 register
//   float sums       lane r: row r of a token                               up to 16 registers
//
// `vpdpbusd` multiplies unsigned by signed bytes, so weights carry an offset (8, or 128 of an int8), which the start of
// the integer sum takes back: that costs no instruction.
#include "kernels.h"

#if defined(EDGE_PHI_X86)
#include <immintrin.h>

EDGE_PHI_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")
#define EDGE_PHI_LANES 512
#include "pointwise.h"
#include "product.h"

namespace edge_phi {
namespace {

struct Registers {
  __m512i a[8];
};

inline __m512 sum_from(__m512i c, const Registers &weights, const ActivationBlock &x) {
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++)  // in assembly, because GCC 12 broadcasts into a register first
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(c) : "v"(weights.a[j]), "m"(x.words[j]));
  return _mm512_cvtepi32_ps(c);
}

struct Bits4 {
  static constexpr int bits = 4, group = 16;
  static constexpr bool paired = false;
  using Weights = Registers;
  static inline Registers unpack(const uint8_t *lines) {
    const __m512i low = _mm512_set1_epi8(15);
    Registers w;
    for (int j = 0; j < 4; j++) {
      __m512i both = _mm512_load_si512(lines + 64 * j);
      w.a[2 * j] = _mm512_and_si512(both, low);
      w.a[2 * j + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
    return w;
  }
  static inline __m512 sum(const Registers &w, const ActivationBlock &x) {
    return sum_from(_mm512_set1_epi32(x.start), w, x);
  }
};

struct Bits8 {
  static constexpr int bits = 8, group = 16;
  static constexpr bool paired = false;
  using Weights = Registers;
  static inline Registers unpack(const uint8_t *lines) {
    Registers w;
    for (int j = 0; j < 8; j++)
      w.a[j] = _mm512_xor_si512(_mm512_load_si512(lines + 64 * j), _mm512_set1_epi8(char(-128)));
    return w;
  }
  static inline __m512 sum(const Registers &w, const ActivationBlock &x) {
    return sum_from(_mm512_set1_epi32(x.start * 16), w, x);
  }
};

bool usable() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}

}  // namespace

constexpr Kernels kAvx512 = table<Bits4, Bits8>("avx512-vnni", usable);

}  // namespace edge_phi

EDGE_PHI_TARGET_END
#endif
