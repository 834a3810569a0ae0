// gateway/control_path.h -- where the control socket is when nobody says: a folder of the user's
// own.
#pragma once

#include <string>

namespace sluice {

// $XDG_RUNTIME_DIR/sluice/control; without it /run/sluice/control for root, else
// /tmp/sluice-<uid>/control.
[[nodiscard]] std::string default_control_path();

// Makes the folder of a control socket, for this user alone, if there is none; true if it did. A
// folder that others can write to without the sticky bit, or that belongs to another user, is
// refused. Throws std::system_error or std::runtime_error.
bool make_control_folder(const std::string& control_path);

}  // namespace sluice
