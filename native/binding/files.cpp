#include "../core/files.hpp"

#include "binding.hpp"

namespace pollux::binding {
namespace {

Napi::Value open(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  OpenedDisk disk;
  const int result = open_disk(path.c_str(), &disk);
  if (result < 0) return errno_or(info, result);
  auto opened = Napi::Object::New(info.Env());
  opened["descriptor"] = disk.fd;
  opened["byteLength"] = static_cast<double>(disk.byte_length);
  opened["sectorByteLength"] = disk.sector_bytes;
  opened["isBlockDevice"] = disk.is_block_device;
  opened["isDirect"] = disk.is_direct;
  opened["identity"] = std::to_string(disk.device) + ":" + std::to_string(disk.inode);
  return opened;
}

Napi::Value is_persistent(const Napi::CallbackInfo& info) {
  const std::string directory = info[0].As<Napi::String>();
  return Napi::Boolean::New(info.Env(), persistence_of(directory.c_str()) == Persistence::kPersistent);
}

Napi::Value preallocate_file(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  return errno_or(info, preallocate(path.c_str(), static_cast<uint64_t>(number_of(info, 1))));
}

Napi::Value lock(const Napi::CallbackInfo& info) {
  return errno_or(info, lock_file(static_cast<int>(number_of(info, 0))));
}

}  // namespace

void export_files(Napi::Env env, Napi::Object exports) {
  exports["openDisk"] = Napi::Function::New<open>(env);
  exports["isPersistent"] = Napi::Function::New<is_persistent>(env);
  exports["preallocate"] = Napi::Function::New<preallocate_file>(env);
  exports["lockFile"] = Napi::Function::New<lock>(env);
}

}  // namespace pollux::binding
