//! `doorward serve`: starts the gateway, applies changes of its configuration, and stops it gracefully.

pub mod inspection;
pub mod pins;
mod policies;
mod reload;
mod tls;
mod workers;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_admin::Reload;
use doorward_config::Settings;
use doorward_config::{Secret, ServerSettings};
use doorward_gateway::Gateway;
use doorward_gateway::stops::Emergency;
use doorward_net::listener::{self, Listening};
use doorward_packages::servers as packages;
use doorward_store::{Location, Store};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::tls::Tls;
use self::workers::Workers;
use crate::cli::{Admin, Serve};
use crate::commands::{Exit, Failed};
use crate::inherited::Inherited;
use crate::{commands, config, logging, terminal};

/// How long connections and streams may take to end once calls have ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub fn run(options: Serve, inherited: Inherited) -> Result<(), Failed> {
    logging::start(&options.log, options.log_format)?;
    let read = settings(&options)?;
    // Not earlier: the configuration may be one of them.
    inherited.close();
    let workers = Workers::start()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let done = runtime.block_on(serve(options, read, workers.handles.clone()));
    workers.end();
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// The settings at start.
struct Read {
    settings: Settings,
    /// The file's text, and whether it refers to values that may change.
    text: String,
    changeable: bool,
}

/// The settings of the file, or of the sample server, with those of the command line on top.
fn settings(options: &Serve) -> Result<Read, Failed> {
    let (settings, text, changeable) = match &options.config {
        None => {
            let servers = [("sample".to_owned(), ServerSettings::sample())].into();
            (Settings { servers, ..Settings::default() }, String::new(), false)
        }
        Some(path) => {
            let loaded = config::load(path).map_err(|report| Failed::report(&report))?;
            for notice in &loaded.notices {
                tracing::warn!(file = %path.display(), "{notice}");
            }
            (loaded.settings, loaded.text, loaded.changeable)
        }
    };
    let settings = overridden(settings, options);
    if let Some(problem) = settings.problems().first() {
        return Err(Failed::new(Exit::Config, problem.to_string()));
    }
    if let Err(problems) = packages::check_locked(&settings, options.config.as_deref()) {
        for problem in &problems {
            terminal::complain(problem);
        }
        return Err(Failed::silent(Exit::Config));
    }
    Ok(Read { settings, text, changeable })
}

fn overridden(mut settings: Settings, options: &Serve) -> Settings {
    if let Some(listen) = options.listen {
        settings.listen = listen;
    }
    match options.admin {
        None => {}
        Some(Admin::Off) => settings.admin = None,
        Some(Admin::At(address)) => settings.admin = Some(address),
    }
    if let Some(folder) = options.config.as_deref().and_then(Path::parent) {
        stand_beside(&mut settings, folder);
    }
    if let Some(store) = &options.store {
        settings.store = Some(Secret(store.clone()));
    }
    settings
}

/// Makes the paths in a file relative to its folder.
pub fn stand_beside(settings: &mut Settings, folder: &Path) {
    let tls = settings.tls.iter_mut().chain(&mut settings.admin_tls);
    let files = tls.flat_map(|tls| {
        [Some(&mut tls.cert), Some(&mut tls.key), tls.client_ca.as_mut()].into_iter().flatten()
    });
    let audit = &mut settings.audit;
    let exports = audit.exports.values_mut().flat_map(|export| {
        let file = export.file.as_mut().map(|file| &mut file.path);
        file.into_iter().chain(export.syslog.as_mut().and_then(|syslog| syslog.ca.as_mut()))
    });
    let audit = audit.key_file.iter_mut().chain(&mut audit.anchor).chain(exports);
    let replicas = settings.servers.values_mut().flat_map(|server| &mut server.replicas);
    let replicas = replicas.filter_map(|replica| replica.file.as_mut());
    let more = settings.stops.folder.iter_mut().chain(&mut settings.pins.file);
    let more = audit.chain(replicas).chain(more);
    let inspection = settings.inspection.iter_mut();
    let more = more.chain(inspection.flat_map(|it| it.rules.iter_mut().chain(&mut it.detectors)));
    for path in files.chain(&mut settings.policy.files).chain(more) {
        *path = folder.join(&*path);
    }
}

