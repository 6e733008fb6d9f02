#include "../core/batch.hpp"
#include "../core/crc32c.hpp"
#include "../core/files.hpp"
#include "binding.hpp"

namespace pollux::binding {
namespace {

Napi::Value run_batch(const Napi::CallbackInfo& info) {
  const auto steps = info[0].As<Napi::Float64Array>();
  const BatchResult result = pollux::run_batch(steps.Data(), static_cast<size_t>(number_of(info, 1)));
  if (result.failures == 0) return Napi::Number::New(info.Env(), 0);
  auto report = Napi::Object::New(info.Env());
  report["failures"] = result.failures;
  report["firstFailure"] = result.first_failure;
  return report;
}

Napi::Value checksum(const Napi::CallbackInfo& info) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(static_cast<uintptr_t>(number_of(info, 0)));
  const auto seed = static_cast<uint32_t>(number_of(info, 2));
  return Napi::Number::New(info.Env(), crc32c(bytes, static_cast<size_t>(number_of(info, 1)), seed));
}

Napi::Value allocate(const Napi::CallbackInfo& info) {
  const auto byte_length = static_cast<size_t>(number_of(info, 0));
  void* address = nullptr;
  const int result = allocate_pages(byte_length, &address);
  if (result < 0) return errno_or(info, result);
  auto memory = Napi::Object::New(info.Env());
  memory["buffer"] = view_of(info.Env(), address, byte_length);
  memory["address"] = static_cast<double>(reinterpret_cast<uintptr_t>(address));
  return memory;
}

Napi::Value map(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  const auto byte_length = static_cast<size_t>(number_of(info, 1));
  void* address = nullptr;
  Found found = Found::kNew;
  const int result = map_shared(path.c_str(), byte_length, &address, &found);
  if (result < 0) return errno_or(info, result);
  auto memory = Napi::Object::New(info.Env());
  memory["buffer"] = view_of(info.Env(), address, byte_length);
  memory["address"] = static_cast<double>(reinterpret_cast<uintptr_t>(address));
  memory["found"] = found == Found::kKept ? "kept" : found == Found::kNew ? "new" : "resized";
  return memory;
}

}  // namespace

void export_memory(Napi::Env env, Napi::Object exports) {
  exports["runBatch"] = Napi::Function::New<run_batch>(env);
  exports["checksum"] = Napi::Function::New<checksum>(env);
  exports["allocate"] = Napi::Function::New<allocate>(env);
  exports["mapShared"] = Napi::Function::New<map>(env);
}

}  // namespace pollux::binding
