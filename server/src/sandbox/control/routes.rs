//! The table of routes, and the function of each.

use std::sync::Arc;

use floatlease::model::format_time;
use rand::RngExt;
use serde_json::{Map, Value};

use super::Control;
use super::bodies::*;
use super::description;
use super::route::Route;
use crate::domain::Due;
use crate::sandbox::control_error::ControlError;
use crate::sandbox::fault::{Fault, FaultEntry};
use crate::sandbox::journal::Filter;
use crate::sandbox::options::{WorldOptions, check_rate};
use crate::sandbox::time_spec::{duration, instant};
use crate::sandbox::world::{AdvanceTarget, World};

type Result<T> = std::result::Result<T, ControlError>;

#[rustfmt::skip]
pub(super) fn all() -> Vec<Route> {
    vec![
        Route::of_world("GET", "/clock", "Shows the clock, and the next events that time alone causes.", clock),
        Route::of_world("POST", "/clock", "Changes the clock's rate: standing still, in real time, faster.", set_clock),
        Route::of_world("POST", "/clock/advance", "Moves the clock forward. Replies after everything that is due on the way has happened.", advance),
        Route::of_world("POST", "/clock/jump", "Sets the clock as an administrator corrects a computer's: slots keep the time that they had left, borrows their date.", jump),
        Route::of_world("GET", "/faults", "Lists the faults, and how often each has happened.", faults),
        Route::of_world("POST", "/faults", "Adds a fault to the end of the list. The first fault that matches a request happens to it.", add_fault),
        Route::of_world("PUT", "/faults", "Replaces the list.", put_faults),
        Route::of_world("DELETE", "/faults", "Removes all faults.", clear_faults),
        Route::of_world("DELETE", "/faults/{id}", "Removes one fault.", remove_fault),
        Route::of_world("POST", "/faults/profile", "Adds the faults of a well-known kind of trouble.", add_profile),
        Route::of_world("GET", "/journal", "Lists requests, replies and license events, oldest first.", journal),
        Route::of_world("DELETE", "/journal", "Removes all entries of the journal.", clear_journal),
        Route::of_world("POST", "/journal/count", "Counts the entries that match.", count),
        Route::of_world("POST", "/journal/expect", "Succeeds if the expected number of entries match; else replies 417 and the entries that nearly match.", expect),
        Route::of_world("POST", "/tokens/expire", "Expires every access token that was issued.", expire_tokens),
        Route::of_world("GET", "/slots", "Lists the slots that are held.", slots),
        Route::of_world("GET", "/invariants", "Checks that everything is as it must be, for the end of a test.", invariants),
        Route::of_world("GET", "/client_config", "Returns a complete configuration for a client of this world.", client_config),
        Route::of_server("GET", "/worlds", "Lists the worlds.", worlds),
        Route::of_server("POST", "/worlds", "Makes a world: fresh keys, data, clock, faults and journal behind the same port.", create_world),
        Route::of_server("GET", "/worlds/{id}", "Returns what a client of a world needs.", world),
        Route::of_server("DELETE", "/worlds/{id}", "Ends a world.", end_world),
        Route::of_server("POST", "/listener", "Closes the API's port, as if the server were not running, or opens it again. For all worlds.", listener),
        Route::of_server("GET", "/openapi.json", "Describes this interface in OpenAPI 3.1.", openapi),
    ]
}

async fn clock(world: Arc<World>, _: EmptyRequest) -> Result<ClockReply> {
    let next = world.next_due().await?;
    Ok(ClockReply {
        now: format_time(world.now()),
        rate: world.clock().rate(),
        date_check: *world.date_check(),
        next: dues(&world, &next),
    })
}

async fn set_clock(world: Arc<World>, request: ClockRequest) -> Result<ClockReply> {
    if let Some(rate) = request.rate {
        world.clock().set_rate(check_rate(rate)?);
    }
    if let Some(date_check) = request.date_check {
        *world.date_check() = date_check;
    }
    clock(world, EmptyRequest {}).await
}

