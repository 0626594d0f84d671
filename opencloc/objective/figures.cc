#include "opencloc/objective/figures.h"

#include <algorithm>
#include <utility>

#include <torch/utils.h>

#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

torch::Tensor scalar(double value) { return torch::scalar_tensor(value, torch::kDouble); }

// [n], on the device where one of them lies there: what lies in main memory goes along.
torch::Tensor beside_each_other(std::vector<torch::Tensor> values) {
  for (const auto& value : values) {
    if (value.device().is_cpu()) continue;
    const auto device = value.device();
    for (auto& other : values) other = ops::to_device(other, device);
    break;
  }
  return torch::stack(values);
}

}  // namespace

void Figures::add(Figure figure) {
  for (auto& known : figures_) {
    if (known.name != figure.name) continue;
    if (figure.kind != Kind::kMean) {
      known.value = known.value + figure.value;
    } else if (known.weight == 0) {
      known = std::move(figure);
    } else if (figure.weight > 0) {
      const double all = known.weight + figure.weight;
      known.value = known.value * (known.weight / all) + figure.value * (figure.weight / all);
      known.weight = all;
    }
    return;
  }
  figures_.push_back(std::move(figure));
}

void Figures::mean(std::string name, const torch::Tensor& value, double weight) {
  add({std::move(name), Kind::kMean, weight > 0 ? value.detach().to(torch::kDouble) : scalar(0),
       weight});
}

void Figures::mean(std::string name, double value, double weight) {
  mean(std::move(name), scalar(value), weight);
}

void Figures::sum(std::string name, const torch::Tensor& value) {
  add({std::move(name), Kind::kSum, value.detach().to(torch::kDouble), 0});
}

void Figures::count(std::string name, int64_t value) {
  add({std::move(name), Kind::kCount, scalar(static_cast<double>(value)), 0});
}

void Figures::merge(const Figures& other) {
  for (const auto& figure : other.figures_) add(figure);
}

void Figures::merge(dist::Group& group) {
  if (group.size() == 1 || figures_.empty()) return;
  // By name: a process without a piece came to its figures in another order.
  std::vector<Figure*> sorted;
  for (auto& figure : figures_) sorted.push_back(&figure);
  std::ranges::sort(sorted, {}, [](const Figure* figure) { return figure->name; });
  std::vector<torch::Tensor> values, weights;
  for (const auto* at : sorted) {
    const auto& figure = *at;
    const double weight = figure.kind == Kind::kMean ? figure.weight : 1;
    values.push_back(weight == 0 ? torch::zeros_like(figure.value) : figure.value * weight);
    weights.push_back(scalar(weight));
  }
  auto sums = beside_each_other(values), all_weights = torch::stack(weights);  // [n]
  if (sums.device().is_cpu()) {
    auto both = torch::stack({sums, all_weights});  // [2, n]
    group.sum(both);
    sums = both[0];
    all_weights = both[1];
  } else {
    group.sum(sums);
    group.sum(all_weights);
  }
  for (size_t i = 0; i < sorted.size(); ++i) {
    auto& figure = *sorted[i];
    const auto at = static_cast<int64_t>(i);
    figure.value = sums[at];
    if (figure.kind != Kind::kMean) continue;
    figure.weight = all_weights[at].item<double>();
    if (figure.weight > 0) figure.value = figure.value / figure.weight;
  }
}

torch::Tensor Figures::stacked() const {
  std::vector<torch::Tensor> values;
  for (const auto& figure : figures_) values.push_back(figure.value);
  return values.empty() ? torch::zeros({0}, torch::kDouble) : beside_each_other(values);
}

Figures Figures::with_values(const torch::Tensor& values) const {
  Figures read = *this;
  for (size_t i = 0; i < figures_.size(); ++i)
    read.figures_[i].value = values[static_cast<int64_t>(i)];
  return read;
}

const Figures::Figure* Figures::find(std::string_view name) const {
  for (const auto& figure : figures_) {
    if (figure.name == name && (figure.kind != Kind::kMean || figure.weight > 0)) return &figure;
  }
  return nullptr;
}

bool Figures::has(std::string_view name) const { return find(name) != nullptr; }

double Figures::at(std::string_view name) const {
  const Figure* figure = find(name);
  return figure == nullptr ? 0 : figure->value.item<double>();
}

Json Figures::values() const {
  Json values = Json::object();
  std::vector<torch::Tensor> told;
  for (const auto& figure : figures_) {
    if (figure.kind != Kind::kMean || figure.weight > 0) told.push_back(figure.value);
  }
  if (told.empty()) return values;
  const auto numbers = beside_each_other(told).cpu();  // [n]
  const auto* number = numbers.data_ptr<double>();
  for (const auto& figure : figures_) {
    if (figure.kind == Kind::kMean && figure.weight <= 0) continue;
    if (figure.kind == Kind::kCount) {
      values[figure.name] = static_cast<int64_t>(*number++);
    } else {
      values[figure.name] = *number++;
    }
  }
  return values;
}

}  // namespace opencloc
