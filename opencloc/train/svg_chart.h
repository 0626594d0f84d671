// A line chart as inline SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace opencloc {

struct ChartLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending; y not finite = a gap
};
// Lines share both axes. More than 800 points a line are averaged down. Empty string without any
// point.
std::string svg_chart(const std::string& title, const std::vector<ChartLine>& lines);

}  // namespace opencloc
