#include "infer/windows.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace octet {

std::vector<Batch> scoring_windows(const Codec& codec, bool bos, ByteView text, int64_t window, int64_t stride) {
  OCTET_ASSERT(stride >= 1 && stride <= window && (bos || window >= 2));
  std::vector<int32_t> units = codec.encode(text);
  if (codec.eos() >= 0) units.push_back(codec.eos());
  const int64_t n = std::ssize(units);
  std::vector<Batch> out;
  int64_t done = 0;  // units scored, or never to be
  for (int64_t begin = 0; done < n; begin += stride) {
    const int64_t end = std::min(n, begin + window);
    std::vector<int32_t> ids;
    if (bos) ids.push_back(codec.bos());
    ids.insert(ids.end(), units.begin() + begin, units.begin() + end - 1);
    if (!ids.empty()) {
      Batch row = single_row(ids, codec.eos());
      const int64_t first = bos ? begin : begin + 1;  // unit that position 0 predicts
      for (int64_t i = 0; i < row.size(); ++i) {
        const bool wanted = first + i >= done;
        row.targets[static_cast<size_t>(i)] = wanted ? units[static_cast<size_t>(first + i)] : -1;
        row.weights[static_cast<size_t>(i)] = wanted ? 1 : 0;
      }
      out.push_back(std::move(row));
    }
    done = end;
  }
  return out;
}

}  // namespace octet
