// Steps of the optimizers, on vectors of weights.
#pragma once

#include <cmath>
#include <cstdint>

#include "vectors.h"

// How one network's parameters are updated; mirrored by compiled.py.
struct Update {
  int32_t optimizer;  // 0: SGD, 1: Nesterov's momentum, 2: AdamW
  float rate, momentum, second_momentum, epsilon, decay;
  // The optimizer's buffers, of this network alone, for each parameter of the layer.
  float *first[3], *second[3];
};

namespace {

// Steps of an optimizer, on vectors of one network's weights.
struct Step {
  Update u;
  float first_correction, second_correction;
  Step(const Update& update, double steps) : u(update) {
    first_correction = (float)(update.rate / (1 - std::pow((double)u.momentum, steps)));
    second_correction = (float)(1 / std::sqrt(1 - std::pow((double)u.second_momentum, steps)));
  }

  template <int OPTIMIZER>
  INLINE_MEMBER void apply(float* weight, float* first, float* second, Vector g, int count) const {
    Vector w = load_some(weight, count);
    if (OPTIMIZER < 2) g += u.decay * w;
    if (OPTIMIZER == 0) {
      w -= u.rate * g;
    } else if (OPTIMIZER == 1) {
      Vector m = u.momentum * load_some(first, count) + g;
      store_some(first, m, count);
      w -= u.rate * (u.momentum * m + g);
    } else {
      Vector m = u.momentum * load_some(first, count) + (1 - u.momentum) * g;
      Vector v = u.second_momentum * load_some(second, count) + (1 - u.second_momentum) * (g * g);
      store_some(first, m, count);
      store_some(second, v, count);
      w *= 1 - u.rate * u.decay;
      w -= first_correction * m / (root(v) * second_correction + u.epsilon);
    }
    store_some(weight, w, count);
  }
};

}  // namespace
