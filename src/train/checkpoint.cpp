#include "train/checkpoint.hpp"

#include "base/json.hpp"
#include "base/machine.hpp"
#include "data/checkpoint_folder.hpp"

#include "models/config.hpp"
#include "models/weights.hpp"
#include "nn/runtime.hpp"

#include <cstring>

namespace octet {

namespace {

struct ModelFile {  // a config file that holds a model alone
  ModelConfig model;
  OCTET_FIELDS(ModelFile, OCTET_FIELD(model, any, "the model"))
};

Json state_json(const TrainState& s) {
  Json j = {{"schema", 1},          {"step", s.step}, {"units", s.units},
            {"seconds", s.seconds}, {"seed", s.seed}, {"cursor", s.cursor}};
  j["best_val_bpb"] = s.best_val_bpb ? Json(*s.best_val_bpb) : Json();
  j["best_step"] = s.best_step ? Json(*s.best_step) : Json();
  return j;
}

TrainState parse_state(ByteView text, const std::string& path) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const Json json = parse_json(text, path, {1 << 20, 8});
  const JsonObject j(json, path);
  TrainState s;
  s.step = j.integer("step", 0, kMost);
  s.units = j.integer("units", 0, kMost);
  s.seconds = j.get<double>("seconds");
  s.seed = j.get<uint64_t>("seed");
  s.cursor = j.get<std::string>("cursor");
  s.best_val_bpb = j.find<double>("best_val_bpb");
  s.best_step = j.find<int64_t>("best_step");
  return s;
}

WrittenFile write_optimiser(FileWriter& out, const AdamW& optimiser) {
  std::vector<TensorSource> sources;
  const auto state = optimiser.state();  // keeps the tensors while they are written
  for (const auto& [name, t] : state)
    sources.push_back(tensor_view(name, dtype_of(t), t.sizes().vec(),
                                  {static_cast<const char*>(t.const_data_ptr()), static_cast<size_t>(t.nbytes())}));
  return write_safetensors(out, std::move(sources));
}

std::map<std::string, Tensor> read_optimiser(Files& files, const std::string& path) {
  const Safetensors file = open_safetensors(files, path);
  std::map<std::string, Tensor> out;
  for (const std::string& name : file.names()) {
    const TensorInfo& info = file.info(name);
    const bool wide = info.dtype == DType::f64;
    OCTET_CHECK(bad_file, wide || info.dtype == DType::f32 || info.dtype == DType::i64,
                "{}: tensor \"{}\" is {}, expected F32, F64 or I64", path, name, octet::name(info.dtype));
    Tensor t = at::empty(info.shape, wide ? at::kDouble : info.dtype == DType::f32 ? at::kFloat : at::kLong);
    std::memcpy(t.data_ptr(), file.bytes(name).data(), static_cast<size_t>(info.n_bytes()));
    out.emplace(name, std::move(t));
  }
  return out;
}

}  // namespace

std::string checkpoint_config(const Model& model) {
  return to_toml(ModelFile{parse_toml<ModelConfig>(model.config_toml(), "model")});
}

void save_checkpoint(Context& context, const std::string& folder, const CheckpointContents& contents) {
  CheckpointWriter writer(*context.files, folder);
  writer.add("model.safetensors", [&](FileWriter& out) { return write_weights(out, *contents.parameters); });
  writer.add("config.toml", contents.config_toml);
  if (contents.optimiser)
    writer.add("optim.safetensors", [&](FileWriter& out) { return write_optimiser(out, *contents.optimiser); });
  if (contents.state) writer.add("state.json", dump_json(state_json(*contents.state)) + "\n");
  writer.commit({{"octet", OCTET_VERSION},
                 {"git", source_revision()},
                 {"libtorch", TORCH_VERSION},
                 {"cpu", cpu_name()},
                 {"threads", format("{}", threads().size())},
                 {"row", format("{}", contents.row)},
                 {"written", context.now()}});
}

TrainState load_train_state(Context& context, const std::string& folder, AdamW& optimiser) {
  Files& files = *context.files;
  const std::string path = join_path(folder, "state.json");
  const TrainState state = parse_state(files.read(path), path);
  optimiser.load_state(read_optimiser(files, join_path(folder, "optim.safetensors")));
  return state;
}

}  // namespace octet