async fn serve(options: Serve, read: Read, workers: Arc<[Handle]>) -> Result<(), Failed> {
    let Read { mut settings, text, changeable } = read;
    let signals = Signals::new()?;
    raise_file_limit();
    let main = bind(settings.listen, "--listen").await?;
    let admin = match settings.admin {
        Some(address) => Some(bind(address, "--admin").await?),
        None => None,
    };
    let tls = settings.tls.as_ref().map(Tls::start).transpose();
    let tls = tls.map_err(|why| Failed::new(Exit::Config, format!("tls: {why}")))?;
    let admin_tls = settings.admin_tls.as_ref().map(Tls::start).transpose();
    let admin_tls =
        admin_tls.map_err(|why| Failed::new(Exit::Config, format!("admin_tls: {why}")))?;
    let ready = packages::prepare(&mut settings, options.config.as_deref()).await;
    let pinned = pins::seen(&settings);
    let gateway = guarded(&options, settings, main.local_addr()?).await?;
    let reloader = reload::Reloader::of(&gateway, &options);
    let admin = admin.map(|admin| (admin, admin_tls));
    let listeners = Listeners::open(&gateway, reloader.as_ref(), (main, tls), admin, &workers)?;
    welcome(&gateway, &listeners, options.config.is_none());
    let _followed =
        (policies::follow(&gateway), pins::follow(&gateway, pinned), inspection::follow(&gateway));
    let watched = reload::Watch::start(&gateway, &options, text, changeable || !ready);
    signals.wait(&watched).await;
    drop(watched);
    shut_down(&gateway, listeners).await;
    Ok(())
}

/// Sets up authentication before anybody can connect.
async fn guarded(
    options: &Serve,
    settings: Settings,
    listens: SocketAddr,
) -> Result<Arc<Gateway>, Failed> {
    let said = settings.store.as_ref().map(Secret::expose);
    let store = match commands::location(said)? {
        Some(location) => Some(Store::open(&location).await?),
        None => None,
    };
    let declared = policies::declared(&settings).map_err(|why| Failed::new(Exit::Config, why))?;
    let lock = pins::declared(&settings).map_err(|why| Failed::new(Exit::Config, why))?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let own = settings.public_url.clone();
    let own = own.or_else(|| format!("{scheme}://{listens}").parse().ok());
    let exposed = settings.exposed();
    // Exceeding the file size limit must be a write error, and must not end the gateway.
    #[cfg(target_os = "linux")]
    let _grown = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(
        nix::sys::signal::Signal::SIGXFSZ as i32,
    ))?;
    #[cfg(target_os = "linux")]
    doorward_process::cgroup::sweep_all();
    let folder = stops_folder(&settings, store.as_ref());
    let emergency = Emergency::open(folder.as_deref(), store.as_ref()).await?;
    let gateway = Gateway::start(settings, store, emergency).map_err(|error| {
        Failed::new(Exit::Failure, format!("the random number generator failed: {error}"))
    })?;
    if let Some(store) = gateway.kept.store() {
        gateway.identity.browsers.keep_in(store);
    }
    if let Some(own) = &own {
        gateway.identity.resources.set_origin(own);
    }
    if let Err(findings) = gateway.declare_policies(declared).await {
        for finding in &findings {
            terminal::complain(&format!("policy: {finding}"));
        }
        return Err(Failed::silent(Exit::Config));
    }
    gateway.declare_pins(&lock).await;
    inspection::declare(&gateway, &gateway.settings())
        .map_err(|why| Failed::new(Exit::Config, why.to_string()))?;
    gateway.look_at_store(true).await?;
    if let Some(store) = gateway.kept.store() {
        let settings = gateway.settings();
        gateway.limiter.resume(store).await?;
        gateway.shared.audit.start(store, &settings).await.map_err(|error| {
            Failed::new(Exit::Failure, format!("the audit log cannot be written: {error}"))
        })?;
    } else {
        tracing::warn!("no audit log: there is no store");
    }
    if options.dangerously_allow_unauthenticated {
        gateway.identity.allow_unauthenticated();
    } else if let (Some(address), true) = (exposed, gateway.identity.is_open()) {
        let why = format!(
            "{address} is not a loopback address, and authentication is not configured: create a \
                key with 'doorward keys create', or configure an issuer under 'identity'"
        );
        return Err(Failed::new(Exit::Config, why));
    }
    Ok(gateway)
}

