// Products in plain C++, a row at a time, for processors without kernels of their own and as a check on those that have
// them; and the choice between the families.
#include "kernels.h"

#define EDGE_PHI_LANES 0
#include "pointwise.h"
#include "product.h"

namespace edge_phi {
namespace {

struct Row {
  int8_t w[kBlock];
  static float sum(const Row &row, const ActivationBlock &x) {
    const int8_t *codes = reinterpret_cast<const int8_t *>(x.words);
    int32_t sum = 0;
    for (int k = 0; k < kBlock; k++) sum += int32_t(row.w[k]) * codes[k];
    return float(sum);
  }
};

struct Bits4 : Row {
  static constexpr int bits = 4, group = 4;
  static constexpr bool paired = false;
  using Weights = Row;
  static Row unpack(const uint8_t *lines) {
    Row row;
    for (int k = 0; k < kBlock; k++) {
      uint8_t both = lines[k / 8 * 64 + k % 4];
      row.w[k] = int8_t((k % 8 < 4 ? both & 15 : both >> 4) - 8);
    }
    return row;
  }
};

struct Bits8 : Row {
  static constexpr int bits = 8, group = 4;
  static constexpr bool paired = false;
  using Weights = Row;
  static Row unpack(const uint8_t *lines) {
    Row row;
    for (int k = 0; k < kBlock; k++) row.w[k] = int8_t(lines[k / 4 * 64 + k % 4]);
    return row;
  }
};

bool usable() { return true; }

}  // namespace

constexpr Kernels kPortable = table<Bits4, Bits8>("portable", usable);

const Kernels *usable_kernels(int index) {
  static const Kernels *const all[] = {
#if defined(EDGE_PHI_X86)
      &kAvx512,
#if defined(EDGE_PHI_AVX_VNNI)
      &kAvxVnni,
#endif
      &kAvx2,
#elif defined(EDGE_PHI_ARM)
      &kNeonI8mm, &kNeon,
#endif
      &kPortable};
  for (const Kernels *kernels : all)
    if (kernels->usable() && index-- == 0) return kernels;
  return nullptr;
}

const Kernels *find_kernels(const char *name) {
  const Kernels *kernels = nullptr;
  for (int i = 0; (kernels = usable_kernels(i)); i++)
    if (!name || !*name || !std::strcmp(name, kernels->name)) break;
  return kernels;
}

}  // namespace edge_phi
