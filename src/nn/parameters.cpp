#include "nn/parameters.hpp"

#include "base/error.hpp"

namespace octet {

void Parameter::clear_grad() {
  value.mutable_grad() = Tensor();
  row_gradient = {};
}

Parameters::Item Parameters::add(const std::string& name, std::vector<int64_t> shape) {
  auto item = std::make_shared<Parameter>();
  item->name = name;
  item->value = at::zeros(shape, at::kFloat);
  item->value.set_requires_grad(true);
  add_item(name, item);
  return item;
}

void Parameters::add_item(const std::string& name, Item item) {
  OCTET_CHECK(internal, index_.emplace(name, items_.size()).second, "parameter {} registered twice", name);
  items_.emplace_back(name, std::move(item));
}

void Parameters::add_all(const Parameters& other, const std::string& prefix) {
  for (const auto& [name, item] : other.items_) add_item(prefix + name, item);
}

Parameters::Item Parameters::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : items_[it->second].second;
}

Parameter& Parameters::at(const std::string& name) const {
  const auto item = find(name);
  OCTET_CHECK(internal, item, "no parameter {}", name);
  return *item;
}

int64_t Parameters::count() const {
  int64_t n = 0;
  for (const auto& [name, item] : items_) n += item->value.numel();
  return n;
}

int64_t Parameters::trained_count() const {
  int64_t n = 0;
  for (const auto& [name, item] : items_) n += item->trained ? item->value.numel() : 0;
  return n;
}

void Parameters::clear_grads() {
  for (const auto& [name, item] : items_) item->clear_grad();
}

void Parameters::set_trained(const std::string& pattern, bool trained) {
  for (const auto& [name, item] : items_) {
    if (!matches(pattern, name)) continue;
    item->trained = trained;
    item->value.set_requires_grad(trained && item->value.is_floating_point());
  }
}

void Parameters::convert(at::ScalarType dtype) {
  for (const auto& [name, item] : items_) {
    if (!item->value.is_floating_point()) continue;
    item->value = item->value.detach().to(dtype).contiguous();
    item->value.set_requires_grad(item->trained);
    item->row_gradient = {};
  }
}

bool matches(const std::string& pattern, const std::string& name) {
  size_t p = 0, n = 0, star = std::string::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++, mark = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string::npos) {
      p = star + 1, n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace octet