/// The folder for stops that are not in the store: as configured, beside the SQLite file, or in the
/// user's data folder, separate for each store.
fn stops_folder(settings: &Settings, store: Option<&Store>) -> Option<PathBuf> {
    if let Some(folder) = &settings.stops.folder {
        return Some(folder.clone());
    }
    match store.map(Store::location) {
        Some(Location::Sqlite(path)) => {
            let mut name = path.clone().into_os_string();
            name.push(".stops");
            Some(name.into())
        }
        Some(location) => {
            let which = doorward_store::hash_of(&location.to_string());
            Some(commands::data_folder()?.join(format!("stops-{}", &which[..16])))
        }
        None => None,
    }
}

/// Each connection is a file: raise the soft limit to the hard limit. Server programs inherit it.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files was not raised");
    }
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failed> {
    TcpListener::bind(address).await.map_err(|error| {
        let why =
            format!("cannot listen on {address}: {error}; choose another address with {flag}");
        Failed::new(Exit::Failure, why)
    })
}

/// The open listeners, and the token that closes them.
struct Listeners {
    main: SocketAddr,
    admin: Option<SocketAddr>,
    tls: Option<Tls>,
    admin_tls: Option<Tls>,
    closing: CancellationToken,
    admin_closing: CancellationToken,
    clients: TaskTracker,
    operators: TaskTracker,
    accepting: TaskTracker,
}

impl Listeners {
    fn open(
        gateway: &Arc<Gateway>,
        reloader: Option<&Arc<dyn Reload>>,
        (main, tls): (TcpListener, Option<Tls>),
        admin: Option<(TcpListener, Option<Tls>)>,
        workers: &Arc<[Handle]>,
    ) -> Result<Self, Failed> {
        let (admin, admin_tls) = admin.unzip();
        let listeners = Self {
            main: main.local_addr()?,
            admin: admin.as_ref().map(TcpListener::local_addr).transpose()?,
            tls,
            admin_tls: admin_tls.flatten(),
            closing: CancellationToken::new(),
            admin_closing: CancellationToken::new(),
            clients: TaskTracker::new(),
            operators: TaskTracker::new(),
            accepting: TaskTracker::new(),
        };
        let settings = gateway.settings();
        let listening = |closing: &CancellationToken, connections: &TaskTracker| Listening {
            limits: settings.limits.clone(),
            timeouts: settings.timeouts.clone(),
            closing: closing.clone(),
            connections: connections.clone(),
            tls: None,
            workers: workers.clone(),
        };
        let scheme = if listeners.admin_tls.is_some() { "https" } else { "http" };
        let admin_url = listeners.admin.map(|address| format!("{scheme}://{address}"));
        let faces =
            doorward_console::Faces::new(gateway, admin_url.as_deref()).map_err(|error| {
                Failed::new(Exit::Failure, format!("the random number generator failed: {error}"))
            })?;
        let (console, portal) = (faces.console, faces.portal);
        let handler = move |peer, request| portal.handle(peer, request);
        let spoken = listeners.tls.as_ref().map(|tls| tls.spoken.clone());
        let clients =
            Listening { tls: spoken, ..listening(&listeners.closing, &listeners.clients) };
        listeners.accepting.spawn(listener::serve(main, clients, handler));
        if let Some(admin) = admin {
            let api = doorward_admin::Admin::new(gateway.clone(), reloader);
            let handler = move |peer, request| console.clone().answer(api.clone(), peer, request);
            let tls = listeners.admin_tls.as_ref().map(|tls| tls.spoken.clone());
            let operators =
                Listening { tls, ..listening(&listeners.admin_closing, &listeners.operators) };
            listeners.accepting.spawn(listener::serve(admin, operators, handler));
        }
        Ok(listeners)
    }
}

