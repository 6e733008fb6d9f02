#include "../core/threads.hpp"

#include "binding.hpp"

namespace pollux::binding {
namespace {

Napi::Value keep(const Napi::CallbackInfo& info) {
  return errno_or(info, keep_on_cpu(static_cast<int>(number_of(info, 0))));
}

}  // namespace

void export_threads(Napi::Env env, Napi::Object exports) {
  exports["keepOnCpu"] = Napi::Function::New<keep>(env);
}

}  // namespace pollux::binding
