// Products in plain C++, for processors without kernels of their own and as a check on those that have them; and the
// choice between the families. A panel's layout is in packing.cpp.
#include "kernels.h"
#include "packing.h"

#define EDGE_PHI_LANES 0
#include "pointwise.h"

namespace edge_phi {
namespace {

template <int bits>
void product(const uint8_t *panel, int pairs, const ActivationBlock *x, int tokens, float *y, size_t y_stride,
             bool add, bool) {
  if (!add)
    for (int m = 0; m < tokens; m++) std::memset(y + m * y_stride, 0, kPanelRows * sizeof(float));
  for (int pair = 0; pair < pairs; pair++, panel += bits == 4 ? kPair4 : kPair8)
    for (int half = 0; half < 2; half++, x += tokens) {
      const uint8_t *lines = panel + 64 + half * (bits == 4 ? 256 : 512);
      for (int row = 0; row < kPanelRows; row++) {
        int8_t weights[kBlock];
        for (int k = 0; k < kBlock; k++) {
          if (bits == 4) {
            uint8_t both = lines[k / 8 * 64 + row * 4 + k % 4];
            weights[k] = int8_t((k % 8 < 4 ? both & 15 : both >> 4) - 8);
          } else {
            weights[k] = int8_t(lines[k / 4 * 64 + row * 4 + k % 4]);
          }
        }
        uint16_t half_scale;
        std::memcpy(&half_scale, panel + half * 32 + row * 2, 2);
        float scale = half_to_float(half_scale);
        for (int m = 0; m < tokens; m++) {
          const int8_t *codes = reinterpret_cast<const int8_t *>(x[m].words);
          int32_t c = 0;
          for (int k = 0; k < kBlock; k++) c += int32_t(weights[k]) * codes[k];
          y[m * y_stride + row] = std::fma(float(c), scale * x[m].scale, y[m * y_stride + row]);
        }
      }
    }
}

bool usable() { return true; }

}  // namespace

const Kernels kPortable = {"portable", usable, product<4>, product<8>, normalize, quantize, gelu,
                           accumulate, to_half, attend};

const Kernels *usable_kernels(int index) {
  static const Kernels *const all[] = {&kAvx512, &kAvx2, &kNeon, &kPortable};
  for (const Kernels *kernels : all)
    if (kernels->name && kernels->usable() && index-- == 0) return kernels;
  return nullptr;
}

const Kernels *find_kernels(const char *name) {
  const Kernels *kernels = nullptr;
  for (int i = 0; (kernels = usable_kernels(i)); i++)
    if (!name || !*name || !std::strcmp(name, kernels->name)) break;
  return kernels;
}

}  // namespace edge_phi
