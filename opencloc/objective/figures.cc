#include "opencloc/objective/figures.h"

#include <algorithm>
#include <utility>

#include <torch/utils.h>

namespace opencloc {
namespace {

torch::Tensor scalar(double value) { return torch::scalar_tensor(value, torch::kDouble); }

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
    values.push_back((weight == 0 ? torch::zeros_like(figure.value) : figure.value * weight).cpu());
    weights.push_back(scalar(weight));
  }
  auto all = torch::stack({torch::stack(values), torch::stack(weights)});  // [2, n]
  group.sum(all);
  for (size_t i = 0; i < sorted.size(); ++i) {
    auto& figure = *sorted[i];
    const auto at = static_cast<int64_t>(i);
    figure.value = all[0][at];
    if (figure.kind != Kind::kMean) continue;
    figure.weight = all[1][at].item<double>();
    if (figure.weight > 0) figure.value = figure.value / figure.weight;
  }
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
  // Counts lie on the CPU already; what lies on a device comes in one piece.
  const auto device = told.back().device();
  for (auto& value : told) value = value.to(device);
  const auto numbers = torch::stack(told).cpu();  // [n]
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
