#include "data/table_patcher.hpp"

#include "data/codec.hpp"

#include <algorithm>
#include <cmath>

namespace octet {
namespace {

constexpr int64_t kPair = 65536, kTriple = 1 << 24;

ByteContext context_of(uint64_t bytes, int size) { return {bytes, size}; }

/// Entropy in nats of every context of order j that was seen; shorter(c) is that of the context without its oldest
/// byte. With q_b = l p'(b), l = u/(n+u), only the seen successors differ from q, so O(successors):
///   h(c) = l (h(c') - ln l) + sum over seen b of (q ln q - p ln p)
class ContextEntropies {
 public:
  ContextEntropies(const WittenBell& model, int order) : model_(model), order_(order) {}

  template <class Shorter>
  std::vector<std::pair<uint64_t, double>> compute(const Shorter& shorter) const {
    std::vector<uint64_t> strings;
    strings.reserve(model_.strings(order_).size());
    model_.strings(order_).each([&](const CountMap::Slot& s) { strings.push_back(s.key()); });
    std::sort(strings.begin(), strings.end());  // sums in an order of their own
    std::vector<std::pair<uint64_t, double>> out;
    for (size_t i = 0; i < strings.size();) {
      const uint64_t c = strings[i] >> 8;
      const auto& all = *model_.contexts(order_).find(c);
      const double l = all.distinct / (static_cast<double>(all.n) + all.distinct);
      double h = l * (shorter(c) - std::log(l));
      for (; i < strings.size() && strings[i] >> 8 == c; ++i) h += seen_byte(c, strings[i] & 0xFF, l);
      out.emplace_back(c, std::max(h, 0.0));
    }
    return out;
  }

