//! A machine whose programs share slots, and the world in which its server counts them.

use super::folder::Folder;
use super::holder::Holder;
use super::sandbox::World;
use super::{Demo, with};
use serde_json::{Value, json};

/// What the server knows it by.
pub const DEVICE: &str = "workstation";

/// An activated device with a folder for what outlives its programs.
pub struct Machine {
    pub world: World,
    pub folder: Folder,
}

impl Machine {
    pub fn new(demo: &Demo, name: &str) -> Machine {
        Machine::new_with(demo, name, &json!({ "rate": 0 }))
    }

    /// The same in a world of these options.
    pub fn new_with(demo: &Demo, name: &str, options: &Value) -> Machine {
        let world = World::new(demo, options);
        world.client(DEVICE).call("activate_license", &Value::Null).ok();
        Machine { world, folder: Folder::new(name) }
    }

    /// What its programs open their clients with.
    pub fn config(&self) -> Value {
        with(&self.world.config(DEVICE), json!({ "storage_dir": self.folder.path() }))
    }

    pub fn start(&self) -> Holder {
        Holder::start(&self.config())
    }

    /// A program that starts when there is no network.
    pub fn start_offline(&self) -> Holder {
        Holder::start(&with(&self.config(), json!({ "base_url": "http://127.0.0.1:9/api/v4" })))
    }

    /// The slots that the server counts: of which feature, null for the license's own, and whether it is borrowed.
    pub fn slots(&self) -> Vec<(Value, bool)> {
        self.world.slots_of(DEVICE)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.slots().len()
    }
}
