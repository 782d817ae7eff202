// Runs the kernels, which are compiled into it, on arrays from standard input.
#include "../../../kancore/layers/local_support_cpp/library.cpp"

#include <cstdio>
#include <cstdlib>

using Floats = std::vector<float>;

static void read(void* to, size_t size, size_t count) {
  if (std::fread(to, size, count, stdin) != count) std::exit(1);
}
static Floats read(int64_t count) {
  Floats values(count);
  read(values.data(), sizeof(float), count);
  return values;
}
static void write(const Floats& values) {
  std::fwrite(values.data(), sizeof(float), values.size(), stdout);
}

int main() {
  int64_t sizes[7];  // networks of the inputs, batch, inputs, intervals, degree; networks, outputs
  read(sizes, sizeof(int64_t), 7);
  const int64_t stack = sizes[5], outputs = sizes[6];
  Planned plan{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], 1, 0, nullptr};
  const int64_t cells = plan.networks * plan.batch * plan.inputs;
  const int64_t edges = stack * plan.inputs * outputs, splines = plan.grid_size + plan.degree;
  const Floats x = read(cells), activation = read(cells), slope = read(cells);
  Floats coefficients = read(edges * splines), base = read(edges), scale = read(edges);
  const Floats gradient = read(stack * plan.batch * outputs);
  const Edges all{coefficients.data(), base.data(), scale.data()};

  const float limits[2] = {0, INFINITY};
  std::vector<char> memory(kancore_plan_size(&plan));
  plan.memory = memory.data();
  kancore_plan(&plan, x.data(), activation.data(), slope.data(), nullptr, nullptr,
               limits, -1, plan.grid_size / 2.0f, 1);
  Floats y(stack * plan.batch * outputs), to_x(stack * plan.batch * plan.inputs);
  kancore_forward(&plan, &all, stack, outputs, y.data(), 1);
  kancore_input_gradient(&plan, gradient.data(), &all, stack, outputs, to_x.data(), 1);
  Floats to[3] = {Floats(edges * splines), Floats(edges), Floats(edges)};
  const Edges to_edges{to[0].data(), to[1].data(), to[2].data()};
  kancore_gradient(&plan, gradient.data(), &all, stack, outputs, &to_edges, 1);
  write(y);
  write(to_x);
  for (const Floats& values : to) write(values);

  Floats buffers[6];
  std::vector<Update> updates;
  for (int i = 0; i < 6; i++) buffers[i] = Floats(i % 3 ? edges : edges * splines);
  for (int64_t s = 0; s < stack; s++) {
    const int64_t at = s * plan.inputs * outputs;
    Update update{2, 0.01f, 0.9f, 0.999f, 1e-8f, 0.01f, {}, {}};
    for (int i = 0; i < 6; i++)
      (i < 3 ? update.first : update.second)[i % 3] = buffers[i].data() + at * (i % 3 ? 1 : splines);
    updates.push_back(update);
  }
  kancore_update(&plan, gradient.data(), &all, stack, outputs, updates.data(), 1, 1);
  for (const Floats& values : {coefficients, base, scale}) write(values);
}
