// The table [model] of a config. No libtorch here: the launcher reads configs too.
#pragma once
#include "data/ngram_hash.hpp"
#include "data/patching.hpp"
#include "nn/stack_config.hpp"

namespace octet {

enum class ModelKind { blt, transformer, encoder };
OCTET_ENUM(ModelKind, blt, transformer, encoder)

enum class CrossResidual { double_, single };
OCTET_ENUM(CrossResidual, double_, single)

/// Hash n-gram embeddings of a BLT's encoder (blt.md 6).
struct HashConfig {
  NgramHashConfig ngrams = {.rows = 1024};
  bool normalize = false;
  bool row_sparse = false;
  OCTET_FIELDS(HashConfig, OCTET_FIELDS_OF(ngrams),
               OCTET_FIELD(normalize, any,
                           "divide the sum of embeddings by the number of its terms (published weights: false)"),
               OCTET_FIELD(row_sparse, any,
                           "gradients and AdamW touch only the rows that were read: pays from about 10,000 rows"))
};

/// Cross-attention between bytes and patches (blt.md 7, 9).
struct CrossAttentionConfig {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  bool all_encoder_layers = false;
  bool pool_every_layer = false;
  bool all_decoder_layers = true;
  CrossResidual residual = CrossResidual::double_;
  OCTET_FIELDS(CrossAttentionConfig,
               OCTET_FIELD(heads, range(0, 1024),
                           "query heads, each floor(width / heads) wide; 0 = those of the local model"),
               OCTET_FIELD(kv_heads, range(0, 1024), "key and value heads; 0 = heads"),
               OCTET_FIELD(all_encoder_layers, any,
                           "refine the patch vectors after every encoder layer, not only after the last"),
               OCTET_FIELD(pool_every_layer, any,
                           "pool anew at every such layer (transformers' BLT), not only at the first"),
               OCTET_FIELD(all_decoder_layers, any,
                           "read the patch vectors before every decoder layer, not only before the first"),
               OCTET_FIELD(residual, choice, "double: the residual is added twice, as in the published weights"))
};

/// How bytes are cut into patches, and with what.
struct ModelPatcherConfig {
  PatcherConfig rule;
  std::optional<nn::StackConfig> stack;
  OCTET_FIELDS(ModelPatcherConfig, OCTET_FIELDS_OF(rule),
               OCTET_FIELD(stack, any,
                           "entropy kinds: shape of the entropy model (filled in from the model copied in)"))

  /// Whether the rule asks an entropy model.
  bool asks_model() const { return rule.reads_argmax() || (rule.reads_entropies() && rule.kind != PatcherKind::table); }
};

struct ModelConfig {
  ModelKind kind = ModelKind::blt;
  int64_t context = 0;
  int64_t vocab = 0;
  int64_t embed_width = 0;
  int64_t position_offset = 0;
  int64_t types = 0;
  bool pooler = false;
  bool masked_head = false;
  bool tied = false;
  bool eos_cuts = true;
  std::optional<nn::StackConfig> stack;
  std::optional<nn::StackConfig> encoder, global, decoder;
  int64_t patch_vectors = 2;
  int64_t max_patches = 0;
  std::optional<CrossAttentionConfig> cross;
  std::optional<HashConfig> hash;
  std::optional<ModelPatcherConfig> patcher;
  OCTET_FIELDS(ModelConfig,
               OCTET_FIELD(kind, choice,
                           "blt: byte latent transformer; transformer: plain decoder over bytes or tokens; "
                           "encoder: reads a whole text at once"),
               OCTET_FIELD(context, range(0, 1 << 28), "longest row in units; 0 = no limit"),
               OCTET_FIELD(vocab, range(0, 1 << 24), "ids that the model knows; 0 = the 260 of bytes"),
               OCTET_FIELD(embed_width, range(0, 65536),
                           "width of the table of ids; 0 = width, else matrices lead in and out"),
               OCTET_FIELD(position_offset, range(0, 1 << 16),
                           "learned positions: row of the table for position 0 (OPT, RoBERTa: 2)"),
               OCTET_FIELD(types, range(0, 256), "encoder: rows of the table of token types (BERT: 2); 0 = no table"),
               OCTET_FIELD(pooler, any, "encoder: a layer over the first state of a text"),
               OCTET_FIELD(masked_head, any, "encoder: an output layer that guesses masked ids"),
               OCTET_FIELD(tied, any, "the output layer shares the weights of the table of ids"),
               OCTET_FIELD(eos_cuts, any, "attention ends at the end of a document (false: as transformers' BLT)"),
               OCTET_FIELD(stack, any, "transformer, encoder: its blocks"),
               OCTET_FIELD(encoder, any, "blt: local encoder over bytes"),
               OCTET_FIELD(global, any, "blt: latent transformer over patches"),
               OCTET_FIELD(decoder, any, "blt: local decoder over bytes"),
               OCTET_FIELD(patch_vectors, range(1, 64), "blt: vectors of the local width per patch (k)"),
               OCTET_FIELD(max_patches, range(0, 1 << 28), "blt: most patches in a row; 0 = no limit"),
               OCTET_FIELD(cross, any, "blt: cross-attention between bytes and patches"),
               OCTET_FIELD(hash, any, "blt: hash n-gram embeddings"),
               OCTET_FIELD(patcher, any, "blt: how bytes are cut into patches"))

  int64_t vocabulary() const;  // vocab, or that of bytes
  /// Width of the rows in the table of ids and of the output layer. REQUIRES a checked config with a stack.
  int64_t id_width() const { return embed_width ? embed_width : stack->width; }
  /// Rows of the table of learned positions; 0: there is none. REQUIRES a checked config with a stack.
  int64_t position_rows() const;
  /// Whether Precision::bf16 has kernels for all of it; an entropy model too wide for them runs in fp32 by itself.
  bool fits_bf16() const;
};

/// Fills in absent tables with their defaults and checks every rule that spans keys (blt.md 21: d_E = d_D, heads,
/// windows ...). Throws Error(bad_config) naming the key, before anything is allocated.
ModelConfig checked(ModelConfig config);

}  // namespace octet
