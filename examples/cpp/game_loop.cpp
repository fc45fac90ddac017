// A game at 60 frames a second that never waits for its license. Everything that talks to the server is submitted, and
// one event is read in each frame; the lease's state is read in each frame, because that costs nothing.
//
//     c++ -std=c++17 game_loop.cpp -lfloatlease -o game_loop
//     floatlease-server exec -- ./game_loop 180
//
// FLOATLEASE_CONFIG holds the client's configuration, as in quickstart.cpp. The argument is the number of frames.
#include <floatlease.hpp>

#include "common.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <utility>

using floatlease::Event, floatlease::Result, floatlease::State;

constexpr auto frame_time = std::chrono::nanoseconds(1'000'000'000 / 60);
constexpr auto saved_game = "saved_game.txt";
constexpr auto queue_for_a_minute = R"({"wait_ms":60000,"activate":true})";

class Game {
public:
    /// Opens the client and submits the acquire. Neither waits for the server, so the first frame comes at once.
    Result begin(const std::string &config)
    {
        Result opened = client_.open(config);

        if (opened) {
            banner_ = "Looking for a license.";
            ask("lease_acquire", queue_for_a_minute);
        }
        return opened;
    }

    void frame()
    {
        listen();
        look();
        if (floatlease::is_licensed(state_))
            ++score_; // and whatever else a game does in a frame
    }

    /// Gives the lease back while the picture fades out, for as many frames as that takes.
    void end(int frames)
    {
        if (state_ != State::none)
            ask("lease_release", "{\"lease\":" + lease_.info().text("lease") + "}");
        for (; state_ != State::none && is_asking() && frames > 0; --frames) {
            listen();
            std::this_thread::sleep_for(frame_time);
        }
    }

    const floatlease::Client &client() const { return client_; }
    State state() const { return state_; }
    const std::string &banner() const { return banner_; }
    int score() const { return score_; }
    bool is_asking() const { return !asked_.empty(); }

private:
    /// Submits an operation, and goes on without waiting.
    void ask(const std::string &operation, const std::string &request)
    {
        if (const Result submitted = client_.submit(ticket_, operation, request))
            asked_ = operation;
        else
            banner_ = submitted.name();
    }

    /// Handles one event in a frame. That is enough: events come once in minutes.
    void listen()
    {
        const Event event = client_.next_event();

        if (event.kind() == "COMPLETED")
            completed(event);
        else if (event.kind() == "WAITING")
            banner_ = "Every license is in use. You are in the queue.";
    }

    /// Handles the completion of the submitted operation.
    void completed(const Event &event)
    {
        const std::string asked = std::exchange(asked_, {});
        const auto status = event.number("status");

        if (asked == "lease_acquire" && status == FLOATLEASE_OK) {
            if (const Result accepted = client_.accept_lease(lease_, ticket_); !accepted)
                banner_ = accepted.text("message");
        } else if (status != FLOATLEASE_OK) {
            banner_ = floatlease::text(event.member("error"), "message");
        }
    }

    /// Shows what the new state means for the player.
    void look()
    {
        const State before = std::exchange(state_, lease_.state());

        if (state_ == State::grace)
            banner_ = "The license may be gone. The game is saved; it ends in "
                      + std::to_string(lease_.remaining() / std::chrono::seconds(1)) + " s.";
        if (state_ == before)
            return;
        switch (state_) {
        case State::active:
        case State::borrowed:
            banner_.clear();
            break;
        case State::degraded:
            banner_ = "The license server does not answer. Play on.";
            break;
        case State::grace:
            save();
            break;
        case State::lost:
            save();
            banner_ = "The license is gone. The game is saved, and goes on when the license is back.";
            break;
        case State::none:
        case State::released:
            break;
        }
    }

    /// Saves the game. The file is small; a game with a large one writes it on another thread.
    void save() const { write_whole(saved_game, "score " + std::to_string(score_) + "\n"); }

    floatlease::Client client_;
    floatlease::Lease lease_; // none, as long as there is none
    std::string asked_;       // what was submitted and is not completed, or ""
    floatlease::Ticket ticket_ = 0;
    State state_ = State::none; // of the lease, as of the last frame
    std::string banner_;        // over the picture; "" for none
    int score_ = 0;             // what is worth saving
};

int main(int argc, char **argv)
{
    const char *config = std::getenv("FLOATLEASE_CONFIG");
    const int frames = argc == 2 ? std::atoi(argv[1]) : 180;
    Game game;

    if (!config) {
        std::cerr << "usage: floatlease-server exec -- ./game_loop [FRAMES]\n";
        return 2;
    }
    if (const Result begun = game.begin(config); !begun) {
        std::cerr << begun.text("message") << ' ' << begun.text("advice") << '\n';
        return 1;
    }
    std::string shown;
    State state = State::none;
    auto next = std::chrono::steady_clock::now();

    for (int frame = 1; frame <= frames; ++frame) {
        game.frame();
        if (game.state() != state || game.banner() != shown)
            std::cout << "frame " << frame << ": " << name_of(game.state()) << (game.banner().empty() ? "" : ", ")
                      << game.banner() << std::endl;
        state = game.state();
        shown = game.banner();
        std::this_thread::sleep_until(next += frame_time);
    }
    std::cout << game.score() << " of " << frames << " frames were played.\n";
    game.end(120);
    return game.score() > 0 ? 0 : 1;
}
