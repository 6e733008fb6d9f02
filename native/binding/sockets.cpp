#include "../core/sockets.hpp"

#include "binding.hpp"

namespace pollux::binding {
namespace {

int descriptor(const Napi::CallbackInfo& info) { return static_cast<int>(number_of(info, 0)); }

Napi::Value take(const Napi::CallbackInfo& info) { return errno_or(info, take_socket(descriptor(info))); }

Napi::Value listen(const Napi::CallbackInfo& info) {
  const std::string host = info[0].As<Napi::String>();
  const auto port = static_cast<uint16_t>(number_of(info, 1));
  return errno_or(info, listen_newest(host.c_str(), port, static_cast<int>(number_of(info, 2))));
}

Napi::Value port(const Napi::CallbackInfo& info) { return errno_or(info, port_of(descriptor(info))); }
Napi::Value event(const Napi::CallbackInfo& info) { return errno_or(info, make_eventfd()); }
Napi::Value signal(const Napi::CallbackInfo& info) {
  return errno_or(info, signal_eventfd(descriptor(info)));
}
Napi::Value shut(const Napi::CallbackInfo& info) { return errno_or(info, shutdown_socket(descriptor(info))); }
Napi::Value close(const Napi::CallbackInfo& info) {
  return errno_or(info, close_descriptor(descriptor(info)));
}

}  // namespace

void export_sockets(Napi::Env env, Napi::Object exports) {
  exports["takeSocket"] = Napi::Function::New<take>(env);
  exports["listenNewest"] = Napi::Function::New<listen>(env);
  exports["portOf"] = Napi::Function::New<port>(env);
  exports["makeEventfd"] = Napi::Function::New<event>(env);
  exports["signalEventfd"] = Napi::Function::New<signal>(env);
  exports["shutdownSocket"] = Napi::Function::New<shut>(env);
  exports["closeDescriptor"] = Napi::Function::New<close>(env);
}

}  // namespace pollux::binding
