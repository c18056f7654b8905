// What the sanitizers watch: random models under random calls, many threads, calls cancelled from another thread,
// engines opened and closed, geometries that lie, weights that are no numbers. It prints nothing and ends with 0; what is
// wrong is the sanitizer's to say. With a second argument it only opens, calls and closes, which is for valgrind. Run by
// sanitize.py.
#include "model.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace {

std::mt19937_64 source(1);
uint64_t below(uint64_t limit) { return source() % limit; }

PhiEngine *open(Model &model, const char *kernels) {
  return phi_open(&model.geometry, model.packed, model.plan.total, model.cache, int32_t(model.pages.size()), kernels);
}

void calls(Model &model, const char *kernels, int rounds) {
  PhiEngine *engine = open(model, kernels);
  if (!engine) std::abort();
  std::vector<float> logits(size_t(300) * 77);
  int length = 0;
  for (int round = 0; round < rounds; round++) {
    int count = 1 + int(below(round % 4 ? 20 : 290));
    std::vector<float> x = model.embedded(count);
    std::vector<int32_t> pages = model.pages;
    if (below(30) == 0) pages[below(pages.size())] = int32_t(below(2) ? pages.size() : uint64_t(-1));
    if (length + count > 300 || below(3) == 0) length = int(below(uint64_t(length) + 1));
    int rows = int(below(uint64_t(count) + 1));
    std::atomic<int32_t> cancel{0};
    std::chrono::microseconds delay(below(300));
    std::thread canceller([&] {
      if (round % 3 == 0) {
        std::this_thread::sleep_for(delay);
        cancel.store(1);
      }
    });
    int32_t status = phi_forward(engine, x.data(), count, length, pages.data(), logits.data(), rows,
                                 1 + int32_t(below(5)), reinterpret_cast<int32_t *>(&cancel));
    canceller.join();
    if (status == PHI_OK) length += count;
    if (round % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(below(400)));  // its workers fall asleep
  }
  phi_close(engine);
}

void lies(Model &model, int rounds) {
  const int64_t extremes[] = {0, 1, -1, 31, 33, 1 << 15, INT32_MAX, INT32_MIN};
  const PhiGeometry geometry = model.geometry;
  for (int round = 0; round < rounds; round++) {
    int32_t fields[8];
    std::memcpy(fields, &model.geometry, sizeof fields);
    fields[below(8)] = int32_t(below(2) ? extremes[below(8)] : int64_t(below(1000)));
    std::memcpy(&model.geometry, fields, sizeof fields);
    PhiPlan plan;
    phi_plan(&model.geometry, &plan);
    // Memory of the size that the first geometry needs: one that needs another must be refused.
    phi_close(open(model, ""));
    model.geometry = geometry;
  }
}

void opens(Model &model, int rounds) {
  std::vector<float> logits(77);
  for (int round = 0; round < rounds; round++) {
    PhiEngine *engine = open(model, "");
    std::vector<float> x = model.embedded(3);
    if (phi_forward(engine, x.data(), 3, 0, model.pages.data(), logits.data(), 1, 2, nullptr)) std::abort();
    phi_close(engine);
  }
}

}  // namespace

int main(int count, char **arguments) {
  int rounds = count > 1 ? std::atoi(arguments[1]) : 100;
  if (count > 2) {
    Model model(false, 4, 16);
    opens(model, rounds);
    return 0;
  }
  for (int i = 0; i < 8; i++) {
    Model model(i % 2, i & 2 ? 8 : 4, i & 4 ? 8 : 16);
    for (int32_t k = 0; phi_kernels(k); k++) calls(model, phi_kernels(k), rounds);
    lies(model, rounds * 3);
    for (int j = 0; j < rounds * 2; j++) calls(model, "", 1);
    for (uint64_t j = 0; j < model.plan.total; j++)
      if (below(1000) == 0) model.packed[j] = uint8_t(below(256));
    calls(model, "", rounds);
  }
}
