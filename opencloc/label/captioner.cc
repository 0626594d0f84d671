#include "opencloc/label/captioner.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/html.h"
#include "opencloc/base/json.h"

namespace opencloc {
namespace {

constexpr size_t kLongest = 4000;

std::string data_url(const CaptionRequest& request) {
  const std::string& extension = request.extension;
  const std::string type = extension == "jpg" ? "jpeg" : extension;
  return "data:image/" + type + ";base64," + base64(request.image);
}

std::string filled(std::string prompt, const std::string& alt_text) {
  constexpr std::string_view kPlace = "{alt_text}";
  for (size_t at = prompt.find(kPlace); at != std::string::npos;
       at = prompt.find(kPlace, at + alt_text.size())) {
    prompt.replace(at, kPlace.size(), alt_text);
  }
  return prompt;
}

class HttpCaptioner : public Captioner {
 public:
  explicit HttpCaptioner(const HttpCaptionerOptions& options)
      : options_(options), client_(options.url, options.http) {}

  std::string model() const override { return options_.model; }
  std::string prompt() const override { return options_.prompt; }

  CaptionAnswer ask(const CaptionRequest& request) const override {
    const Json content =
        Json::array({{{"type", "text"}, {"text", filled(options_.prompt, request.alt_text)}},
                     {{"type", "image_url"}, {"image_url", {{"url", data_url(request)}}}}});
    const Json body = {{"model", options_.model},
                       {"messages", Json::array({{{"role", "user"}, {"content", content}}})},
                       {"max_tokens", options_.max_tokens},
                       {"temperature", 0},
                       {"seed", 0}};
    return read(client_.post_json("/chat/completions", dump_json(body)));
  }

 private:
  static CaptionAnswer read(const HttpAnswer& answer) {
    if (answer.status == 0) return {{}, answer.error, true, 0};
    if (answer.status != 200) {
      const bool retry = answer.status >= 500 || answer.status == 429 || answer.status == 408;
      return {{}, "status " + std::to_string(answer.status), retry, answer.retry_after};
    }
    CaptionAnswer result;
    try {
      const Json json = parse_json(answer.body, "captioner");
      const Json& content = json.at("choices").at(0).at("message").at("content");
      result.text = clean_caption(content.get<std::string>(), result.failure);
    } catch (const Error&) {
      result.failure = "answer is not JSON";
    } catch (const nlohmann::json::exception&) {
      result.failure = "answer of another form";
    }
    result.retry = result.text.empty() && result.failure != "refusal";
    return result;
  }

  const HttpCaptionerOptions options_;
  const HttpClient client_;
};

// The words of a text, more than `most` of which are one and the same run of three.
bool repeats_itself(const std::string& text) {
  constexpr int kMost = 8;
  std::unordered_map<std::string, int> seen;
  std::string last[2];
  for (size_t i = 0; i < text.size();) {
    const size_t end = std::min(text.find(' ', i), text.size());
    std::string word = text.substr(i, end - i);
    if (++seen[last[0] + ' ' + last[1] + ' ' + word] > kMost) return true;
    last[0] = std::exchange(last[1], std::move(word));
    i = end + 1;
  }
  return false;
}

bool is_refusal(const std::string& text) {
  std::string start = text.substr(0, 60);
  std::transform(start.begin(), start.end(), start.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const std::string_view sign : {"i'm sorry", "i am sorry", "i cannot", "i can't", "i can’t",
                                      "as an ai", "i'm unable", "i am unable"}) {
    if (start.find(sign) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

std::string clean_caption(const std::string& text, std::string& failure) {
  // Through JSON's own writer and back: invalid UTF-8 becomes U+FFFD.
  const std::string valid = Json::parse(dump_json(Json(text))).get<std::string>();
  std::string clean;
  for (size_t i = 0; i < valid.size(); ++i) {
    if (valid[i] == '<' && valid.compare(i, 2, "<|") == 0) {  // <|im_end|>
      const size_t end = valid.find("|>", i);
      if (end != std::string::npos) {
        i = end + 1;
        continue;
      }
    }
    const auto c = static_cast<unsigned char>(valid[i]);
    if (c > 0x20 && c != 0x7f) {
      clean += valid[i];
    } else if (!clean.empty() && clean.back() != ' ') {
      clean += ' ';
    }
  }
  if (clean.size() > kLongest) {
    size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(clean[end]) & 0xc0) == 0x80) --end;
    clean.resize(end);
  }
  while (clean.ends_with(' ')) clean.pop_back();
  const bool has_letter = std::any_of(clean.begin(), clean.end(), [](unsigned char c) {
    return std::isalpha(c) != 0 || c >= 0x80;
  });
  failure = !has_letter             ? "empty"
            : is_refusal(clean)     ? "refusal"
            : repeats_itself(clean) ? "repeats itself"
                                    : "";
  return failure.empty() ? clean : "";
}

std::unique_ptr<Captioner> http_captioner(const HttpCaptionerOptions& options) {
  return std::make_unique<HttpCaptioner>(options);
}

}  // namespace opencloc
