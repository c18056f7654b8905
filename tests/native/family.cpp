// Everything that one kernel family computes, on numbers that are the same everywhere: neon.py builds it for ARM and for
// this machine, and compares what comes out bit for bit. On ARM there is no system around it, hence the functions below.
#include "../../edge_phi/runtimes/native/kernels.h"
#include "../../edge_phi/runtimes/native/packing.h"

using namespace edge_phi;

#if defined(EDGE_PHI_ARM)
#define FAMILY kNeon
extern "C" void *memcpy(void *to, const void *from, size_t count) {
  for (size_t i = 0; i < count; i++) {
    static_cast<char *>(to)[i] = static_cast<const char *>(from)[i];
    __asm__ __volatile__("");  // or it would be compiled to a call of itself
  }
  return to;
}
extern "C" void *memset(void *to, int value, size_t count) {
  for (size_t i = 0; i < count; i++) {
    static_cast<char *>(to)[i] = char(value);
    __asm__ __volatile__("");
  }
  return to;
}
extern "C" unsigned long getauxval(unsigned long) { return 0; }
#else
#define FAMILY kPortable
#endif

namespace {

constexpr int kPairs = 4, kColumns = kPairs * 64, kDimension = 64, kContext = 64, kQueries = 9;

uint32_t state = 7;
uint32_t random_bits() { return (state = state * 1664525u + 1013904223u) >> 8; }
float random_float() { return float(int(random_bits() & 0xffff) - 32768) / 16384.0f; }
uint16_t random_half() { return uint16_t((random_bits() & 0x83ff) | 0x3000); }  // +-0.125 to +-0.25

alignas(64) uint8_t panel4[kPairs * kPair4], panel8[kPairs * kPair8];
ActivationBlock activations[kTile * kColumns / kBlock];
float x[kTile * kColumns], weight[kColumns], bias[kColumns], q[kQueries * kDimension], scores[kQueryGroup * kContext];
uint16_t keys[kContext * kDimension], values[kContext * kDimension];

template <size_t count>
void fill_panel(uint8_t (&panel)[count]) {
  for (uint8_t &byte : panel) byte = uint8_t(random_bits());
  for (size_t pair = 0; pair < count; pair += count / kPairs)
    for (int i = 0; i < 2 * kPanelRows; i++) {
      uint16_t scale = random_half();
      std::memcpy(panel + pair + i * 2, &scale, 2);
    }
}

template <class T, size_t count, class Random>
void fill(T (&numbers)[count], Random random) {
  for (T &number : numbers) number = random();
}

}  // namespace

// Writes all results one after the other; returns how many floats they are.
extern "C" long run_family(float *out) {
  const Kernels &k = FAMILY;
  float *const begin = out;
  fill_panel(panel4), fill_panel(panel8);
  fill(x, random_float), fill(weight, random_float), fill(bias, random_float), fill(q, random_float);
  fill(keys, random_half), fill(values, random_half);
  for (int tokens = 1; tokens <= kTile; tokens++) {
    for (int token = 0; token < tokens; token++)
      k.quantize(x + token * kColumns, kColumns / kBlock, activations + token, size_t(tokens));
    k.product4(panel4, kPairs, activations, tokens, out, kPanelRows, false, true);
    k.product4(panel4, kPairs / 2, activations, tokens, out, kPanelRows, true, false);
    out += tokens * kPanelRows;
    k.product8(panel8, kPairs, activations, tokens, out, kPanelRows, false, true);
    out += tokens * kPanelRows;
  }
  k.normalize(x, weight, bias, kColumns, 1e-5f, out);
  for (int i = 0; i < kColumns; i++) {
    out[kColumns + i] = x[i] * 5;
    out[2 * kColumns + i] = x[i];
  }
  k.gelu(out + kColumns, bias, kColumns);
  k.accumulate(out + 2 * kColumns, x + kColumns, bias, kColumns);
  out += 3 * kColumns;
  k.to_half(x, kColumns, reinterpret_cast<uint16_t *>(out));
  out += kColumns / 2;
  for (int queries = 1; queries <= kQueries; queries++, out += kQueries * kDimension) {
    for (int i = 0; i < kQueries * kDimension; i++) out[i] = 0;
    k.attend({keys, values, kDimension, 37, queries, q, kDimension, out, kDimension, scores, kContext});
  }
  return out - begin;
}
