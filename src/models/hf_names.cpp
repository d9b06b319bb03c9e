#include "models/hf_names.hpp"

#include "base/error.hpp"
#include "models/weights.hpp"

#include <algorithm>
#include <set>

namespace octet {

std::span<const HfBlockPart> llama_block_parts() {
  static constexpr HfBlockPart kParts[] = {{"norm1", "input_layernorm"},        {"attn.wq", "self_attn.q_proj"},
                                           {"attn.wk", "self_attn.k_proj"},     {"attn.wv", "self_attn.v_proj"},
                                           {"attn.q_norm", "self_attn.q_norm"}, {"attn.k_norm", "self_attn.k_norm"},
                                           {"attn.wo", "self_attn.o_proj"},     {"norm2", "post_attention_layernorm"},
                                           {"ffn.w1", "mlp.gate_proj"},         {"ffn.w3", "mlp.up_proj"},
                                           {"ffn.w2", "mlp.down_proj"}};
  return kParts;
}

void add_block_names(HfNames& out, const Parameters& parameters, const std::string& native,
                     const std::string& published, int64_t layers, std::span<const HfBlockPart> parts) {
  for (int64_t l = 0; l < layers; ++l)
    for (const HfBlockPart& p : parts)
      for (const char* kind : {"weight", "bias"}) {
        HfTensor t{format("{}layers.{}.{}.{}", native, l, p.native, kind),
                   format("{}{}.{}.{}", published, l, p.published, kind), p.part, p.parts};
        t.transposed = p.transposed && kind == std::string("weight");
        if (parameters.find(t.native)) out.push_back(std::move(t));
      }
}

namespace {

std::vector<int64_t> published_shape(const HfTensor& t, const Parameter& p) {
  std::vector<int64_t> shape = p.value.sizes().vec();
  shape[0] *= t.parts;
  if (t.transposed) std::reverse(shape.begin(), shape.end());
  return shape;
}

Parameter whole_tensor(const Safetensors& file, const std::string& name) {
  Parameter out;
  out.value = at::empty(file.info(name).shape, at::kFloat);
  read_values(file, name, 0, out);
  return out;
}

void read_one(const Safetensors& file, const HfTensor& t, Parameter& p) {
  const at::NoGradGuard no_grad;
  check_shape(file, t.published, published_shape(t, p));
  if (t.repeated) {
    OCTET_CHECK(bad_file, at::equal(whole_tensor(file, t.published).value, p.value),
                "{}: tensor \"{}\" differs from the one it is tied to", file.file_of(t.published), t.published);
  } else if (t.transposed) {
    const int64_t rows = p.value.size(0);
    p.value.copy_(whole_tensor(file, t.published).value.t().narrow(0, t.part * rows, rows));
  } else {
    read_values(file, t.published, t.part * p.value.numel(), p);
  }
}

}  // namespace

void read_hf_weights(const Safetensors& file, Parameters& parameters, const HfNames& names,
                     const std::function<bool(const std::string&)>& ignored) {
  std::set<std::string> left;
  for (const std::string& name : file.names())
    if (!ignored(name)) left.insert(name);
  for (const HfTensor& t : names) {
    if (t.repeated && !file.has(t.published)) continue;
    OCTET_CHECK(bad_file, file.has(t.published), "{}: tensor \"{}\" is missing", file.path(), t.published);
    left.erase(t.published);
    read_one(file, t, parameters.at(t.native));
  }
  OCTET_CHECK(bad_file, left.empty(), "{}: unexpected tensor \"{}\" ({} in all)", file.path(),
              left.empty() ? "" : *left.begin(), left.size());
}

std::map<std::string, Tensor> published_tensors(const Parameters& parameters, const HfNames& names,
                                                const std::function<Tensor(const Parameter&)>& value) {
  std::map<std::string, std::vector<Tensor>> pieces;
  std::set<std::string> transposed;
  for (const HfTensor& t : names) {
    if (t.repeated) continue;
    std::vector<Tensor>& all = pieces[t.published];
    all.resize(static_cast<size_t>(t.parts));
    all[static_cast<size_t>(t.part)] = value(parameters.at(t.native));
    if (t.transposed) transposed.insert(t.published);
  }
  std::map<std::string, Tensor> out;
  for (const auto& [name, all] : pieces) {
    const Tensor whole = all.size() == 1 ? all[0] : at::cat(all, 0);
    out[name] = (transposed.contains(name) ? whole.t() : whole).contiguous();
  }
  return out;
}

}  // namespace octet
