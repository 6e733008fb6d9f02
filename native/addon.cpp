// What JavaScript can call. The engine knows NBD, logs and volumes; nothing below this line does.
#include "binding/binding.hpp"

static Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  pollux::binding::export_memory(env, exports);
  pollux::binding::export_uring(env, exports);
  pollux::binding::export_files(env, exports);
  pollux::binding::export_sockets(env, exports);
  pollux::binding::export_addresses(env, exports);
  pollux::binding::export_threads(env, exports);
  return exports;
}

NODE_API_MODULE(pollux, initialize)
