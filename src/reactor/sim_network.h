// The simulated network: TCP connections whose segments are cut at random places and take their
// time, and everything that can go wrong with them. Hosts are addresses; they exist by being used.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "reactor/sim_world.h"

namespace olio::reactor {

struct SimNetworkOptions {
    Nanoseconds latency_least = 20'000;  // of one segment, one way
    Nanoseconds latency_most = 200'000;
    std::size_t window_bytes = 64 << 10;  // sent and not yet read by the peer, at most
    unsigned short_io_per_mille = 300;    // how often a send or receive moves less than it could
    Nanoseconds connect_timeout = 127 * nanoseconds_per_second;
};

class SimNetwork {
  public:
    explicit SimNetwork(SimWorld& world) : world_(world) {}

    SimNetworkOptions options;

    // Faults. A host is an address without a port, such as "10.0.0.2" or "::1".
    // Resets a connection: both ends get ECONNRESET.
    void cut(int socket);
    // … all connections with an end there; port 0: with any end on that host.
    void cut(const Endpoint& endpoint);
    // Holds back everything between two hosts until healed, as lost packets and TCP would.
    void partition(const std::string& host, const std::string& other_host);
    void heal(const std::string& host, const std::string& other_host);
    void heal_all();
    // A half-dead peer: the connection stays, but nothing goes in or out of this end until thawed.
    void freeze(int socket);
    void thaw(int socket);

    // The address that an unconnected socket connects from. Without it: the peer's host itself.
    void set_source(int socket, const Endpoint& source);

    // Open descriptors, listeners too: for finding leaks.
    [[nodiscard]] std::size_t open_sockets() const noexcept { return sockets_.size(); }

    // Calls from the simulated shards.
    Result<int> listen(const Endpoint& at);
    Result<int> open_socket(const Endpoint& peer);
    Result<Endpoint> local_endpoint(int socket);
    Result<Endpoint> peer_endpoint(int socket);
    void shutdown(int socket);
    void close(int socket);
    [[nodiscard]] bool owns(int socket) const { return sockets_.contains(socket); }
    void start(Operation& operation);
    void forget(Operation& operation);  // it was cancelled

  private:
    enum class Role : std::uint8_t { fresh, listening, connecting, connected };
    enum class SegmentKind : std::uint8_t { data, end, reset };
    struct Segment {
        Nanoseconds arrives;
        SegmentKind kind;
        std::vector<std::uint8_t> bytes;
    };
    struct Socket {
        Role role = Role::fresh;
        Endpoint local;
        Endpoint peer_endpoint;
        int peer = -1;           // the other end; -1: closed there
        std::string local_host;  // for partitions
        std::string peer_host;
        std::deque<Segment> arriving;
        std::size_t arriving_bytes = 0;
        Nanoseconds last_arrival = 0;
        std::deque<std::uint8_t> received;
        bool ended = false;  // no more to read after `received`
        bool shut = false;   // by us
        bool frozen = false;
        int error = 0;            // to be told once
        std::deque<int> backlog;  // listening: connections not yet accepted
        OperationQueue in;
        OperationQueue out;
    };

    Socket* find(int socket);
    Socket* listener_for(const Endpoint& at);
    [[nodiscard]] bool in_use(const Endpoint& at);
    [[nodiscard]] bool held(const Socket& socket) const;
    [[nodiscard]] Nanoseconds latency() {
        return world_.between(options.latency_least, options.latency_most);
    }
    std::uint16_t free_port() { return next_port_++; }
    void begin_connect(Operation& operation, Socket& socket);
    void try_connect(int client, std::uint64_t operation, Nanoseconds give_up);
    void transmit(Socket& from, SegmentKind kind, std::vector<std::uint8_t> bytes);
    void arrive(int socket);
    void reset(Socket& socket);
    void pump(int socket);
    void pump_accept(Socket& socket);
    void pump_receive(Socket& socket);
    void pump_send(Socket& socket);
    void send_segments(Socket& socket, std::span<iovec> iov, std::size_t length);

    SimWorld& world_;
    std::map<int, Socket> sockets_;
    std::set<std::pair<std::string, std::string>> partitions_;
    std::uint16_t next_port_ = 20000;
};

}  // namespace olio::reactor
