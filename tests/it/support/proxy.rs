//! A wire between two programs that can be cut, or go silent without being cut.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Passes bytes on to a server.
pub struct Proxy {
    pub address: SocketAddr,
    wire: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    /// What the client says is taken and not passed on.
    mute: AtomicBool,
    /// What the server says is.
    deaf: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, wire) = (listener.local_addr().unwrap(), Arc::<Wire>::default());
        let shared = Arc::clone(&wire);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                shared
                    .open
                    .lock()
                    .unwrap()
                    .extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let ends = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                let wire = Arc::clone(&shared);
                std::thread::spawn(move || pass(client, server, &wire.mute));
                let (wire, [client, server]) = (Arc::clone(&shared), ends);
                std::thread::spawn(move || pass(server, client, &wire.deaf));
            }
        });
        Proxy { address, wire }
    }

    /// The same address with this wire in between.
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap();
        let user = authority
            .rsplit_once('@')
            .map(|(user, _)| format!("{user}@"))
            .unwrap_or_default();
        format!("{scheme}://{user}{}/{path}", self.address)
    }

    /// Ends every connection there is; new ones are passed on.
    pub fn cut(&self) {
        for socket in self.wire.open.lock().unwrap().drain(..) {
            let _gone_already = socket.shutdown(Shutdown::Both);
        }
    }

    /// Nothing passes any more, and nobody is told.
    pub fn silence(&self) {
        self.mute();
        self.deafen();
    }

    /// Only what the client says is lost.
    pub fn mute(&self) {
        self.wire.mute.store(true, Ordering::SeqCst);
    }

    /// Only what the server says is lost.
    pub fn deafen(&self) {
        self.wire.deaf.store(true, Ordering::SeqCst);
    }

    /// Lets bytes pass again, on new connections: what was swallowed is gone.
    pub fn speak(&self) {
        self.wire.mute.store(false, Ordering::SeqCst);
        self.wire.deaf.store(false, Ordering::SeqCst);
        self.cut();
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, lost: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut bytes) {
        if read == 0 {
            break;
        }
        if !lost.load(Ordering::SeqCst) && to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _gone_already = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Where a URL's server listens.
pub fn server_of(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap().parse().unwrap()
}
