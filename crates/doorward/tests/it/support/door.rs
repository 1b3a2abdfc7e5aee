//! A proxy in front of a server: when shut, the server is unreachable; when held, it does not respond.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Open,
    /// New connections are refused, and open ones are closed.
    Shut,
    /// Connections are accepted, but nothing is answered.
    Held,
}

pub struct Door {
    pub address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    /// The state that has taken effect.
    shown: Arc<Mutex<Mood>>,
}

impl Door {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Open));
        let shown = Arc::new(Mutex::new(Mood::Open));
        let (wanted, shows) = (mood.clone(), shown.clone());
        std::thread::spawn(move || keep(listener, server, &wanted, &shows));
        Self { address, mood, shown }
    }

    /// Returns once the state has taken effect.
    pub fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        super::wait_for("the door is as it should be", || *self.shown.lock().unwrap() == mood);
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

fn keep(listener: TcpListener, server: SocketAddr, mood: &Arc<Mutex<Mood>>, shown: &Mutex<Mood>) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    let mut open: Vec<TcpStream> = Vec::new();
    loop {
        let wanted = *mood.lock().unwrap();
        if wanted == Mood::Shut {
            listener = None;
            for stream in open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        } else if let Some(listener) = &listener {
            listener.set_nonblocking(true).unwrap();
            while let Ok((client, _)) = listener.accept() {
                client.set_nonblocking(false).unwrap();
                let Ok(server) = TcpStream::connect(server) else { continue };
                open.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                for (from, to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    let mood = mood.clone();
                    std::thread::spawn(move || pump(from, to, &mood));
                }
            }
        } else {
            listener = TcpListener::bind(address).ok();
        }
        if (wanted == Mood::Shut) == listener.is_none() {
            *shown.lock().unwrap() = wanted;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, mood: &Mutex<Mood>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        while *mood.lock().unwrap() == Mood::Held {
            std::thread::sleep(Duration::from_millis(5));
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
