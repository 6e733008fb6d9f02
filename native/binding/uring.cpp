#include "../core/uring.hpp"

#include <system_error>

#include "binding.hpp"

namespace pollux::binding {
namespace {

Napi::Value create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    auto* ring = new Uring(static_cast<uint32_t>(number_of(info, 0)));
    auto result = Napi::Object::New(env);
    // The ring lives as long as its thread: the kernel may still own buffers when JavaScript lets go of it.
    result["ring"] = Napi::External<Uring>::New(env, ring);
    result["sqes"] = view_of(env, ring->sqes(), ring->sqes_bytes());
    result["completions"] = view_of(env, ring->completions(), ring->completions_bytes());
    result["completionsOffset"] = ring->completions_offset();
    result["submissionEntries"] = ring->sq_entries();
    result["completionEntries"] = ring->cq_entries();
    return result;
  } catch (const std::system_error& error) {
    return Napi::Number::New(env, -error.code().value());
  }
}

Napi::Value enter(const Napi::CallbackInfo& info) {
  auto* ring = info[0].As<Napi::External<Uring>>().Data();
  const int ready =
      ring->enter(static_cast<uint32_t>(number_of(info, 1)), static_cast<uint32_t>(number_of(info, 2)),
                  number_of(info, 3), number_of(info, 4), number_of(info, 6));
  double* report = info[5].As<Napi::Float64Array>().Data();
  report[0] = monotonic_ms();
  report[1] = ring->unsubmitted();
  report[2] = ring->slept() ? 1 : 0;
  return Napi::Number::New(info.Env(), ready);
}

Napi::Value destroy(const Napi::CallbackInfo& info) {
  delete info[0].As<Napi::External<Uring>>().Data();
  return info.Env().Undefined();
}

Napi::Value now(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), monotonic_ms()); }

}  // namespace

void export_uring(Napi::Env env, Napi::Object exports) {
  exports["uringCreate"] = Napi::Function::New<create>(env);
  exports["uringEnter"] = Napi::Function::New<enter>(env);
  exports["uringDestroy"] = Napi::Function::New<destroy>(env);
  exports["monotonicMs"] = Napi::Function::New<now>(env);
}

}  // namespace pollux::binding
