//! Signals: the first asks a run to end in good order, the second ends the process at once.

use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::pipeline::Stop;

/// Turns signals into requests for the rest of the process's life.
pub fn listen(stop: Arc<Stop>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGUSR1 {
                stop.ask_progress();
            } else if stop.signal().is_some() {
                die_by(signal);
            } else {
                stop.request(signal);
            }
        }
    });
    Ok(())
}

/// Ends the process by a signal, so that a shell sees it died of that.
pub fn die_by(signal: i32) {
    // Fails only for signals that cannot be handled; those listed above can.
    let _ = emulate_default_handler(signal);
}
