#include <algorithm>
#include <vector>

#include "opencloc/kernels/gemm/gemm_bf16.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

constexpr int64_t kDepthLimit =
    320;  // rows packed at once: a panel is 20 KiB, two fit the first-level cache
constexpr int64_t kAreaLimit = 192 * 768;  // of dw held by one task: it stays in the cache in F32
constexpr int64_t kSideLimit = 768;

int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// C [left, right] = A^T B over all rows, cut into `parts` of the rows times areas of C. The left
// operand costs a transpose of every tile, so it is the narrower matrix.
struct Plan {
  int64_t left, right;            // columns of A, of B
  int64_t left_step, right_step;  // an area, multiples of 32
  int64_t left_areas, right_areas;
  int64_t parts, part_rows;
  int64_t area_elements;

  int64_t tasks() const { return left_areas * right_areas * parts; }
};

Plan make_plan(int64_t rows, int64_t left, int64_t right) {
  Plan p{};
  p.left = left;
  p.right = right;
  const int64_t left_limit = right <= kSideLimit ? kAreaLimit / kSideLimit : kSideLimit / 2;
  p.left_areas = std::max<int64_t>(1, (left + left_limit - 1) / left_limit);
  p.left_step = rounded_up((left + p.left_areas - 1) / p.left_areas, 32);
  const int64_t right_limit = std::min(kSideLimit, kAreaLimit / std::max<int64_t>(32, p.left_step));
  p.right_areas = std::max<int64_t>(1, (right + right_limit - 1) / right_limit);
  p.right_step = rounded_up((right + p.right_areas - 1) / p.right_areas, 32);
  p.parts = 1;  // by the shape alone: the sums do not depend on the number of threads
  while (p.left_areas * p.right_areas * p.parts < 8 && rows / p.parts >= 1024) p.parts *= 2;
  p.part_rows = rounded_up((rows + p.parts - 1) / p.parts, 32);
  p.area_elements = p.left_step * p.right_step;
  return p;
}

const void* element_at(const MatrixView& m, int64_t row, int64_t column) {
  const int64_t element = m.is_bf16 ? sizeof(bf16) : sizeof(float);
  return static_cast<const char*>(m.data) + (row * m.stride + column) * element;
}

struct TaskScratch {
  AlignedBuffer<bf16> left, right;
  AlignedBuffer<float> area;
};

// One area of C over one part of the rows, as blocks [left / 32][right / 32][32][32].
struct Task {
  int64_t part, left0, right0, left_count, right_count;
};
Task task_at(const Plan& p, int64_t index) {
  Task t{};
  t.part = index % p.parts;
  const int64_t area = index / p.parts;
  t.left0 = area / p.right_areas * p.left_step;
  t.right0 = area % p.right_areas * p.right_step;
  t.left_count = std::max<int64_t>(0, std::min(p.left_step, p.left - t.left0));
  t.right_count = std::max<int64_t>(0, std::min(p.right_step, p.right - t.right0));
  return t;
}

void run_task(const KernelTable& table, const Plan& p, const Task& t, const MatrixView& a,
              const MatrixView& b, TaskScratch& scratch, float* c, float* left_sums,
              float* right_sums) {
  const int64_t begin = std::min(a.rows, t.part * p.part_rows);
  const int64_t end = std::min(a.rows, begin + p.part_rows);
  const int64_t left_blocks = blocks_of_32(t.left_count);
  const int64_t right_blocks = blocks_of_32(t.right_count);
  if (begin == end) std::fill_n(c, p.area_elements, 0.0f);
  const int64_t steps = (end - begin + kDepthLimit - 1) / kDepthLimit;
  const int64_t step = steps == 0 ? 0 : rounded_up((end - begin + steps - 1) / steps, 32);
  table.begin_blocks();
  for (int64_t row = begin; row < end; row += step) {
    const int64_t depth = std::min(step, end - row), depth_blocks = blocks_of_32(depth);
    bf16* left = scratch.left.ensure(packed_elements(t.left_count, depth));
    bf16* right = scratch.right.ensure(packed_elements(t.right_count, depth));
    table.pack_columns({element_at(a, row, t.left0), a.is_bf16, t.left_count, depth, a.stride},
                       TileSide::kLeft, left_sums, left);
    table.pack_columns({element_at(b, row, t.right0), b.is_bf16, t.right_count, depth, b.stride},
                       TileSide::kRight, right_sums, right);
    const int64_t panel = depth_blocks * 2 * kTileElements;
    for (int64_t j = 0; j < right_blocks; ++j) {
      for (int64_t i = 0; i < left_blocks; ++i) {
        table.block(depth_blocks, left + i * panel, right + j * panel,
                    c + (i * right_blocks + j) * 32 * 32, row > begin);
      }
    }
  }
  table.end_blocks();
}

