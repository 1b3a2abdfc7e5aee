//! nginx as a reverse proxy in front of the same server: the cost of reading and writing two sockets, on this machine
//! and in this run. No gateway can do with less.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::gateway::{Usage, usage};

/// Where Debian's packages and others install it.
const PLACES: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/bin/nginx"];
const PATIENCE: Duration = Duration::from_secs(5);

/// A running nginx; stopped when dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    folder: PathBuf,
    /// Where clients connect, without a path.
    pub address: String,
}

impl Nginx {
    /// Starts nginx in front of a server at this address. `None` if it is not installed.
    pub fn start(server: &str) -> Result<Option<Self>, String> {
        let Some(program) = PLACES.iter().map(Path::new).find(|place| place.exists()) else {
            return Ok(None);
        };
        let failed = |error: std::io::Error| format!("nginx: {error}");
        let folder = std::env::temp_dir().join(format!("doorward-nginx-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).map_err(failed)?;
        let at = folder.display();
        let config = format!(
            "daemon off; worker_processes auto; pid {at}/pid; error_log stderr error;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off; keepalive_requests 1000000000; client_body_temp_path {at}/body;\n  \
             proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n  \
             upstream server {{ server {server}; keepalive 128; keepalive_requests 1000000000; }}\n  \
             server {{ listen {port}; location / {{ proxy_pass http://server; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; }} }}\n}}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config).map_err(failed)?;
        let child = Command::new(program)
            .args(["-p".as_ref(), folder.as_os_str(), "-c".as_ref(), "nginx.conf".as_ref()])
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut nginx = Self { child, folder, address: port.to_string() };
        let began = Instant::now();
        while std::net::TcpStream::connect(port).is_err() {
            if began.elapsed() > PATIENCE || nginx.child.try_wait().map_err(failed)?.is_some() {
                return Err("nginx does not start; it says why above".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(nginx))
    }

    /// The resources that all of its processes have used so far.
    pub fn usage(&self) -> Usage {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let workers = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        workers.map(usage).fold(usage(pid), |all, one| Usage {
            cpu: all.cpu + one.cpu,
            system: all.system + one.system,
            resident_kib: all.resident_kib + one.resident_kib,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Terminate it gracefully, so that its workers exit as well.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGTERM);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
