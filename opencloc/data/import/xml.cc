#include "opencloc/data/import/xml.h"

#include "opencloc/base/text_file.h"

namespace opencloc {

bool xml_is_called(const xmlNode* node, std::string_view name) {
  return node->type == XML_ELEMENT_NODE && name == reinterpret_cast<const char*>(node->name);
}

const xmlNode* xml_child(const xmlNode* node, std::string_view name) {
  if (node == nullptr) return nullptr;
  for (const xmlNode* c = node->children; c != nullptr; c = c->next) {
    if (xml_is_called(c, name)) return c;
  }
  return nullptr;
}

std::string xml_text(const xmlNode* node) {
  if (node == nullptr) return {};
  struct FreeText {
    void operator()(xmlChar* t) const { xmlFree(t); }
  };
  const std::unique_ptr<xmlChar, FreeText> text(xmlNodeGetContent(node));
  return std::string(trimmed(text ? reinterpret_cast<const char*>(text.get()) : ""));
}

bool xml_number(const xmlNode* node, double& value) {
  const auto number = parse_number(xml_text(node));
  value = number.value_or(0);
  return number.has_value();
}

}  // namespace opencloc