/// Prints where the gateway is and how to use it. Nobody may be reading standard output.
fn welcome(gateway: &Gateway, listeners: &Listeners, sample: bool) {
    let bold = |text: &str| terminal::paint(text, "1", terminal::color()).into_owned();
    let Listeners { main, admin, .. } = listeners;
    let scheme = if listeners.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{main}/mcp");
    let mut text = format!(
        "Doorward {}\n\n  MCP endpoint  {}\n  HTTP+SSE      {scheme}://{main}/sse\n",
        env!("CARGO_PKG_VERSION"),
        bold(&url)
    );
    if let Some(admin) = admin {
        let scheme = if listeners.admin_tls.is_some() { "https" } else { "http" };
        text.push_str(&format!(
            "  Admin         {scheme}://{admin}  (/healthz /readyz /metrics)\n"
        ));
    }
    text.push_str(&format!(
        "\nPaste this into the configuration of an MCP client:\n\n  {{ \"mcpServers\": {{ \"doorward\": \
         {{ \"type\": \"http\", \"url\": \"{url}\" }} }} }}\n\n"
    ));
    if sample {
        text.push_str(
            "No configuration file: serving the built-in sample server. Try\n  \
             doorward call sample__add a=2 b=3\n\n",
        );
    }
    text.push_str(if gateway.identity.is_open() {
        "Everyone on this machine can use it without authentication. Creating the first key requires keys from then on:\n  \
         doorward keys create --user me\n"
    } else {
        "Authentication is required: send a key or token as 'Authorization: Bearer …'.\n"
    });
    let _ = std::io::stdout().write_all(text.as_bytes());
    tracing::info!(listen = %main, admin = admin.map(tracing::field::display), "ready");
}

/// The signals that the gateway handles.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failed> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when the gateway should end; reloads the configuration when signalled.
    async fn wait(mut self, watched: &reload::Watch) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => watched.reload_now(),
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        tracing::info!("shutting down");
        // A second signal ends the process immediately.
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            tracing::warn!("second signal: exiting immediately");
            std::process::exit(Exit::Failure as i32);
        });
    }
}

/// Stops accepting connections, lets calls end, ends streams, and stops programs; each for a
/// limited time.
async fn shut_down(gateway: &Arc<Gateway>, listeners: Listeners) {
    let drain = gateway.settings().timeouts.drain.0;
    listeners.closing.cancel();
    listeners.clients.close();
    listeners.accepting.close();
    let ending = async {
        while !listeners.clients.is_empty() {
            gateway.close_streams();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    gateway.close_streams();
    if tokio::time::timeout(drain, ending).await.is_err() {
        tracing::warn!(
            open = listeners.clients.len(),
            "some calls did not finish in time and were cancelled"
        );
    }
    let stopped = gateway.stop(LAST_WORDS).await;
    if !stopped {
        tracing::warn!("some servers did not stop in time");
    }
    if let Some(store) = gateway.kept.store() {
        gateway.limiter.store_quotas(store).await;
    }
    gateway.shared.audit.finish(LAST_WORDS).await;
    listeners.admin_closing.cancel();
    listeners.operators.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), listeners.operators.wait()).await;
    tracing::info!("ended");
}
