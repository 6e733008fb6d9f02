#include "../core/addresses.hpp"

#include "binding.hpp"

namespace pollux::binding {
namespace {

std::string text(const Napi::CallbackInfo& info) { return info[0].As<Napi::String>(); }
int integer(const Napi::CallbackInfo& info, size_t index) { return static_cast<int>(number_of(info, index)); }

AddressPlace place_of(const Napi::CallbackInfo& info) {
  return {integer(info, 1), integer(info, 2), integer(info, 3)};
}

/// An object, or an errno.
Napi::Value state_of(const Napi::CallbackInfo& info) {
  InterfaceState state{};
  const int result = interface_state(text(info).c_str(), state);
  if (result < 0) return errno_or(info, result);
  Napi::Object object = Napi::Object::New(info.Env());
  object["index"] = state.index;
  object["flags"] = state.flags;
  object["hardware"] = state.hardware;
  object["mac"] = Napi::Buffer<uint8_t>::Copy(info.Env(), state.mac, sizeof(state.mac));
  return object;
}

/// An array of objects, or an errno.
Napi::Value find(const Napi::CallbackInfo& info) {
  std::vector<AddressPlace> places;
  const int result = find_address(text(info).c_str(), places);
  if (result < 0) return errno_or(info, result);
  Napi::Array all = Napi::Array::New(info.Env(), places.size());
  for (uint32_t at = 0; at < places.size(); ++at) {
    Napi::Object object = Napi::Object::New(info.Env());
    object["index"] = places[at].index;
    object["prefixLength"] = places[at].prefix_length;
    object["origin"] = places[at].origin;
    all[at] = object;
  }
  return all;
}

Napi::Value set(const Napi::CallbackInfo& info) {
  const auto lifetime = static_cast<uint32_t>(number_of(info, 4));
  return errno_or(info, set_address(text(info).c_str(), place_of(info), lifetime));
}

Napi::Value remove(const Napi::CallbackInfo& info) {
  return errno_or(info, remove_address(text(info).c_str(), place_of(info)));
}

Napi::Value reset(const Napi::CallbackInfo& info) {
  return errno_or(info, reset_connections(text(info).c_str()));
}

Napi::Value open(const Napi::CallbackInfo& info) {
  return errno_or(info, open_frame_socket(integer(info, 1), text(info).c_str()));
}

Napi::Value send(const Napi::CallbackInfo& info) {
  const auto frame = info[2].As<Napi::Uint8Array>();
  return errno_or(info, send_frame(integer(info, 0), integer(info, 1), frame.Data(), frame.ByteLength()));
}

Napi::Value receive(const Napi::CallbackInfo& info) {
  auto frame = info[1].As<Napi::Uint8Array>();
  return errno_or(info, receive_frame(integer(info, 0), frame.Data(), frame.ByteLength()));
}

}  // namespace

void export_addresses(Napi::Env env, Napi::Object exports) {
  exports["interfaceState"] = Napi::Function::New<state_of>(env);
  exports["findAddress"] = Napi::Function::New<find>(env);
  exports["setAddress"] = Napi::Function::New<set>(env);
  exports["removeAddress"] = Napi::Function::New<remove>(env);
  exports["resetConnections"] = Napi::Function::New<reset>(env);
  exports["openFrameSocket"] = Napi::Function::New<open>(env);
  exports["sendFrame"] = Napi::Function::New<send>(env);
  exports["receiveFrame"] = Napi::Function::New<receive>(env);
}

}  // namespace pollux::binding
