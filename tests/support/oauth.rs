//! Clients of a world that authorise by access tokens, and what its token endpoint is asked.

use super::abi::{Answer, Client};
use super::sandbox::World;
use super::with;
use serde_json::{Value, json};
use std::sync::Barrier;
use std::thread;

/// Number of calls that a test makes at once.
pub const CALLS: usize = 64;

/// The config of such a client on the machine `hardware_id`, with the world's own OAuth client.
pub fn config(world: &World, hardware_id: &str) -> Value {
    let (id, secret) = (&world.said["client_id"], &world.said["client_secret"]);
    config_of(world, hardware_id, id.as_str().unwrap(), secret.as_str().unwrap())
}

/// The same with another OAuth client.
pub fn config_of(world: &World, hardware_id: &str, client_id: &str, client_secret: &str) -> Value {
    let keys = json!({
        "api_key": null, "shared_key": null, "client_id": client_id, "client_secret": client_secret,
        "oauth_url": format!("{}/oauth/token", world.said["base_url"].as_str().unwrap()),
    });
    with(&world.config(hardware_id), keys)
}

/// A client of that config, whose device is activated. It has a token by then.
pub fn active_client(world: &World, hardware_id: &str) -> Client {
    let client = Client::open(&config(world, hardware_id)).unwrap();
    client.call("activate_license", &Value::Null).ok();
    client
}

/// The number of entries in the world's journal that match.
pub fn count(world: &World, filter: &Value) -> u64 {
    world.control("POST /journal/count", &json!({ "filter": filter }))["count"].as_u64().unwrap()
}

/// How often the token endpoint was asked.
pub fn tokens_asked_for(world: &World) -> u64 {
    count(world, &json!({ "operation": "oauth_token" }))
}

/// Makes this happen to every request for a token, and nothing else to any request.
pub fn only_at_token_endpoint(world: &World, what: &Value) {
    let fault = json!({ "match": { "operation": "oauth_token" }, "do": what });
    world.control("PUT /faults", &json!({ "faults": [fault] }));
}

/// Makes many calls at once.
pub fn at_once(client: &Client, operation: &str, request: &Value) -> Vec<Answer> {
    let barrier = Barrier::new(CALLS);
    thread::scope(|scope| {
        let call = || {
            barrier.wait();
            client.call(operation, request)
        };
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}
