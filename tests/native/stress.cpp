// What the sanitizers watch: random models under random calls, many threads, calls cancelled from another thread,
// engines opened and closed, and tables of tensors and geometries that lie. It prints nothing and ends with 0; what is
// wrong is the sanitizer's to say. Run by sanitize.py.
#include "../../edge_phi/runtimes/native/engine.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace {

std::mt19937_64 source(1);
uint64_t below(uint64_t limit) { return source() % limit; }

uint64_t row_bytes(int32_t type, int64_t columns) {
  switch (type) {
    case 0: return uint64_t(columns) * 4;
    case 1: return uint64_t(columns) * 2;
    case 2: return uint64_t(columns / 32) * 18;
    case 8: return uint64_t(columns / 32) * 34;
    default: return uint64_t(columns / 256) * 210;
  }
}

struct Model {
  PhiGeometry geometry;
  std::vector<PhiTensor> tensors;
  std::vector<uint8_t> file;
  std::vector<uint8_t> memory;
  uint8_t *packed = nullptr;
  uint64_t packed_bytes = 0;

  void add(int64_t rows, int64_t columns, int32_t type) {
    uint64_t bytes = row_bytes(type, columns) * uint64_t(rows);
    tensors.push_back({file.size(), bytes, rows, columns, type, 0});
    for (uint64_t i = 0; i < bytes; i++) {
      // Any bytes are weights, also those that are no numbers; but mostly small ones.
      bool upper = type == 0 ? i % 4 == 3 : type == 1 ? i % 2 == 1 : type == 2 ? i % 18 == 1 : type == 8 && i % 34 == 1;
      file.push_back(upper && below(1000) ? uint8_t(0x24 + (type == 0) * 0x18) : uint8_t(below(256)));
    }
  }

  explicit Model(bool phi2_heads, int32_t head_type) {
    int32_t width = phi2_heads ? 320 : 256, inner = phi2_heads ? 192 : 512;
    if (head_type == 14) width = 256;
    geometry = {2, width, phi2_heads && width == 320 ? 4 : 8, inner, 16, 77, 300, 4, head_type == 14 ? 2 : head_type,
                1e-5f, 1e4f};
    if (head_type == 8) geometry.bits = 8;
    for (int layer = 0; layer < 2; layer++) {
      add(1, width, 0), add(1, width, 0);
      add(3 * width, width, 2), add(1, 3 * width, 0);
      add(width, width, geometry.bits == 8 ? 8 : 2), add(1, width, 0);
      add(inner, width, 2), add(1, inner, 0);
      add(width, inner, 2), add(1, width, 0);
    }
    add(77, width, geometry.embedding_type), add(1, width, 0), add(1, width, 0), add(77, width, head_type), add(1, 77, 0);
    packed_bytes = uint64_t(phi_packed_bytes(&geometry));
    memory.resize(packed_bytes + 64);
    packed = memory.data() + (64 - uintptr_t(memory.data()) % 64) % 64;
  }

  bool pack() {
    bool all = true;
    for (int32_t part = 0; part < phi_pack_parts(&geometry); part++)
      all &= phi_pack(&geometry, tensors.data(), int32_t(tensors.size()), file.data(), file.size(), packed,
                      packed_bytes, part) == PHI_OK;
    return all;
  }
};

void calls(Model &model, const char *kernels, int rounds) {
  PhiEngine *engine = phi_open(&model.geometry, model.packed, model.packed_bytes, kernels);
  if (!engine) std::abort();
  std::vector<float> logits(size_t(300) * 77);
  int length = 0;
  for (int round = 0; round < rounds; round++) {
    std::vector<int32_t> tokens(1 + below(round % 4 ? 20 : 290));
    for (int32_t &token : tokens) token = int32_t(below(below(50) ? 77 : 90)) - int32_t(below(50) == 0);
    if (length + int(tokens.size()) > 300 || below(3) == 0) length = int(below(uint64_t(length) + 1));
    int rows = int(below(tokens.size() + 1));
    std::atomic<int32_t> cancel{0};
    std::chrono::microseconds delay(below(300));
    std::thread canceller([&] {
      if (round % 3 == 0) {
        std::this_thread::sleep_for(delay);
        cancel.store(1);
      }
    });
    int32_t status = phi_forward(engine, tokens.data(), int32_t(tokens.size()), length, logits.data(), rows,
                                 1 + int32_t(below(5)), reinterpret_cast<int32_t *>(&cancel));
    canceller.join();
    if (status == PHI_OK) length += int(tokens.size());
    if (round % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(below(400)));  // its workers fall asleep
  }
  phi_close(engine);
}

void lies(Model &model, int rounds) {
  const int64_t extremes[] = {0, 1, -1, 31, 33, 1 << 15, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
  const std::vector<PhiTensor> tensors = model.tensors;
  const PhiGeometry geometry = model.geometry;
  for (int round = 0; round < rounds; round++) {
    for (uint64_t i = 1 + below(2); i; i--) {
      PhiTensor &t = model.tensors[below(tensors.size())];
      int64_t value = below(2) ? extremes[below(10)] : int64_t(below(model.file.size() * 2));
      switch (below(5)) {
        case 0: t.offset = uint64_t(value); break;
        case 1: t.bytes = uint64_t(value); break;
        case 2: t.rows = value; break;
        case 3: t.columns = value; break;
        case 4: t.type = int32_t(value); break;
      }
    }
    if (below(2)) {
      int32_t fields[9];
      std::memcpy(fields, &model.geometry, sizeof fields);
      fields[below(9)] = int32_t(below(2) ? extremes[below(10)] : int64_t(below(1000)));
      std::memcpy(&model.geometry, fields, sizeof fields);
    }
    phi_packed_bytes(&model.geometry);
    // Memory of the size that the first geometry needs: one that needs another must be refused.
    for (int32_t part = -1; part < 12; part++)
      phi_pack(&model.geometry, model.tensors.data(), int32_t(model.tensors.size()), model.file.data(),
               model.file.size(), model.packed, model.packed_bytes, part);
    phi_close(phi_open(&model.geometry, model.packed, below(2) ? model.packed_bytes : below(1 << 20), ""));
    model.tensors = tensors;
    model.geometry = geometry;
  }
}

}  // namespace

int main(int count, char **arguments) {
  int rounds = count > 1 ? std::atoi(arguments[1]) : 100;
  const int32_t heads[] = {0, 1, 2, 8, 14};
  for (int i = 0; i < 5; i++) {
    Model model(i % 2, heads[i]);
    if (!model.pack()) std::abort();
    for (int32_t k = 0; phi_kernels(k); k++) calls(model, phi_kernels(k), rounds);
    lies(model, rounds * 3);
    if (!model.pack()) std::abort();
    for (int j = 0; j < rounds * 2; j++) calls(model, "", 1);
  }
}
