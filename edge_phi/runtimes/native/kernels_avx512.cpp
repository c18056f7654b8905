// Products with AVX-512 VNNI: sixteen rows of a panel in the sixteen lanes of a register.
//
//   weights a[j]     lane r: four columns of row r, as unsigned bytes       8 registers a block of 32 columns
//   activations      one 4-byte word of a token, broadcast from memory     read in place by the instruction
//   c                lane r: sum of a block, 32-bit integers                1 register
//   sum[m]           lane r: row r of token m, floats                       up to 16 registers
//
// `vpdpbusd` multiplies unsigned by signed bytes, so weights carry an offset (8, or 128 of an int8), which the start of
// the integer sum takes back: that costs no instruction.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include <cmath>
#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")
#endif

#define EDGE_PHI_LANES 512
#include "pointwise.h"

namespace edge_phi {
namespace {

constexpr size_t kFetchAhead = 4608;  // bytes, for lines that come from memory

inline __m512i line(const uint8_t *p) { return _mm512_load_si512(p); }

struct Bits4 {
  static constexpr size_t pair_bytes = 576, block_bytes = 256;
  static inline void unpack(const uint8_t *block, __m512i a[8]) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int j = 0; j < 4; j++) {
      __m512i both = line(block + 64 * j);
      a[2 * j] = _mm512_and_si512(both, low);
      a[2 * j + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
  }
  static inline __m512i start(const ActivationBlock &x) { return _mm512_set1_epi32(x.start); }
};

struct Bits8 {
  static constexpr size_t pair_bytes = 1088, block_bytes = 512;
  static inline void unpack(const uint8_t *block, __m512i a[8]) {
    const __m512i sign = _mm512_set1_epi8(char(-128));
    for (int j = 0; j < 8; j++) a[j] = _mm512_xor_si512(line(block + 64 * j), sign);
  }
  static inline __m512i start(const ActivationBlock &x) { return _mm512_set1_epi32(x.start * 16); }
};

template <class Format, int tokens>
void product(const uint8_t *panel, int pairs, const ActivationBlock *x, float *y, size_t y_stride, bool add,
             bool cold) {
  __m512 sum[tokens];  // in registers, once every loop over it is unrolled
#pragma GCC unroll 16
  for (int m = 0; m < tokens; m++) sum[m] = add ? _mm512_loadu_ps(y + m * y_stride) : _mm512_setzero_ps();
  for (int pair = 0; pair < pairs; pair++, panel += Format::pair_bytes) {
    if (cold)
      for (size_t i = 0; i < Format::pair_bytes; i += 64)
        _mm_prefetch(reinterpret_cast<const char *>(panel) + kFetchAhead + i, _MM_HINT_T0);
    for (int half = 0; half < 2; half++, x += tokens) {
      __m512i a[8];
      Format::unpack(panel + 64 + half * Format::block_bytes, a);
      __m512 scale = _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i *>(panel + half * 32)));
#pragma GCC unroll 16
      for (int m = 0; m < tokens; m++) {
        __m512i c = Format::start(x[m]);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)  // in assembly, because GCC 12 broadcasts into a register first
          asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(c) : "v"(a[j]), "m"(x[m].words[j]));
        sum[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(c), _mm512_mul_ps(scale, _mm512_set1_ps(x[m].scale)), sum[m]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < tokens; m++) _mm512_storeu_ps(y + m * y_stride, sum[m]);
}

template <class Format>
void product_any(const uint8_t *panel, int pairs, const ActivationBlock *x, int tokens, float *y, size_t y_stride,
                 bool add, bool cold) {
  switch (tokens) {
#define EDGE_PHI_CASE(n) \
  case n: return product<Format, n>(panel, pairs, x, y, y_stride, add, cold);
    EDGE_PHI_CASE(1) EDGE_PHI_CASE(2) EDGE_PHI_CASE(3) EDGE_PHI_CASE(4) EDGE_PHI_CASE(5) EDGE_PHI_CASE(6)
    EDGE_PHI_CASE(7) EDGE_PHI_CASE(8) EDGE_PHI_CASE(9) EDGE_PHI_CASE(10) EDGE_PHI_CASE(11) EDGE_PHI_CASE(12)
    EDGE_PHI_CASE(13) EDGE_PHI_CASE(14) EDGE_PHI_CASE(15) EDGE_PHI_CASE(16)
#undef EDGE_PHI_CASE
  }
}

bool usable() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}

}  // namespace

const Kernels kAvx512 = {"avx512-vnni", usable, product_any<Bits4>, product_any<Bits8>, normalize, quantize, gelu,
                         accumulate, to_half, attend};

}  // namespace edge_phi

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
namespace edge_phi {
const Kernels kAvx512 = {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
}
#endif
