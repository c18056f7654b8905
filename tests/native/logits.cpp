// Writes the logits of random models to standard output, as bytes, computed with the kernels of the name that is given.
// Says which kernels there are if none is. Run by emulate.py.
#include "model.h"

#include <algorithm>
#include <cstdio>

int main(int count, char **arguments) {
  if (count < 2) {
    for (int32_t i = 0; const char *name = phi_kernels(i); i++) std::printf("%s\n", name);
    return 0;
  }
  for (int32_t kind = 0; kind < 8; kind++) {
    Model model(kind % 2, kind & 2 ? 8 : 4, kind & 4 ? 8 : 16);
    PhiEngine *engine = phi_open(&model.geometry, model.packed, model.plan.total, model.cache,
                                 int32_t(model.pages.size()), arguments[1]);
    if (!engine) return 1;
    const int32_t words = model.geometry.vocabulary;
    std::vector<float> logits;
    int32_t position = 0;
    for (int32_t tokens : {1, 2, 3, 40, 7, 8, 16, 17, 4}) {
      std::vector<float> x = model.embedded(tokens), rows(size_t(tokens) * size_t(words));
      if (phi_forward(engine, x.data(), tokens, position, model.pages.data(), rows.data(), tokens, 1 + tokens % 2, nullptr))
        return 1;
      position += tokens;
      logits.insert(logits.end(), rows.begin(), rows.end());
    }
    phi_close(engine);
    std::fwrite(logits.data(), sizeof(float), logits.size(), stdout);
  }
}
