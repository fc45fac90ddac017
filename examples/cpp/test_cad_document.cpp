// Does the CAD program save what must not be lost, and take along on a trip what it should? The days pass in a sandbox;
// each start of the program is a client of its own on the same folder.
//
//     c++ -std=c++17 -pthread test_cad_document.cpp -lfloatlease -lfloatlease_sandbox -o test_cad_document
#define main cad_main
#include "cad_document.cpp"
#undef main
#include "scene.hpp"

namespace fs = std::filesystem;

/// A desk with an empty folder and no document.
class Desk {
public:
    Desk() { clean(); }
    Desk(const Desk &) = delete;
    ~Desk() { clean(); }

    /// The program starts. It ends when the Cad is destroyed.
    Cad start(const Scene &scene) const
    {
        Cad cad(document_);

        HOLD(cad.begin(scene.config(), folder_.string()));
        scene.tell_time(cad.client());
        return cad;
    }

    std::string document() const { return read_whole(document_); }

private:
    void clean() const
    {
        std::error_code error;

        fs::remove_all(folder_, error);
        fs::remove(document_, error);
    }

    // The client wants an absolute path: it must lead to the same folder for whoever starts the program, and wherever.
    fs::path folder_ = fs::current_path() / "test_cad_document.leases";
    fs::path document_ = "test_cad_document.txt";
};

/// Returns whether the predicate comes to hold while the program handles its events.
static bool is(Cad &cad, State state)
{
    cad.listen();
    return cad.state() == state;
}

/// Returns whether the document gets this content while the program handles its events.
static bool says(Cad &cad, const Desk &desk, std::string_view text)
{
    cad.listen();
    return desk.document() == text;
}

static void both_or_none()
{
    Scene scene;
    const Desk desk;
    std::optional<Cad> cad = desk.start(scene);

    HOLD(scene.colleague("office-1", "activate_license"));
    HOLD(scene.colleague("office-1", "check_feature", R"({"feature":"SOLVER"})"));
    HOLD(!cad->go_to_the_office());
    HOLD(scene.slots_of_my_desk() == 0 && !cad->draw("a wall"));
    scene.pass(31min, cad->client());
    HOLD(cad->go_to_the_office());
    HOLD(scene.slots_of_my_desk() == 2 && cad->draw("a wall"));
    cad.reset();
    HOLD(scene.slots_of_my_desk() == 0);
    scene.end();
    std::cout << "Somebody has the one SOLVER: MESH was not kept either.\n";
}

static void the_document_is_saved()
{
    Scene scene;
    const Desk desk;
    std::optional<Cad> cad = desk.start(scene);

    HOLD(cad->go_to_the_office() && cad->draw("a wall"));
    scene.outage();
    scene.pass(29min, cad->client());
    SOON(is(*cad, State::degraded));
    HOLD(desk.document().empty());
    scene.pass(2min, cad->client());
    SOON(is(*cad, State::grace));
    SOON(says(*cad, desk, "a wall"));
    HOLD(cad->draw(", a door"));
    scene.pass(5min, cad->client());
    SOON(is(*cad, State::lost));
    SOON(says(*cad, desk, "a wall, a door"));
    HOLD(!cad->draw("no more"));
    HOLD(scene.sandbox.clear_faults());
    scene.pass(2min, cad->client());
    SOON(is(*cad, State::active));
    HOLD(cad->draw(", a window") && scene.slots_of_my_desk() == 2);
    HOLD(cad->save() && desk.document() == "a wall, a door, a window");
    cad.reset();
    scene.end();
    std::cout << "An outage: the document was saved in time and again at the end, and work went on afterwards.\n";
}

static void a_trip()
{
    Scene scene;
    const Desk desk;
    std::optional<Cad> cad = desk.start(scene);

    HOLD(cad->go_to_the_office());
    cad->begin_trip();
    HOLD(cad->is_on_trip() && scene.slots_of_my_desk() == 1);

    cad.reset();
    scene.outage();
    cad = desk.start(scene);
    HOLD(cad->go_on_with_a_trip() && cad->draw("a wall"));
    scene.pass(9h, cad->client());
    SOON(is(*cad, State::borrowed));

    cad.reset();
    HOLD(scene.sandbox.clear_faults());
    cad = desk.start(scene);
    HOLD(cad->go_on_with_a_trip());
    // The start before may be leaving still, in the background of this process; until then it shares the borrow.
    SOON((cad->end_trip(), scene.control("GET /slots").find("\"borrowed\":true") == std::string::npos));
    HOLD(!cad->is_on_trip() && scene.slots_of_my_desk() == 2);
    cad.reset();
    scene.end();
    std::cout << "A trip: MESH came along, a start needed no network, and an early return gave it back.\n";
}

static void a_trip_that_is_too_long()
{
    Scene scene;
    const Desk desk;
    std::optional<Cad> cad = desk.start(scene);

    HOLD(cad->go_to_the_office());
    cad->begin_trip();
    HOLD(cad->is_on_trip() && cad->draw("a wall"));
    scene.outage();
    scene.pass(11h, cad->client());
    HOLD(is(*cad, State::borrowed));
    scene.pass(61min, cad->client());
    SOON(is(*cad, State::lost));
    SOON(says(*cad, desk, "a wall"));
    HOLD(scene.sandbox.clear_faults());
    cad.reset();
    scene.end();
    std::cout << "A trip longer than the borrow: the document was saved.\n";
}

int main()
{
    both_or_none();
    the_document_is_saved();
    a_trip();
    a_trip_that_is_too_long();
    return 0;
}
