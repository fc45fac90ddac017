// Does the game play on when it may, save when it should, and stop when it must, without ever waiting? Its frames are
// drawn as fast as the machine can; the hours pass in a sandbox.
//
//     c++ -std=c++17 test_game_loop.cpp -lfloatlease -lfloatlease_sandbox -o test_game_loop
#define main game_main
#include "game_loop.cpp"
#undef main
#include "scene.hpp"

/// A frame later, the picture says so.
static bool shows(Game &game, std::string_view banner)
{
    game.frame();
    return banner.empty() ? game.banner().empty() : game.banner().find(banner) != std::string::npos;
}

static bool plays(Game &game)
{
    const int score = game.score();

    game.frame();
    return game.score() > score;
}

static bool is_saved()
{
    return !read_whole(saved_game).empty();
}

static void remove_saved_game()
{
    std::error_code error;

    std::filesystem::remove(saved_game, error);
}

static void the_first_start()
{
    const Scene scene;
    Game game;

    HOLD(game.begin(scene.config()));
    SOON(plays(game));
    HOLD(shows(game, "") && scene.slots_of_my_desk() == 1);
    game.end(1000);
    HOLD(scene.slots_of_my_desk() == 0 && !is_saved());
    scene.end();
    std::cout << "The first start: the picture was there at once, and the game soon.\n";
}

static void a_server_that_never_answers()
{
    const Scene scene(R"({"faults":[{"do":{"before":"hang"}}]})");
    Game game;

    HOLD(game.begin(scene.config()));
    for (int frame = 0; frame < 100000; ++frame)
        HOLD(shows(game, "Looking for a license.") && game.is_asking());
    game.end(0);
    std::cout << "A server that never answers: a hundred thousand frames were drawn meanwhile.\n";
}

static void the_last_seat_is_taken()
{
    const Scene scene;
    Game game;

    scene.colleagues_come();
    HOLD(game.begin(scene.config()));
    SOON(shows(game, "You are in the queue."));
    HOLD(!plays(game) && scene.colleague("office-1", "release_license"));
    SOON(plays(game));
    game.end(1000);
    scene.end();
    std::cout << "No slot at the start: the game queued, and began when one was free.\n";
}

static void an_outage()
{
    Scene scene;
    Game game;

    HOLD(game.begin(scene.config()));
    SOON(plays(game));
    scene.outage();
    scene.pass(119min, game.client());
    SOON(shows(game, "does not answer. Play on."));
    HOLD(game.state() == State::degraded && plays(game) && !is_saved());
    scene.pass(2min, game.client());
    SOON(shows(game, "The game is saved; it ends in"));
    HOLD(game.state() == State::grace && plays(game) && is_saved());
    remove_saved_game();
    scene.pass(5min, game.client());
    SOON(shows(game, "The license is gone."));
    HOLD(game.state() == State::lost && !plays(game));
    HOLD(read_whole(saved_game) == "score " + std::to_string(game.score()) + "\n");
    HOLD(scene.sandbox.clear_faults());
    scene.pass(2min, game.client());
    SOON(plays(game));
    HOLD(shows(game, "") && scene.slots_of_my_desk() == 1);
    game.end(1000);
    scene.end();
    std::cout << "An outage: the game played on, was saved, stopped, and went on when the server was back.\n";
}

static void a_config_that_is_wrong()
{
    Game game;
    const Result begun = game.begin("{\"prodct\":\"XY\"}");

    HOLD(begun.status() == FLOATLEASE_E_UNKNOWN_KEY && !begun.text("message").empty());
    HOLD(!plays(game));
    game.end(1);
}

int main()
{
    remove_saved_game();
    the_first_start();
    a_server_that_never_answers();
    the_last_seat_is_taken();
    an_outage();
    a_config_that_is_wrong();
    remove_saved_game();
    return 0;
}