async fn advance(world: Arc<World>, request: AdvanceRequest) -> Result<AdvanceReply> {
    let target = match (request.by, request.to, request.to_next) {
        (Some(by), None, None) => AdvanceTarget::By(duration(&by)?),
        (None, Some(to), None) => AdvanceTarget::To(instant(&to, world.now())?),
        (None, None, Some(true)) => AdvanceTarget::ToNext,
        _ => return Err(ControlError::invalid("expected exactly one of `by`, `to` and `to_next`: true")),
    };
    let happened = world.advance(target).await?;
    Ok(AdvanceReply { now: format_time(world.now()), happened: dues(&world, &happened) })
}

async fn jump(world: Arc<World>, request: JumpRequest) -> Result<ClockReply> {
    let by = match request.by.trim().strip_prefix('-') {
        Some(back) => -duration(back)?,
        None => duration(request.by.trim().trim_start_matches('+'))?,
    };
    world.jump(by).await?;
    clock(world, EmptyRequest {}).await
}

fn dues(world: &World, dues: &[Due]) -> Vec<DueReply> {
    dues.iter().map(|due| DueReply { at: format_time(due.at), event: world.journal.record_of(due) }).collect()
}

async fn faults(world: Arc<World>, _: EmptyRequest) -> Result<FaultsReply> {
    Ok(FaultsReply { faults: world.faults().all() })
}

async fn add_fault(world: Arc<World>, fault: Fault) -> Result<FaultEntry> {
    let now = world.now();
    world.faults().add(fault, now)
}

async fn put_faults(world: Arc<World>, request: FaultsRequest) -> Result<FaultsReply> {
    let now = world.now();
    world.faults().replace(request.faults, now)?;
    faults(world, EmptyRequest {}).await
}

async fn clear_faults(world: Arc<World>, _: EmptyRequest) -> Result<EmptyReply> {
    world.faults().clear();
    Ok(EmptyReply {})
}

async fn remove_fault(world: Arc<World>, fault: NumberedFault) -> Result<EmptyReply> {
    let removed = world.faults().remove(fault.id);
    let unknown = || ControlError::not_found(format!("unknown fault {}; GET /faults lists them", fault.id));
    if removed { Ok(EmptyReply {}) } else { Err(unknown()) }
}

async fn add_profile(world: Arc<World>, request: ProfileRequest) -> Result<ProfileReply> {
    let seed = request.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));
    tracing::info!("world {}: profile {:?} with seed {seed}", world.id, request.profile);
    let now = world.now();
    let mut list = world.faults();
    let faults = request.profile.faults(seed, &request.matching, request.until.as_deref()).into_iter();
    Ok(ProfileReply { seed, faults: faults.map(|fault| list.add(fault, now)).collect::<Result<_>>()? })
}

async fn journal(world: Arc<World>, request: JournalRequest) -> Result<JournalReply> {
    let (entries, forgotten) = world.journal.after(request.after, request.limit.unwrap_or(1000) as usize);
    Ok(JournalReply { entries, forgotten })
}

async fn clear_journal(world: Arc<World>, _: EmptyRequest) -> Result<EmptyReply> {
    world.journal.clear();
    Ok(EmptyReply {})
}

async fn count(world: Arc<World>, request: CountRequest) -> Result<CountReply> {
    Ok(CountReply { count: counted(&world, &Filter::new(request.filter)?)? })
}

/// Counts the entries that match. Refuses if entries were forgotten, since those can't be counted.
fn counted(world: &World, filter: &Filter) -> Result<u64> {
    match world.journal.count(filter) {
        (count, 0) => Ok(count),
        (_, forgotten) => {
            let message = format!("the journal has forgotten its first {forgotten} entries; clear it before the test");
            Err(ControlError::conflict(message))
        }
    }
}

