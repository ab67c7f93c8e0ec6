// Bytes in the standards' order (big-endian), read with a Cursor and written with a Builder.
// Neither ever reads or writes outside its span: past the end a Cursor yields zeros and remembers
// that it failed, and a Builder counts what it could not write.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/assert.h"

namespace olio {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

template <class T>
[[nodiscard]] inline T load_be(const std::uint8_t* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof value);
    if constexpr (sizeof(T) > 1 && std::endian::native == std::endian::little)
        value = std::byteswap(value);
    return value;
}

template <class T>
inline void store_be(std::uint8_t* to, T value) noexcept {
    if constexpr (sizeof(T) > 1 && std::endian::native == std::endian::little)
        value = std::byteswap(value);
    std::memcpy(to, &value, sizeof value);
}

[[nodiscard]] inline std::uint32_t load_be24(const std::uint8_t* from) noexcept {
    return std::uint32_t{from[0]} << 16 | std::uint32_t{from[1]} << 8 | from[2];
}

inline void store_be24(std::uint8_t* to, std::uint32_t value) noexcept {
    to[0] = static_cast<std::uint8_t>(value >> 16);
    to[1] = static_cast<std::uint8_t>(value >> 8);
    to[2] = static_cast<std::uint8_t>(value);
}

[[nodiscard]] inline Bytes as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(Bytes bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Cursor {
  public:
    explicit Cursor(Bytes bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint8_t u8() noexcept { return take<std::uint8_t>(); }
    [[nodiscard]] std::uint16_t be16() noexcept { return take<std::uint16_t>(); }
    [[nodiscard]] std::uint32_t be32() noexcept { return take<std::uint32_t>(); }
    [[nodiscard]] std::uint64_t be64() noexcept { return take<std::uint64_t>(); }
    [[nodiscard]] std::uint32_t be24() noexcept {
        const Bytes field = bytes(3);
        return field.empty() ? 0 : load_be24(field.data());
    }
    // The next `count` bytes, or an empty span (and failed()) if there are not that many.
    [[nodiscard]] Bytes bytes(std::size_t count) noexcept {
        if (count > remaining()) {
            failed_ = true;
            position_ = bytes_.size();
            return {};
        }
        const Bytes field = bytes_.subspan(position_, count);
        position_ += count;
        return field;
    }
    void skip(std::size_t count) noexcept { (void)bytes(count); }

    [[nodiscard]] std::size_t position() const noexcept { return position_; }
    [[nodiscard]] std::size_t remaining() const noexcept { return bytes_.size() - position_; }
    // True once anything was read past the end.
    [[nodiscard]] bool failed() const noexcept { return failed_; }

  private:
    template <class T>
    T take() noexcept {
        const Bytes field = bytes(sizeof(T));
        return field.empty() ? T{0} : load_be<T>(field.data());
    }

    Bytes bytes_;
    std::size_t position_ = 0;
    bool failed_ = false;
};

// Writes into a span that it does not own. What does not fit is dropped but counted, so that size()
// is the length the whole would have had: what SCSI calls the available data.
class Builder {
  public:
    explicit Builder(MutableBytes bytes) noexcept : bytes_(bytes) {}

    void u8(std::uint8_t value) noexcept { put(value); }
    void be16(std::uint16_t value) noexcept { put(value); }
    void be24(std::uint32_t value) noexcept {
        std::uint8_t field[3];
        store_be24(field, value);
        bytes(field);
    }
    void be32(std::uint32_t value) noexcept { put(value); }
    void be64(std::uint64_t value) noexcept { put(value); }
    void bytes(Bytes source) noexcept {
        if (position_ < bytes_.size()) {
            const std::size_t room = bytes_.size() - position_;
            const std::size_t count = source.size() < room ? source.size() : room;
            if (count != 0)
                std::memcpy(bytes_.data() + position_, source.data(), count);
        }
        position_ += source.size();
    }
    void zeros(std::size_t count) noexcept {
        if (position_ < bytes_.size()) {
            const std::size_t room = bytes_.size() - position_;
            const std::size_t fill = count < room ? count : room;
            if (fill != 0)
                std::memset(bytes_.data() + position_, 0, fill);
        }
        position_ += count;
    }
    // ASCII, left-aligned, padded with spaces or cut to `width` (SPC-5 4.3.1).
    void text(std::string_view value, std::size_t width) noexcept {
        for (std::size_t i = 0; i < width; ++i)
            u8(i < value.size() ? static_cast<std::uint8_t>(value[i]) : ' ');
    }
    // Overwrites a field written before, such as a length known only at the end.
    template <class T>
    void patch(std::size_t at, T value) noexcept {
        std::uint8_t field[sizeof(T)];
        store_be(field, value);
        for (std::size_t i = 0; i < sizeof(T); ++i)
            if (at + i < bytes_.size())
                bytes_[at + i] = field[i];
    }

    // The length of all that was put, whether it fitted or not.
    [[nodiscard]] std::size_t size() const noexcept { return position_; }
    // What was really written.
    [[nodiscard]] Bytes written() const noexcept {
        return bytes_.first(position_ < bytes_.size() ? position_ : bytes_.size());
    }

  private:
    template <class T>
    void put(T value) noexcept {
        std::uint8_t field[sizeof(T)];
        store_be(field, value);
        bytes(field);
    }

    MutableBytes bytes_;
    std::size_t position_ = 0;
};

// a + b and a * b of unsigned numbers from outside; false if the result does not fit.
template <class T>
[[nodiscard]] inline bool checked_add(T a, T b, T& sum) noexcept {
    return !__builtin_add_overflow(a, b, &sum);
}
template <class T>
[[nodiscard]] inline bool checked_multiply(T a, T b, T& product) noexcept {
    return !__builtin_mul_overflow(a, b, &product);
}

}  // namespace olio
