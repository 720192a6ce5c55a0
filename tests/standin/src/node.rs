//! What happens to nodes: backends die, frontends restart, the leader changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{Cluster, Deposed};
use crate::txn::TxnState;

type Done = Result<(), String>;

fn no_be(be: usize) -> String {
    format!("no backend {be}")
}

/// Kills a backend: its port refuses, its connections break, its contexts and logs are gone. The
/// frontend goes on naming it until `notice_dead_be`.
pub(crate) fn kill_be(cluster: &Arc<Cluster>, be: usize) -> Done {
    {
        let mut state = cluster.lock();
        let backend = state.backends.get_mut(be).ok_or_else(|| no_be(be))?;
        backend.epoch += 1;
        backend.contexts.clear();
        backend.error_logs.clear();
    }
    if let Some(port) = cluster.ports().be.get(be) {
        port.shut();
    }
    // A load that was under way has put nothing back: its context is gone.
    Ok(())
}

/// The frontend learns that a backend is down: no redirects to it, its open transactions end.
pub(crate) fn notice_dead_be(cluster: &Arc<Cluster>, be: usize) -> Done {
    let now_ms = cluster.clock.now_ms();
    let aborts = cluster.version.aborts_on_dead_backend();
    let mut state = cluster.lock();
    state.backends.get_mut(be).ok_or_else(|| no_be(be))?.alive = false;
    let open: Vec<i64> = state
        .txns
        .unfinished()
        .filter(|t| aborts && t.state == TxnState::Prepare && t.be == Some(be))
        .map(|t| t.id)
        .collect();
    open.into_iter().for_each(|id| state.abort(id, "coordinate BE is down", now_ms));
    Ok(())
}

/// Starts a killed backend again at its address, with nothing in memory.
pub(crate) fn start_be(cluster: &Arc<Cluster>, be: usize) -> Done {
    cluster.lock().backends.get_mut(be).ok_or_else(|| no_be(be))?.alive = true;
    match cluster.ports().be.get(be) {
        Some(port) => port.reopen().map_err(|e| e.to_string()),
        None => Err(no_be(be)),
    }
}

/// Makes redirects to a backend name `host` (`host:port`) instead of its address.
pub(crate) fn register_be(cluster: &Arc<Cluster>, be: usize, host: Option<&str>) -> Done {
    let mut state = cluster.lock();
    let backend = state.backends.get_mut(be).ok_or_else(|| no_be(be))?;
    backend.registered = host.map(str::to_owned);
    Ok(())
}

/// Restarts the leader: what is not in its journal is forgotten, labels are swept.
pub(crate) fn restart_fe(cluster: &Arc<Cluster>, lose_prepared_callbacks: bool) {
    let now_ms = cluster.clock.now_ms();
    cluster.lock().restart_leader(now_ms, lose_prepared_callbacks);
}

/// Makes another frontend the leader. With `deposed_ms` the old one goes on answering states from
/// what it knew for that long, and then is dead; without, it becomes a follower.
pub(crate) fn change_leader(cluster: &Arc<Cluster>, to: usize, deposed_ms: Option<u64>) -> Done {
    let now_ms = cluster.clock.now_ms();
    let mut state = cluster.lock();
    if to >= state.frontends.len() {
        return Err(format!("no frontend {to}"));
    }
    let old = state.leader;
    if let Some(ms) = deposed_ms {
        let databases: HashMap<String, u64> =
            state.databases.iter().map(|(name, d)| (name.clone(), d.id)).collect();
        let known = state.txns.clone();
        state.deposed = Some(Deposed { fe: old, until_ms: now_ms + ms, known, databases });
    }
    state.leader = to;
    state.restart_leader(now_ms, false);
    Ok(())
}

/// Kills a frontend: its port refuses and its connections break.
pub(crate) fn kill_fe(cluster: &Arc<Cluster>, fe: usize) -> Done {
    let ports = cluster.ports();
    ports.fe.get(fe).ok_or_else(|| format!("no frontend {fe}"))?.shut();
    Ok(())
}

/// Starts a killed frontend again at its address.
pub(crate) fn start_fe(cluster: &Arc<Cluster>, fe: usize) -> Done {
    if let Some(frontend) = cluster.lock().frontends.get_mut(fe) {
        frontend.alive = true;
    }
    match cluster.ports().fe.get(fe) {
        Some(port) => port.reopen().map_err(|e| e.to_string()),
        None => Err(format!("no frontend {fe}")),
    }
}

/// Longest wait for something to be held or noted.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
