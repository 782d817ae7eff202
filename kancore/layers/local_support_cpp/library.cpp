// What kancore.layers.local_support calls: each function for the degree of the splines in a plan.
// layout.h says how everything lies in memory, and names the other files.
#include "forward.h"
#include "gradients.h"
#include "plan.h"

#define FOR_DEGREE(call)          \
  switch (plan.degree) {          \
    case 1: call(1); break;       \
    case 2: call(2); break;       \
    case 3: call(3); break;       \
    case 4: call(4); break;       \
    case 5: call(5); break;       \
  }

extern "C" {

// Digest of these files' tokens, so that a library of another version is told.
const char* kancore_source() { return KANCORE_SOURCE; }

// Bytes of memory that a plan of this shape needs.
int64_t kancore_plan_size(const Planned* planned) {
  Plan plan{*planned};
  plan.memory = nullptr;
  return divide(plan, false);
}

// Makes the plan of inputs x, [networks, batch, inputs], in its memory, which has that size. `slope`, the
// activation's derivative, and `background`, with its activation, are null unless the plan has them.
// `limits` are the activation at minus and plus infinity, where `activation` is not to be relied on.
void kancore_plan(const Planned* planned, const float* x, const float* activation,
                  const float* slope, const float* background, const float* background_activation,
                  const float* limits, float low, float per_interval, int threads) {
  const Plan plan = plan_in(*planned, true);
  if (background) std::copy_n(background, plan.inputs, plan.background);
  fill_offsets(plan, x);
#define CALL(K)                                                                             \
  plan_all<K>(plan, x, activation, slope, background_activation, limits, low, per_interval, \
              threads)
  FOR_DEGREE(CALL)
#undef CALL
}

void kancore_forward(const Planned* planned, const Edges* edges, int64_t stack, int64_t outputs,
                     float* y, int threads) {
  const Plan plan = plan_in(*planned);
#define CALL(K) forward_all<K>(plan, *edges, stack, outputs, y, threads)
  FOR_DEGREE(CALL)
#undef CALL
}

// Writes the gradients by all parameters to `to`, from those by the outputs y.
void kancore_gradient(const Planned* planned, const float* y, const Edges* edges, int64_t stack,
                      int64_t outputs, const Edges* to, int threads) {
  const Plan plan = plan_in(*planned);
#define CALL(K) weight_all<K>(plan, y, *edges, stack, outputs, to, nullptr, 0, threads)
  FOR_DEGREE(CALL)
#undef CALL
}

// Updates the parameters of each network, for the time number `steps`, in place of a gradient.
void kancore_update(const Planned* planned, const float* y, const Edges* edges, int64_t stack,
                    int64_t outputs, const Update* updates, double steps, int threads) {
  const Plan plan = plan_in(*planned);
#define CALL(K) weight_all<K>(plan, y, *edges, stack, outputs, nullptr, updates, steps, threads)
  FOR_DEGREE(CALL)
#undef CALL
}

void kancore_input_gradient(const Planned* planned, const float* y, const Edges* edges,
                            int64_t stack, int64_t outputs, float* gradient, int threads) {
  const Plan plan = plan_in(*planned);
#define CALL(K) input_all<K>(plan, y, *edges, stack, outputs, gradient, threads)
  FOR_DEGREE(CALL)
#undef CALL
}
}
