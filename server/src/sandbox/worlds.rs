//! All worlds of a sandbox: finds the world that a request is for, makes and ends worlds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper::Response;

use super::control_error::ControlError;
use super::keys::random_text;
use super::options::WorldOptions;
use super::world::World;
use crate::catalogue::ApiKey;
use crate::http::{Handler, RawConnection, ReceivedRequest, claimed_client};
use crate::writer::WriterThread;

/// Time between two searches for idle worlds.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Upper bound for worlds at a time, so that a test that never ends its worlds is noticed.
const MOST_WORLDS: usize = 1000;

/// The worlds of a sandbox.
pub(crate) struct Worlds {
    base_url: String,
    /// URL of the control interface, if it has a port.
    control_url: Option<String>,
    /// The world that exists from the start and never ends.
    main: Arc<World>,
    others: RwLock<Others>,
    threads: Mutex<Vec<WriterThread>>,
}

#[derive(Default)]
struct Others {
    by_id: BTreeMap<String, Arc<World>>,
    /// By API key and by OAuth client.
    by_client: HashMap<String, Arc<World>>,
}

impl Worlds {
    /// Starts with one world, which accepts these API keys besides its own.
    pub(crate) fn start(
        options: &WorldOptions,
        base_url: String,
        control_url: Option<String>,
        api_keys: Vec<ApiKey>,
    ) -> Result<Worlds, ControlError> {
        let (main, thread) = World::start("main".to_owned(), options, &base_url, control_url.clone(), api_keys)?;
        let threads = Mutex::new(vec![thread.thread]);
        Ok(Worlds { base_url, control_url, main: Arc::new(main), others: RwLock::default(), threads })
    }

    pub(crate) fn main(&self) -> &Arc<World> {
        &self.main
    }

    /// Returns the URL of the control interface, if it has a port.
    pub(crate) fn control_url(&self) -> Option<&str> {
        self.control_url.as_deref()
    }

    /// Makes another world.
    pub(crate) fn create(&self, options: &WorldOptions) -> Result<Arc<World>, ControlError> {
        if self.all().len() >= MOST_WORLDS {
            return Err(ControlError::conflict(format!(
                "too many worlds: at most {MOST_WORLDS} are allowed; end some by DELETE"
            )));
        }
        let id = random_text(12);
        let control_url = self.control_url.as_ref().map(|url| format!("{url}/worlds/{id}"));
        let (world, thread) = World::start(id.clone(), options, &self.base_url, control_url, Vec::new())?;
        let world = Arc::new(world);
        {
            // The thread is remembered before anything can fail, so that `finish` always waits for it.
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.retain(|thread| !thread.is_finished());
            threads.push(thread.thread);
        }
        self.with(|others| {
            let taken = |name: &&String| others.by_client.contains_key(*name) || self.main.clients.contains(name);
            if let Some(name) = world.clients.iter().find(taken) {
                let message = format!(
                    "the API key or OAuth client {name:?} belongs to another world; leave it out, since every world gets its own"
                );
                return Err(ControlError::conflict(message));
            }
            others.by_client.extend(world.clients.iter().map(|name| (name.clone(), Arc::clone(&world))));
            others.by_id.insert(id, Arc::clone(&world));
            Ok(())
        })?;
        Ok(world)
    }

    /// Returns the world of this id, and notes that it is in use.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<World>, ControlError> {
        if id == self.main.id {
            return Ok(Arc::clone(&self.main));
        }
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let over =
            || ControlError::not_found(format!("unknown world {id:?}; it may have ended because nobody used it"));
        let world = others.by_id.get(id).cloned().ok_or_else(over)?;
        world.touch();
        Ok(world)
    }

    /// Ends a world. Its requests under way are still answered.
    pub(crate) fn end(&self, id: &str) -> Result<(), ControlError> {
        if id == self.main.id {
            return Err(ControlError::conflict(format!("the world {id:?} can't be ended; it ends with the server")));
        }
        self.get(id)?;
        self.with(|others| others.remove(id));
        Ok(())
    }

    pub(crate) fn all(&self) -> Vec<Arc<World>> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(&self.main).chain(others.by_id.values()).cloned().collect()
    }

    /// Ends idle worlds, again and again. Never returns.
    pub(crate) async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            for world in self.all().into_iter().filter(|world| world.id != self.main.id && world.is_idle()) {
                self.with(|others| others.remove(&world.id));
            }
        }
    }

    /// Drops all worlds and waits for their threads, which end only if no other reference to a world is left.
    pub(crate) fn finish(self) {
        let Worlds { main, others, threads, .. } = self;
        drop((main, others));
        for thread in threads.into_inner().unwrap_or_else(PoisonError::into_inner) {
            // An error means that a store in memory has failed, which loses nothing of value.
            let _ = thread.join();
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Others) -> T) -> T {
        work(&mut self.others.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the world of the request's API key or OAuth client, whatever else is wrong with the request.
    fn world_of(&self, request: &ReceivedRequest) -> Arc<World> {
        let client = claimed_client(request);
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let world = client.and_then(|client| others.by_client.get(&client));
        Arc::clone(world.unwrap_or(&self.main))
    }
}

impl Others {
    fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
        self.by_client.retain(|_, world| world.id != id);
    }
}

impl Handler for Worlds {
    async fn handle(&self, request: ReceivedRequest, connection: RawConnection) -> Response<Vec<u8>> {
        self.world_of(&request).reply(request, connection).await
    }
}
