// Patch lengths and hash rows of small published-format models, made by another implementation.
#include "base/json.hpp"
#include "data/formats/safetensors.hpp"
#include "data/ngram_hash.hpp"
#include "data/patching.hpp"
#include "tests/support/support.hpp"

#include <algorithm>

namespace octet {
namespace {

struct GoldenCase {
  Json config;
  Batch batch;
  std::vector<float> entropies;
  std::vector<int64_t> lengths, hash_rows;  // [R, P] with zeros at the right end; [tables, R, N]
  int64_t longest = 0;                      // P
};

GoldenCase read_case(const std::string& folder) {
  const Context context = test::test_context();
  GoldenCase c;
  c.config = parse_json(context.files->read(join_path(folder, "config.json")), "config.json");
  const Safetensors file = open_safetensors(*context.files, join_path(folder, "expected.safetensors"));
  const auto shape = file.info("ids").shape;
  const auto ids = file.i64("ids");
  std::vector<std::vector<int32_t>> rows;
  for (int64_t r = 0; r < shape[0]; ++r)
    rows.emplace_back(ids.begin() + r * shape[1], ids.begin() + (r + 1) * shape[1]);
  c.batch = rows_of(rows, -1);
  c.entropies = file.f32("entropies");
  c.lengths = file.i64("patch_lengths");
  c.hash_rows = file.i64("hash_rows");
  c.longest = file.info("patch_lengths").shape[1];
  return c;
}

void expect_golden(const GoldenCase& c) {
  PatcherConfig config{.kind = PatcherKind::entropy, .threshold = c.config.at("patching_threshold").get<double>()};
  if (c.config.at("max_patch_length").is_number()) config.max_patch_length = c.config.at("max_patch_length");
  Batch batch = c.batch;
  set_patch_lengths(batch, config, {c.entropies, {}});
  std::vector<int64_t> padded;
  for (int64_t r = 0; r < batch.row_count(); ++r) {
    padded.insert(padded.end(), batch.patch_lengths.begin() + batch.patch_cuts[r],
                  batch.patch_lengths.begin() + batch.patch_cuts[r + 1]);
    padded.resize((r + 1) * c.longest, 0);
  }
  EXPECT_EQ(padded, c.lengths);

  NgramHashConfig hash;
  hash.sizes = c.config.at("encoder_hash_byte_group_size").get<std::vector<int64_t>>();
  hash.functions = c.config.at("encoder_hash_byte_group_nb_functions");
  hash.rows = c.config.at("encoder_hash_byte_group_vocab");
  const auto got = NgramHash(hash).rows(batch.ids, batch.rows);
  EXPECT_TRUE(std::equal(got.begin(), got.end(), c.hash_rows.begin(), c.hash_rows.end()));
}

TEST(PatchingGolden, LengthsAndHashRows) {
  OCTET_NEEDS_SHARED(folder, "golden/blt");
  int cases = 0;
  for (const std::string& name : test::test_context().files->list(folder)) {
    SCOPED_TRACE(name);
    expect_golden(read_case(join_path(folder, name)));
    ++cases;
  }
  EXPECT_GE(cases, 6);
}

}  // namespace
}  // namespace octet
