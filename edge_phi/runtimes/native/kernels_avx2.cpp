// Products with AVX2: eight rows of a panel in the eight lanes of a register, so a panel takes two passes. Two families,
// which differ in how they come to the sums of a block.
//
// AVX2 alone
//   4 bits: `vpmaddubsw` multiplies unsigned by signed bytes and adds pairs in 16 bits. Eight such sums of nibbles stay
//           within 8 * 2 * 15 * 127 = 30480, so they are added in 16 bits and widened once a block; then the offset
//           of 8 is taken back by `start`.
//   8 bits: |w| times x with w's sign, so that a pair stays within 2 * 128 * 127 = 32512; widened at every step.
//
// AVX-VNNI
//   `vpdpbusd`, as in kernels_avx512.cpp, where the offsets of 8 and 128 are explained.
//
// Registers for four tokens of 4 bits: 8 of weights, 4 of float sums, a sum of integers, an activation, the mask.
#include "kernels.h"

#if defined(EDGE_PHI_X86)
#include <cpuid.h>
#include <immintrin.h>

EDGE_PHI_TARGET("avx2,fma,f16c")
#define EDGE_PHI_LANES 256
#include "pointwise.h"
#include "product.h"

namespace edge_phi {
namespace {

struct Registers {
  __m256i a[8];
};

inline __m256i line(const uint8_t *p) { return _mm256_load_si256(reinterpret_cast<const __m256i *>(p)); }

struct Bits4 {
  static constexpr int bits = 4, group = 4;
  static constexpr bool paired = false;
  using Weights = Registers;
  static inline Registers unpack(const uint8_t *lines) {
    const __m256i low = _mm256_set1_epi8(15);
    Registers w;
    for (int j = 0; j < 4; j++) {
      __m256i both = line(lines + 64 * j);
      w.a[2 * j] = _mm256_and_si256(both, low);
      w.a[2 * j + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
    }
    return w;
  }
  static inline __m256 sum(const Registers &w, const ActivationBlock &x) {
    __m256i c = _mm256_maddubs_epi16(w.a[0], _mm256_set1_epi32(x.words[0]));
#pragma GCC unroll 8
    for (int j = 1; j < 8; j++) {
      c = _mm256_add_epi16(c, _mm256_maddubs_epi16(w.a[j], _mm256_set1_epi32(x.words[j])));
      asm("" : "+x"(c));  // keeps the compiler from adding in another order, for which it runs out of registers
    }
    c = _mm256_add_epi32(_mm256_madd_epi16(c, _mm256_set1_epi16(1)), _mm256_set1_epi32(x.start));
    return _mm256_cvtepi32_ps(c);
  }
};

struct Bits8 {
  static constexpr int bits = 8, group = 4;
  static constexpr bool paired = false;
  using Weights = Registers;
  static inline Registers unpack(const uint8_t *lines) {
    Registers w;
    for (int j = 0; j < 8; j++) w.a[j] = line(lines + 64 * j);
    return w;
  }
  static inline __m256 sum(const Registers &w, const ActivationBlock &x) {
    __m256i c = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
      __m256i signed_x = _mm256_sign_epi8(_mm256_set1_epi32(x.words[j]), w.a[j]);
      __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w.a[j]), signed_x);
      c = _mm256_add_epi32(c, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return _mm256_cvtepi32_ps(c);
  }
};

bool usable() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

#if defined(EDGE_PHI_AVX_VNNI)
// In assembly, so that the rest of the file need not be compiled for it. Tests have it in the encoding of AVX-512.
#if defined(EDGE_PHI_VNNI_AS_EVEX)
#define EDGE_PHI_VPDPBUSD "vpdpbusd %2, %1, %0"
#else
#define EDGE_PHI_VPDPBUSD "%{vex%} vpdpbusd %2, %1, %0"
#endif

inline __m256 sum_from(__m256i c, const Registers &w, const ActivationBlock &x) {
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) asm(EDGE_PHI_VPDPBUSD : "+x"(c) : "x"(w.a[j]), "x"(_mm256_set1_epi32(x.words[j])));
  return _mm256_cvtepi32_ps(c);
}

struct Vnni4 : Bits4 {
  static inline __m256 sum(const Registers &w, const ActivationBlock &x) {
    return sum_from(_mm256_set1_epi32(x.start), w, x);
  }
};

struct Vnni8 : Bits8 {
  static inline Registers unpack(const uint8_t *lines) {
    Registers w = Bits8::unpack(lines);
    for (int j = 0; j < 8; j++) w.a[j] = _mm256_xor_si256(w.a[j], _mm256_set1_epi8(char(-128)));
    return w;
  }
  static inline __m256 sum(const Registers &w, const ActivationBlock &x) {
    return sum_from(_mm256_set1_epi32(x.start * 16), w, x);
  }
};

bool usable_vnni() {
#if defined(EDGE_PHI_VNNI_AS_EVEX)
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl");
#else
  unsigned a, b, c, d;
  return usable() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
#endif
}
#endif

}  // namespace

#if defined(EDGE_PHI_AVX_VNNI)
constexpr Kernels kAvxVnni = table<Vnni4, Vnni8>("avx-vnni", usable_vnni);
#endif

constexpr Kernels kAvx2 = table<Bits4, Bits8>("avx2", usable);

}  // namespace edge_phi

EDGE_PHI_TARGET_END
#endif
