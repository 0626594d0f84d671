#include "opencloc/train/svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/html.h"

namespace opencloc {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr double kWidth = 460, kHeight = 230;  // of the whole chart, px
constexpr double kLeft = 66, kRight = 16, kTop = 12, kBottom = 28;
constexpr size_t kMostPoints = 800;
constexpr std::array<const char*, 6> kColours = {"#2563eb", "#dc2626", "#059669",
                                                 "#d97706", "#7c3aed", "#475569"};

Points thinned(const Points& points) {
  if (points.size() <= kMostPoints) return points;
  Points out;
  const double stride = static_cast<double>(points.size()) / kMostPoints;
  for (size_t i = 0; i < kMostPoints; ++i) {
    const auto begin = static_cast<size_t>(static_cast<double>(i) * stride);
    const auto end = std::max(begin + 1, static_cast<size_t>(static_cast<double>(i + 1) * stride));
    double x = 0, y = 0;
    for (size_t k = begin; k < end; ++k) {
      x += points[k].first;
      y += points[k].second;
    }
    const auto count = static_cast<double>(end - begin);
    out.emplace_back(x / count, y / count);
  }
  return out;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// 1, 2 or 5 times a power of ten, so that about `count` of them fill the range.
double tick_step(double length, int count) {
  const double raw = length / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

std::string label(double value) {
  if (std::abs(value) >= 1e6) return fmt::format("{:g} M", value / 1e6);
  if (std::abs(value) >= 1e4) return fmt::format("{:g} k", value / 1e3);
  return fmt::format("{:.6g}", std::abs(value) < 1e-12 ? 0.0 : value);
}

class Plot {
 public:
  Plot(Range x, Range y) : x_(x), y_(y) {}
  double px(double x) const {
    return kLeft + (x - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight);
  }
  double py(double y) const {
    return kHeight - kBottom - (y - y_.low) / (y_.high - y_.low) * (kHeight - kTop - kBottom);
  }

  std::string grid() const {
    std::string svg;
    const double step_y = tick_step(y_.high - y_.low, 4);
    for (double y = std::ceil(y_.low / step_y) * step_y; y <= y_.high; y += step_y) {
      svg += fmt::format(R"(<line x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}" class="g"/>)"
                         R"(<text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>)",
                         kLeft, kWidth - kRight, py(y), kLeft - 6, py(y) + 5, label(y));
    }
    const double step_x = tick_step(x_.high - x_.low, 5);
    for (double x = std::ceil(x_.low / step_x) * step_x; x <= x_.high; x += step_x) {
      svg += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", px(x),
                         kHeight - 8, label(x));
    }
    return svg;
  }

  std::string line(const Points& points, const char* colour) const {
    std::string path;
    bool down = false;  // the pen
    for (const auto& [x, y] : points) {
      if (!std::isfinite(y)) {
        down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", px(x), py(y));
      down = true;
    }
    std::string svg = fmt::format(R"(<path d="{}" stroke="{}"/>)", path, colour);
    if (points.size() == 1) {
      svg += fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="2.5" fill="{}"/>)",
                         px(points[0].first), py(points[0].second), colour);
    }
    return svg;
  }

 private:
  Range x_, y_;
};

}  // namespace

std::string svg_chart(const std::string& title, const std::vector<ChartLine>& lines) {
  Range x, y;
  std::vector<Points> drawn;
  for (const auto& line : lines) {
    drawn.push_back(thinned(line.points));
    for (const auto& [at, value] : drawn.back()) {
      x.add(at);
      y.add(value);
    }
  }
  if (x.empty() || y.empty()) return "";
  if (x.high == x.low) x = {x.low - 1, x.high + 1};
  const double pad =
      y.high > y.low ? 0.04 * (y.high - y.low) : std::max(1e-6, 0.1 * std::abs(y.high));
  y = {y.low - pad, y.high + pad};

  const Plot plot(x, y);
  std::string svg = fmt::format(
      R"(<figure class="chart"><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img">)",
      html_escape(title), kWidth, kHeight);
  svg += plot.grid();
  std::string legend;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (drawn[i].empty()) continue;
    const char* colour = kColours[i % kColours.size()];
    svg += plot.line(drawn[i], colour);
    legend += fmt::format(R"(<span><i style="background:{}"></i>{}</span>)", colour,
                          html_escape(lines[i].name));
  }
  return svg + R"(</svg><div class="legend">)" + legend + "</div></figure>\n";
}

}  // namespace opencloc
