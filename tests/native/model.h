// A random model in the engine's own layout, the same on every machine.
#include "../../edge_phi/runtimes/native/engine.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

struct Model {
  std::mt19937 random{1};
  PhiGeometry geometry;
  PhiPlan plan;
  std::vector<uint8_t> memory, cache_memory;
  uint8_t *packed, *cache;
  std::vector<int32_t> pages;  // in any order

  // Heads of 32, or of 80 as phi-2's; a context, and a vocabulary, that fill no whole page and panel.
  Model(bool wide_heads, int32_t bits, int32_t cache_bits)
      : geometry{2, wide_heads ? 320 : 256, wide_heads ? 4 : 8, wide_heads ? 192 : 512, 16, 77, 300, bits, 1e-5f, 1e4f,
                 cache_bits} {
    if (phi_plan(&geometry, &plan) != PHI_OK) std::abort();
    packed = aligned(memory, plan.total);
    for (int i = 0; i < (geometry.context + PHI_PAGE - 1) / PHI_PAGE; i++) pages.insert(pages.begin() + i / 2, i);
    cache = aligned(cache_memory, plan.page_bytes * pages.size());
    uint64_t width = uint64_t(geometry.width), words = 80;
    for (uint64_t at = 0; at < uint64_t(geometry.layers) * plan.layer_bytes; at += plan.layer_bytes) {
      panels(at + plan.first, at + plan.second, bits);
      panels(at + plan.second, at + plan.norm_weight, bits);
      for (uint64_t i = at + plan.norm_weight; i < at + plan.layer_bytes; i += 4) number(i);
    }
    panels(plan.head, plan.head_bias, 8);
    for (uint64_t i = 0; i < words; i++) number(plan.head_bias + i * 4);
    for (uint64_t i = plan.last_norm_weight; i < plan.last_norm_weight + width * 4; i += 4) number(i);
    for (uint64_t i = plan.last_norm_bias; i < plan.last_norm_bias + width * 4; i += 4) number(i);
  }

  std::vector<float> embedded(int count) {
    std::vector<float> x(size_t(count) * size_t(geometry.width));
    for (float &value : x) value = small();
    return x;
  }

  float small() { return float(int(random() & 0xffff) - 32768) / 16384.0f; }

  static uint8_t *aligned(std::vector<uint8_t> &memory, uint64_t bytes) {
    memory.resize(bytes + 64);
    return memory.data() + (64 - uintptr_t(memory.data()) % 64) % 64;
  }

  void number(uint64_t at) {
    float value = small();
    std::memcpy(packed + at, &value, 4);
  }

  // Random codes, and scales between 2^-8 and 2^-4.
  void panels(uint64_t at, uint64_t end, int32_t bits) {
    const uint64_t pair = bits == 4 ? 576 : 1088;
    for (uint64_t i = at; i < end; i++) packed[i] = uint8_t(random());
    for (; at + pair <= end; at += pair)
      for (int i = 1; i < 64; i += 2) packed[at + i] = uint8_t(0x1c + (packed[at + i] & 0x83) + (bits == 4 ? 8 : 0));
  }
};
