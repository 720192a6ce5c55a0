//! A TCP relay that can die: stands for a server that goes away in the middle of things.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};

/// Relays connections until it is dropped; then it is as if its host had gone.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    /// Both ends of every connection so far.
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on a free port and relays to `target`, `host:port`.
    pub fn start(target: &str) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").context("bind a proxy")?;
        let address = listener.local_addr().context("bind a proxy")?;
        let shared = Arc::new(Shared::default());
        let (target, for_acceptor) = (target.to_owned(), Arc::clone(&shared));
        let acceptor = thread::spawn(move || accept(&listener, &target, &for_acceptor));
        Ok(Proxy { address, shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections relayed so far.
    pub fn connections(&self) -> usize {
        self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).len() / 2
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then sees that it is over and closes the port.
        TcpStream::connect(self.address).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
        for stream in &*self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn accept(listener: &TcpListener, target: &str, shared: &Shared) {
    for client in listener.incoming().flatten() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(target) else { continue };
        if relay(&client, &server).is_ok() {
            let mut streams = shared.streams.lock().unwrap_or_else(PoisonError::into_inner);
            streams.extend([client, server]);
        }
    }
}

/// Copies both ways in threads that end with their connection.
fn relay(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
    }
    Ok(())
}