 private:
  double seen_byte(uint64_t c, uint64_t b, double l) const {
    const double p = model_.probability(context_of(c, order_), static_cast<uint8_t>(b));
    const double below =
        order_ == 0 ? 1.0 / 256 : model_.probability(context_of(c, order_ - 1), static_cast<uint8_t>(b));
    const double q = l * below;
    return q * std::log(q) - p * std::log(p);
  }
  const WittenBell& model_;
  int order_;
};

void check_values(const char* name, const std::vector<float>& h, int64_t expected) {
  OCTET_CHECK(bad_file, std::ssize(h) == expected, "entropy table: {} has {} values, expected {}", name, h.size(),
              expected);
  for (const float v : h) {
    OCTET_CHECK(bad_file, std::isfinite(v) && v >= 0, "entropy table: {} holds {}, expected finite numbers >= 0", name,
                v);
  }
}

void check_data(const EntropyTableData& data) {
  OCTET_CHECK(bad_file, data.order >= 1 && data.order <= 3, "entropy table: order {}, expected 1..3", data.order);
  check_values("h0", data.h0, 1);
  check_values("h1", data.h1, 256);
  check_values("h2", data.h2, data.order >= 2 ? kPair : 0);
  check_values("h3", data.h3, std::ssize(data.contexts));
  OCTET_CHECK(bad_file, data.order == 3 || data.contexts.empty(),
              "entropy table: {} contexts, expected none for order {}", data.contexts.size(), data.order);
  int64_t last = -1;
  for (const int32_t c : data.contexts) {
    OCTET_CHECK(bad_file, c > last && c < kTriple,
                "entropy table: context {} after {}, expected ascending numbers below {}", c, last, kTriple);
    last = c;
  }
}

}  // namespace

EntropyTable EntropyTable::build(std::span<const ByteView> documents, const PatcherConfig& config) {
  OCTET_CHECK(bad_config, config.order >= 1 && config.order <= 3, "patcher.order = {}, expected 1..3", config.order);
  const int order = static_cast<int>(config.order);
  WittenBell model(order, config.entropy_reset == EntropyReset::newline);
  for (const ByteView d : documents) model.add(d);
  model.finish();

  std::vector<double> h0 = {std::log(256.0)}, h1(256), h2;
  for (const auto& [c, h] : ContextEntropies(model, 0).compute([](uint64_t) { return std::log(256.0); })) h0[c] = h;
  std::fill(h1.begin(), h1.end(), h0[0]);
  for (const auto& [c, h] : ContextEntropies(model, 1).compute([&](uint64_t) { return h0[0]; })) h1[c] = h;
  EntropyTableData data{.order = order, .reset = config.entropy_reset};
  if (order >= 2) {
    h2.resize(kPair);
    for (int64_t c = 0; c < kPair; ++c) h2[c] = h1[c & 0xFF];
    for (const auto& [c, h] : ContextEntropies(model, 2).compute([&](uint64_t c) { return h1[c & 0xFF]; })) h2[c] = h;
  }
  if (order == 3) {
    for (const auto& [c, h] : ContextEntropies(model, 3).compute([&](uint64_t c) { return h2[c & 0xFFFF]; })) {
      if (model.contexts(3).find(c)->n < config.min_count) continue;
      data.contexts.push_back(static_cast<int32_t>(c));
      data.h3.push_back(static_cast<float>(h));
    }
  }
  data.h0.assign(h0.begin(), h0.end());
  data.h1.assign(h1.begin(), h1.end());
  data.h2.assign(h2.begin(), h2.end());
  return EntropyTable(std::move(data));
}

EntropyTable::EntropyTable(EntropyTableData data) : data_(std::move(data)) {
  check_data(data_);
  if (data_.order < 3) return;
  page_of_.assign(kPair, -1);
  std::vector<int32_t> pairs;
  for (const int32_t c : data_.contexts) {
    int32_t& page = page_of_[c & 0xFFFF];
    if (page >= 0) continue;
    page = static_cast<int32_t>(pairs.size());
    pairs.push_back(c & 0xFFFF);
  }
  pages_.resize(pairs.size() * 256);
  for (size_t p = 0; p < pairs.size(); ++p) std::fill_n(pages_.begin() + p * 256, 256, data_.h2[pairs[p]]);
  for (size_t i = 0; i < data_.contexts.size(); ++i) {
    const int32_t c = data_.contexts[i];
    pages_[page_of_[c & 0xFFFF] * int64_t{256} + (c >> 16)] = data_.h3[i];
  }
}

inline float EntropyTable::lookup(const ByteContext& context) const {
  const int64_t size = std::min<int64_t>(data_.order, context.size);
  if (size >= 2) [[likely]] {
    const uint64_t pair = context.tail(2);
    const int32_t page = size == 3 ? page_of_[pair] : -1;
    return page < 0 ? data_.h2[pair] : pages_[page * int64_t{256} + (context.tail(3) >> 16)];
  }
  return size == 1 ? data_.h1[context.tail(1)] : data_.h0[0];
}

float EntropyTable::step(ByteContext& context, int32_t id) const {
  if (id < ByteCodec::kOffset) {
    context = {};
  } else {
    context.push(static_cast<uint8_t>(id - ByteCodec::kOffset), data_.reset == EntropyReset::newline);
  }
  return lookup(context);
}

void EntropyTable::entropies(std::span<const int32_t> ids, std::span<const int64_t> cuts, float* out) const {
  for (size_t r = 0; r + 1 < cuts.size(); ++r) {
    ByteContext context;
    for (int64_t i = cuts[r]; i < cuts[r + 1]; ++i) out[i] = step(context, ids[i]);
  }
}

std::vector<float> EntropyTable::entropies(std::span<const int32_t> ids, std::span<const int64_t> cuts) const {
  std::vector<float> out(ids.size());
  entropies(ids, cuts, out.data());
  return out;
}

void set_patch_lengths(Batch& batch, const PatcherConfig& config, const EntropyTable& table) {
  OCTET_CHECK(bad_config, config.kind == PatcherKind::table, "patcher.kind = {}, expected table",
              enum_name(config.kind));
  set_patch_lengths(batch, config, {table.entropies(batch.ids, batch.rows), {}});
}

}  // namespace octet
