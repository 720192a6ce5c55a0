//! A listening port that can be shut and opened again at the same address, with a thread per
//! connection. Shutting refuses new connections and breaks the open ones, as a killed process does.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

type Serve = Arc<dyn Fn(TcpStream) + Send + Sync>;

/// One listener and what it does with connections.
pub(crate) struct Port {
    addr: SocketAddr,
    serve: Serve,
    open: Mutex<Option<Open>>,
}

struct Open {
    stop: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
    streams: Streams,
}

type Streams = Arc<Mutex<HashMap<u64, TcpStream>>>;

impl Port {
    pub(crate) fn bind(
        addr: SocketAddr,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let serve: Serve = Arc::new(serve);
        let open = Open::start(listener, Arc::clone(&serve))?;
        Ok(Self { addr, serve, open: Mutex::new(Some(open)) })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Refuses connections from now on and breaks the open ones; a second call does nothing.
    pub(crate) fn shut(&self) {
        let Some(open) = lock(&self.open).take() else { return };
        open.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees the flag and drops the listener.
        let _ = TcpStream::connect(self.addr);
        let _ = open.accepting.join();
        break_off(&open.streams);
    }

    /// Listens again after `shut`.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut open = lock(&self.open);
        if open.is_none() {
            *open = Some(Open::start(TcpListener::bind(self.addr)?, Arc::clone(&self.serve))?);
        }
        Ok(())
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.addr)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.shut();
    }
}

impl Open {
    fn start(listener: TcpListener, serve: Serve) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let streams: Streams = Arc::default();
        let (flag, known) = (Arc::clone(&stop), Arc::clone(&streams));
        let accepting = thread::Builder::new()
            .name("standin-accept".to_owned())
            .spawn(move || accept(&listener, &flag, &known, &serve))?;
        Ok(Self { stop, accepting, streams })
    }
}

fn accept(listener: &TcpListener, stop: &AtomicBool, streams: &Streams, serve: &Serve) {
    let next = AtomicU64::new(0);
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let id = next.fetch_add(1, Ordering::Relaxed);
        if let Ok(copy) = stream.try_clone() {
            lock(streams).insert(id, copy);
        }
        let (serve, known) = (Arc::clone(serve), Arc::clone(streams));
        let spawned = thread::Builder::new().name("standin-conn".to_owned()).spawn(move || {
            serve(stream);
            lock(&known).remove(&id);
        });
        if spawned.is_err() {
            lock(streams).remove(&id);
        }
    }
}

fn break_off(streams: &Streams) {
    for stream in lock(streams).values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Locks even after a panic elsewhere: one failed connection must not take the stand-in down.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
