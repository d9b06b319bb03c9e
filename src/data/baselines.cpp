#include "data/baselines.hpp"

#include "base/error.hpp"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

namespace octet {
namespace {

int64_t total_size(std::span<const ByteView> documents) {
  int64_t n = 0;
  for (const ByteView d : documents) n += std::ssize(d);
  OCTET_CHECK(bad_input, n > 0, "no bytes in {} documents, bits per byte are undefined", documents.size());
  return n;
}

/// Calls f(context, byte) for every byte of a document, in order; `context` is what stands before it.
template <class F>
void each_byte(ByteView document, bool restart, const F& f) {
  ByteContext context;
  for (const char c : document) {
    f(context, byte(c));
    context.push(byte(c), restart);
  }
}

}  // namespace

WittenBell::WittenBell(int order, bool restart_at_newline) : order_(order), restart_(restart_at_newline) {
  OCTET_CHECK(bad_config, order >= 0 && order <= ByteContext::kLongest, "order = {}, expected 0..{}", order,
              ByteContext::kLongest);
  strings_.resize(order + 1);
  contexts_.resize(order + 1);
}

void WittenBell::add(ByteView document) {
  OCTET_ASSERT(!finished_);
  total_ += std::ssize(document);
  OCTET_CHECK(resource, total_ <= UINT32_MAX, "{} bytes of text to count, expected at most {}", total_, UINT32_MAX);
  // Cells of large maps are asked for some bytes before they are needed.
  constexpr int kAhead = 8, kSmall = 2;
  struct Pending {
    ByteContext context;
    uint8_t next = 0;
  } ring[kAhead];
  int64_t seen = 0;
  const auto count = [&](const Pending& p) {
    for (int j = 0; j <= std::min(order_, p.context.size); ++j) ++strings_[j].at(p.context.tail(j) << 8 | p.next).n;
  };
  each_byte(document, restart_, [&](const ByteContext& context, uint8_t next) {
    Pending& p = ring[seen % kAhead];
    if (seen >= kAhead) count(p);
    p = {context, next};
    for (int j = kSmall; j <= std::min(order_, context.size); ++j) strings_[j].prefetch(context.tail(j) << 8 | next);
    ++seen;
  });
  for (int64_t i = std::max<int64_t>(0, seen - kAhead); i < seen; ++i) count(ring[i % kAhead]);
}

void WittenBell::finish() {
  OCTET_ASSERT(!finished_);
  for (int j = 0; j <= order_; ++j) {
    strings_[j].each([&](const CountMap::Slot& string) {
      CountMap::Slot& context = contexts_[j].at(string.key() >> 8);
      context.n += string.n;
      ++context.distinct;
    });
  }
  finished_ = true;
}

double WittenBell::probability(const ByteContext& context, uint8_t next) const {
  double p = 1.0 / 256;
  for (int j = 0; j <= std::min(order_, context.size); ++j) {
    const uint64_t c = context.tail(j);
    const CountMap::Slot* const all = contexts_[j].find(c);
    if (!all) break;  // then no longer context was seen either
    const CountMap::Slot* const string = strings_[j].find(c << 8 | next);
    p = ((string ? string->n : 0) + all->distinct * p) / (static_cast<double>(all->n) + all->distinct);
  }
  return p;
}

double WittenBell::bits(ByteView document) const {
  OCTET_ASSERT(finished_);
  double sum = 0;
  each_byte(document, restart_,
            [&](const ByteContext& context, uint8_t next) { sum -= std::log2(probability(context, next)); });
  return sum;
}

double WittenBell::bits_per_byte(std::span<const ByteView> documents) const {
  const int64_t n = total_size(documents);
  double sum = 0;
  for (const ByteView d : documents) sum += bits(d);
  return sum / static_cast<double>(n);
}

int64_t WittenBell::memory() const {
  int64_t sum = 0;
  for (int j = 0; j <= order_; ++j) sum += strings_[j].memory() + contexts_[j].memory();
  return sum;
}

double zstd_bits_per_byte(std::span<const ByteView> documents) {
  const int64_t n = total_size(documents);
  Bytes all;
  all.reserve(n);
  for (const ByteView d : documents) all += d;
  const auto check = [](size_t result) {
    OCTET_CHECK(resource, !ZSTD_isError(result), "zstd: {}", ZSTD_getErrorName(result));
    return result;
  };
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> zstd(ZSTD_createCCtx(), ZSTD_freeCCtx);
  const int window = std::clamp(static_cast<int>(std::bit_width(static_cast<uint64_t>(n))), 20, 27);
  check(ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_compressionLevel, 19));
  check(ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_enableLongDistanceMatching, 1));
  check(ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_windowLog, window));
  Bytes packed(ZSTD_compressBound(all.size()), '\0');
  const size_t size = check(ZSTD_compress2(zstd.get(), packed.data(), packed.size(), all.data(), all.size()));
  return 8.0 * static_cast<double>(size) / static_cast<double>(n);
}

}  // namespace octet