async fn expect(world: Arc<World>, request: ExpectRequest) -> Result<CountReply> {
    let ExpectRequest { filter, times, at_least, at_most } = request;
    let what = Value::Object(filter.clone());
    let filter = Filter::new(filter)?;
    let count = counted(&world, &filter)?;
    let unsaid = times.is_none() && at_least.is_none() && at_most.is_none();
    let least = times.max(at_least).unwrap_or(u64::from(unsaid));
    let most = times.into_iter().chain(at_most).min().unwrap_or(u64::MAX);
    if (least..=most).contains(&count) {
        return Ok(CountReply { count });
    }
    let nearly = world.journal.near_matches(&filter);
    let nearly =
        if nearly.is_empty() { "no entry comes near".to_owned() } else { format!("near: {}", nearly.join("; ")) };
    let wanted = match most {
        u64::MAX => format!("{least} or more"),
        most if most == least => format!("{least}"),
        most => format!("{least} to {most}"),
    };
    Err(ControlError::not_met(format!("{count} entries match {what}, expected {wanted}; {nearly}")))
}

async fn expire_tokens(world: Arc<World>, _: EmptyRequest) -> Result<EmptyReply> {
    world.expire_tokens();
    Ok(EmptyReply {})
}

async fn slots(world: Arc<World>, _: EmptyRequest) -> Result<SlotsReply> {
    let (holdings, _) = world.audit().await?;
    Ok(SlotsReply { slots: holdings.iter().map(|holding| SlotReply::new(&world, holding)).collect() })
}

async fn invariants(world: Arc<World>, _: EmptyRequest) -> Result<InvariantsReply> {
    let (holdings, violations) = world.audit().await?;
    let without_effect = world.faults().all().into_iter().filter(|entry| entry.happened == 0);
    Ok(InvariantsReply {
        ok: violations.is_empty(),
        violations,
        slots: holdings.iter().map(|holding| SlotReply::new(&world, holding)).collect(),
        faults_without_effect: without_effect.map(|entry| entry.id).collect(),
    })
}

async fn client_config(world: Arc<World>, request: ClientConfigRequest) -> Result<Map<String, Value>> {
    let mut config = world.info.client_config();
    match request.hardware_id {
        None => {}
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(ControlError::invalid("`hardware_id` must be a string"));
        }
        Some(id) => {
            config.insert("hardware_id".to_owned(), text(&id).into());
        }
    }
    Ok(config)
}

async fn worlds(control: Arc<Control>, _: EmptyRequest) -> Result<WorldsReply> {
    Ok(WorldsReply { worlds: control.worlds.all().iter().map(|world| world.id.clone()).collect() })
}

async fn create_world(control: Arc<Control>, options: WorldOptions) -> Result<WorldReply> {
    control.worlds.create(&options).map(|world| world_reply(&world))
}

async fn world(control: Arc<Control>, named: NamedWorld) -> Result<WorldReply> {
    control.worlds.get(&named.name()).map(|world| world_reply(&world))
}

async fn end_world(control: Arc<Control>, named: NamedWorld) -> Result<EmptyReply> {
    control.worlds.end(&named.name()).map(|()| EmptyReply {})
}

async fn listener(control: Arc<Control>, request: ListenerRequest) -> Result<EmptyReply> {
    control.listen(request.open).await.map(|()| EmptyReply {})
}

async fn openapi(control: Arc<Control>, _: EmptyRequest) -> Result<Map<String, Value>> {
    let document = description::document(control.worlds.control_url().unwrap_or(super::BASE_PATH));
    document.as_object().cloned().ok_or_else(|| ControlError::internal("the description is not an object"))
}

pub(super) fn world_reply(world: &World) -> WorldReply {
    WorldReply {
        world: world.id.clone(),
        facts: world.info.to_json(),
        client_config: world.info.client_config(),
        presets: world.presets.as_ref().map(|presets| presets.all().to_vec()).unwrap_or_default(),
    }
}

impl NamedWorld {
    fn name(&self) -> String {
        text(&self.id)
    }
}

/// Returns a text from the path or the query. Digits were read as a number.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
