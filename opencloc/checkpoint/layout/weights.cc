#include "opencloc/checkpoint/layout/weights.h"

#include <cmath>
#include <numeric>
#include <sstream>
#include <unordered_set>

#include <torch/utils.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr size_t kNamesShown = 4;
constexpr const char* kNotFinite = "with values that are infinite or no numbers";

// Collects what is wrong under a heading; keeps the first few.
class Complaints {
 public:
  void add(const char* heading, const std::string& text) {
    for (auto& group : groups_) {
      if (group.heading == heading) return group.add(text);
    }
    groups_.push_back({heading, {}, 0});
    groups_.back().add(text);
  }
  void throw_if_any(const std::string& where) const {
    if (groups_.empty()) return;
    std::string what = "the weights do not fit the model";
    for (const auto& group : groups_) {
      what += "; " + std::to_string(group.count) + ' ' + group.heading + ": " + group.shown;
      if (group.count > kNamesShown) what += ", ...";
    }
    const bool fit = groups_.size() == 1 && groups_[0].heading == kNotFinite;
    throw Error::input(what, where,
                       fit ? "get the weights again, or look at how they were trained"
                           : "check that configuration and weights belong together");
  }

 private:
  struct Group {
    std::string heading;
    std::string shown;
    size_t count;
    void add(const std::string& text) {
      if (count++ < kNamesShown) shown += (shown.empty() ? "" : ", ") + text;
    }
  };
  std::vector<Group> groups_;
};

std::string text_of(torch::IntArrayRef shape) {
  std::ostringstream text;
  text << shape;
  return text.str();
}

bool same_shape(torch::IntArrayRef stored, torch::IntArrayRef wanted) {
  // A scalar may be stored as [1].
  return stored == wanted || (wanted.empty() && stored == torch::IntArrayRef{1});
}

// The parameter's value, or undefined when a part is missing or of another kind than `parameter`:
// floating point, or 8-bit.
torch::Tensor assemble(const StoredTensors& files, const StoredAs& stored,
                       const torch::Tensor& parameter, Complaints& complaints) {
  std::vector<torch::Tensor> parts;
  for (const auto& name : stored.names) {
    const StoredTensor* found = files.find(name);
    if (found == nullptr) {
      complaints.add("missing", name);
      continue;
    }
    auto part = found->read();
    if (parameter.is_floating_point() ? part.is_floating_point()
                                      : part.scalar_type() == parameter.scalar_type()) {
      parts.push_back(part);
    } else if (!parameter.is_floating_point()) {
      complaints.add("not of 8 bits", name + " (" + found->dtype + ")");
    } else {
      complaints.add("not floating point", name + " (" + found->dtype + ")");
    }
  }
  if (parts.size() != stored.names.size()) return {};
  switch (stored.form) {
    case StoredAs::Form::kSame:
      return parts[0];
    case StoredAs::Form::kTransposed:
      return parts[0].dim() == 2 ? parts[0].t() : parts[0];
    case StoredAs::Form::kLeadingOnes: {
      auto value = parts[0];
      for (int64_t i = 0; i < stored.leading_ones && value.dim() > 1 && value.size(0) == 1; ++i)
        value = value.squeeze(0);
      return value;
    }
    case StoredAs::Form::kSplitRows:
      break;
  }
  const auto first = parts[0].sizes();
  for (size_t i = 0; i < parts.size(); ++i) {
    auto expected = first.vec();
    if (!expected.empty() && !stored.shares.empty())
      expected[0] = expected[0] / stored.shares[0] * stored.shares[i];
    if (parts[i].sizes() == torch::IntArrayRef(expected) && !first.empty()) continue;
    complaints.add("of another shape than its siblings",
                   stored.names[i] + ' ' + text_of(parts[i].sizes()));
    return {};
  }
  return torch::cat(parts, 0);
}

}  // namespace

void load_weights(const StoredTensors& files, const NamedTensors& parameters, const Naming& naming,
                  const Ignored& ignored) {
  Complaints complaints;
  std::unordered_set<std::string> used;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;  // to, from
  for (const auto& [name, parameter] : parameters) {
    const StoredAs stored = naming(name);
    used.insert(stored.names.begin(), stored.names.end());
    const auto value = assemble(files, stored, parameter, complaints);
    if (!value.defined()) continue;
    if (!same_shape(value.sizes(), parameter.sizes())) {
      complaints.add("of another shape", stored.names[0] + ' ' + text_of(value.sizes()) +
                                             " where the model has " + text_of(parameter.sizes()));
      continue;
    }
    if (value.is_floating_point() && !is_finite(value)) {
      complaints.add(kNotFinite, stored.names[0]);
      continue;
    }
    copies.emplace_back(parameter, value);
  }
  for (const auto& tensor : files.tensors()) {
    if (!used.contains(tensor.name) && !ignored(tensor.name))
      complaints.add("unexpected", tensor.name);
  }
  complaints.throw_if_any(files.path());

  const torch::NoGradGuard no_grad;
  for (auto& [to, from] : copies) to.copy_(from.reshape(to.sizes()));
}

bool is_finite(const torch::Tensor& tensor) {
  if (tensor.numel() == 0) return true;
  // NaN goes through minimum and maximum; no mask of the tensor's size is made.
  const auto [least, most] = torch::aminmax(tensor.to(torch::kFloat32));
  return std::isfinite(least.item<float>()) && std::isfinite(most.item<float>());
}

NamedTensors stored_weights(const NamedTensors& parameters, const Naming& naming) {
  NamedTensors tensors;
  for (const auto& [name, parameter] : parameters) {
    const StoredAs stored = naming(name);
    const auto value = parameter.detach();
    if (stored.form == StoredAs::Form::kSplitRows) {
      auto shares = stored.shares;
      if (shares.empty()) shares.assign(stored.names.size(), 1);
      const int64_t rows =
          value.size(0) / std::accumulate(shares.begin(), shares.end(), int64_t{0});
      int64_t done = 0;
      for (size_t i = 0; i < shares.size(); ++i) {
        tensors.emplace_back(stored.names[i], value.narrow(0, done * rows, shares[i] * rows));
        done += shares[i];
      }
    } else if (stored.form == StoredAs::Form::kLeadingOnes) {
      auto sizes = value.sizes().vec();
      sizes.insert(sizes.begin(), static_cast<size_t>(stored.leading_ones), 1);
      tensors.emplace_back(stored.names[0], value.view(sizes));
    } else {
      const bool transposed = stored.form == StoredAs::Form::kTransposed;
      tensors.emplace_back(stored.names[0], transposed ? value.t() : value);
    }
  }
  return tensors;
}

StoredAs stored_plainly(const std::string& parameter) { return {{parameter}}; }
bool ignore_none(const std::string&) { return false; }

}  // namespace opencloc
