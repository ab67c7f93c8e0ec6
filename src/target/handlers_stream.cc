#include "target/handlers_stream.h"

#include "scsi/streams.h"
#include "target/handlers_protection.h"

namespace olio::target {

using scsi::LogicalUnitState;

// Zero is no stream: the write belongs to none.
bool DeviceServer::StreamHandlers::check_stream(Command& c) {
    const std::uint16_t stream = scsi::stream_of(c.cdb);
    if (stream != 0 && !c.unit_->state().streams.is_open(stream)) {
        refuse(c, scsi::make_sense(scsi::sense::stream_not_open));
        return false;
    }
    return true;
}

bool DeviceServer::StreamHandlers::prepare_write_stream(Command& c) {
    return check_stream(c) && prepare_write(c);
}

bool DeviceServer::StreamHandlers::prepare_protected_write_stream(Command& c) {
    return check_stream(c) && ProtectionHandlers::prepare_write(c);
}

Step DeviceServer::StreamHandlers::execute_stream_control(Command& c) {
    constexpr std::size_t room = 64;
    if (!obtain_buffer(c, room))
        return Step::waiting;
    const auto fields = scsi::decode_stream_control(c.cdb);
    if (!fields)
        return refuse(c, fields.error());
    c.home_active_ = true;
    c.unit_->unit().change_state(
        [&c, fields](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            const auto stream = scsi::control_stream(*fields, state.streams);
            if (!stream)
                return std::unexpected(Refusal{scsi::Status::check_condition, stream.error()});
            c.cursor_ = fields->control == scsi::StreamControl::open ? *stream : 0;
            return StateEffects{};
        },
        [&c](const std::expected<void, Refusal>& changed) {
            c.home_active_ = false;
            if (c.abort_) {
                end_aborted(c);
            } else if (!changed) {
                refuse(c, changed.error());
            } else {
                answer_with(c, c.buffer_.bytes(room), [&c](Builder& into) {
                    scsi::put_stream_control(static_cast<std::uint16_t>(c.cursor_), into);
                });
            }
        });
    return Step::waiting;
}

}  // namespace olio::target