// One area of dw = C, or its transpose, summed over the parts: `parts` of them, area_elements
// apart.
void write_area(const Plan& p, const Task& t, const float* c, int64_t parts, bool transposed,
                float* dw) {
  const int64_t right_blocks = blocks_of_32(t.right_count);
  const int64_t row_step = transposed ? 1 : p.right, column_step = transposed ? p.left : 1;
  float block[32 * 32];
  for (int64_t i0 = 0; i0 < t.left_count; i0 += 32) {
    for (int64_t j0 = 0; j0 < t.right_count; j0 += 32) {
      const float* from = c + (i0 / 32 * right_blocks + j0 / 32) * 32 * 32;
      std::copy_n(from, 32 * 32, block);
      for (int64_t part = 1; part < parts; ++part) {
        for (int64_t e = 0; e < 32 * 32; ++e) block[e] += from[part * p.area_elements + e];
      }
      float* to = dw + (t.left0 + i0) * row_step + (t.right0 + j0) * column_step;
      const int64_t rows = std::min<int64_t>(32, t.left_count - i0);
      const int64_t columns = std::min<int64_t>(32, t.right_count - j0);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          to[i * row_step + j * column_step] = block[i * 32 + j];
        }
      }
    }
  }
}

}  // namespace

void weight_gradient_bf16(const MatrixView& dy, const MatrixView& x, float* dw, float* dbias) {
  const bool dy_left = dy.columns <= x.columns;
  const MatrixView &a = dy_left ? dy : x, &b = dy_left ? x : dy;
  const Plan plan = make_plan(dy.rows, a.columns, b.columns);
  const KernelTable& table = kernel_table();
  thread_local AlignedBuffer<float> kept;  // the caller's: all parts, until they are summed
  float* parts = plan.parts == 1 ? nullptr : kept.ensure(plan.tasks() * plan.area_elements);
  std::vector<float> sums(static_cast<size_t>(plan.parts * dy.columns));  // [parts, O]
  parallel_items(plan.tasks(), [&](int64_t index) {
    thread_local TaskScratch scratch;
    const Task task = task_at(plan, index);
    // Each column of dy is summed by the one task of its part that is first along the other side.
    float* task_sums = nullptr;
    if (dbias != nullptr && (dy_left ? task.right0 : task.left0) == 0) {
      task_sums = sums.data() + task.part * dy.columns + (dy_left ? task.left0 : task.right0);
    }
    float* c = parts == nullptr ? scratch.area.ensure(plan.area_elements)
                                : parts + index * plan.area_elements;
    run_task(table, plan, task, a, b, scratch, c, dy_left ? task_sums : nullptr,
             dy_left ? nullptr : task_sums);
    if (parts == nullptr) write_area(plan, task, c, 1, !dy_left, dw);
  });
  if (parts != nullptr) {
    parallel_items(plan.left_areas * plan.right_areas, [&](int64_t area) {
      const int64_t first = area * plan.parts;
      write_area(plan, task_at(plan, first), parts + first * plan.area_elements, plan.parts,
                 !dy_left, dw);
    });
  }
  if (dbias != nullptr) table.column_sums(plan.parts, dy.columns, sums.data(), dbias);
}

}  // namespace opencloc::kernels
