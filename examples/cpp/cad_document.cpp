// A CAD program with a document open, on two features that float: MESH, to draw with, and SOLVER. At the office it has
// both or none. For a trip it borrows MESH, and leaves SOLVER to the colleagues.
//
//     c++ -std=c++17 -pthread cad_document.cpp -lfloatlease -o cad_document
//     floatlease-server exec -- ./cad_document FOLDER DOCUMENT
//
// Commands come line by line: "draw TEXT", "solve", "trip", "home"; the end of the input saves and ends. FOLDER, an
// absolute path, is where leases are kept from one start to the next, so that a start during a trip needs no network.
// FLOATLEASE_CONFIG holds the client's configuration, as in quickstart.cpp.
#include <floatlease.hpp>

#include "common.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

using floatlease::Event, floatlease::Lease, floatlease::Result, floatlease::ScopedLease, floatlease::State;

constexpr auto office = R"({"features":["MESH","SOLVER"],"activate":true})"; // the first start activates the machine
constexpr auto trip = R"({"feature":"MESH","borrow_ending_hours":4})";

class Cad {
public:
    /// Reads the document, if there is one. Reading needs no license.
    explicit Cad(std::filesystem::path file) : file_(std::move(file)), document_(read_whole(file_)) {}

    /// Leases are kept in `folder` from one start to the next.
    Result begin(std::string config, std::string_view folder)
    {
        config.insert(config.find('{') + 1, "\"storage_dir\":" + floatlease::json_string(folder) + ",");
        return client_.open(config);
    }

    /// Takes both features, or none.
    bool go_to_the_office()
    {
        return tell(take(office), "MESH and SOLVER are yours.", "Not both of MESH and SOLVER:");
    }

    /// Acquires the borrowed feature. Files in the folder prove the borrow, so this needs no network.
    bool go_on_with_a_trip()
    {
        on_trip_ = take(trip).ok() && lease_->state() == State::borrowed;
        if (on_trip_)
            std::cout << "MESH is borrowed.\n";
        return on_trip_;
    }

    void begin_trip()
    {
        Result borrowed = take(trip);

        if (borrowed)
            borrowed = lease_->borrow();
        on_trip_ = tell(borrowed, "MESH is borrowed: pull the plug when you like.", "MESH is not borrowed:");
        if (!on_trip_)
            go_to_the_office();
    }

    /// Ends the borrow early, so that colleagues need not wait for its date.
    void end_trip()
    {
        if (tell(lease_->release(), "The borrow is given back.", "The borrow goes on:")) {
            on_trip_ = false;
            go_to_the_office();
        }
    }

    /// Handles the events of the lease. A timer calls it every second or so.
    void listen()
    {
        while (const Event event = client_.next_event()) {
            const std::string kind = event.kind();

            std::cout << kind << ": " << event.text("reason") << '\n';
            if (kind == "GRACE_STARTED" || kind == "LOST")
                std::cout << (save() ? "The document is saved.\n" : "NOT saved!\n");
        }
    }

    bool draw(std::string_view text)
    {
        const bool licensed = is_licensed(); // once: it may change in between

        if (licensed)
            document_ += text;
        return licensed;
    }

    void obey(const std::string &command)
    {
        if (command.substr(0, 5) == "draw ")
            std::cout << (draw(command.substr(5) + "\n") ? "Drawn.\n" : "Not drawn: there is no license.\n");
        else if (command == "solve")
            std::cout << (is_licensed() && !on_trip_ ? "Solved.\n" : "Not solved: SOLVER stayed at the office.\n");
        else if (command == "trip")
            begin_trip();
        else if (command == "home")
            end_trip();
    }

    /// Saves the document, which needs no license.
    bool save() const { return write_whole(file_, document_); }

    bool is_licensed() const { return lease_->is_licensed(); }
    bool is_on_trip() const { return on_trip_; }
    State state() const { return lease_->state(); }
    const floatlease::Client &client() const { return client_; }

private:
    /// Replaces the lease. The new one is acquired first, so that a slot that both hold is not given back between.
    Result take(const char *request)
    {
        Lease lease;
        Result acquired = client_.acquire_lease(lease, request);

        if (acquired)
            lease_ = ScopedLease(std::move(lease));
        return acquired;
    }

    /// Prints the result of a call.
    static bool tell(const Result &result, std::string_view good, std::string_view bad)
    {
        if (result)
            std::cout << good << '\n';
        else
            std::cout << bad << ' ' << result.text("message") << '\n';
        return result.ok();
    }

    std::filesystem::path file_;
    std::string document_;
    floatlease::Client client_;
    // The lease of both features, or of MESH on a trip. The end of the program gives it back unless it is borrowed,
    // because the end of the program is not the end of a trip.
    ScopedLease lease_;
    bool on_trip_ = false;
};

/// Reads a line of the input on a thread, so that the program can wait for it with a time limit.
std::future<std::optional<std::string>> next_line()
{
    return std::async(std::launch::async, [] {
        std::string line;

        return std::getline(std::cin, line) ? std::optional(line) : std::nullopt;
    });
}

int main(int argc, char **argv)
{
    const char *config = std::getenv("FLOATLEASE_CONFIG");

    if (argc != 3 || !config) {
        std::cerr << "usage: floatlease-server exec -- ./cad_document FOLDER DOCUMENT\n";
        return 2;
    }
    Cad cad(argv[2]);

    if (const Result begun = cad.begin(config, argv[1]); !begun) {
        std::cerr << begun.text("message") << ' ' << begun.text("advice") << '\n';
        return 1;
    }
    if (!cad.go_on_with_a_trip())
        cad.go_to_the_office();
    for (auto line = next_line();;) {
        const bool is_typed = line.wait_for(std::chrono::seconds(1)) == std::future_status::ready;

        cad.listen();
        if (!is_typed)
            continue;
        const std::optional<std::string> command = line.get();

        if (!command)
            break;
        cad.obey(*command);
        line = next_line();
    }
    if (!cad.save()) {
        std::cerr << argv[2] << " could not be written.\n";
        return 1;
    }
    return 0;
}
